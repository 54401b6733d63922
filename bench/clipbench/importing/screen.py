"""Which pairs of a set can't be used, and why: every image decoded once, remembered by shard.

What is found is kept under the shard's hash, so that a poisoned set has only the shards screened
anew that were written for it. Sets that clipbench wrote hold nothing unusable and aren't screened.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from clipbench.contracts import Progress, no_progress
from clipbench.errors import ClipbenchError, CorruptData
from clipbench.files.json_files import read_json, write_summed
from clipbench.images.encoding import decode, image_size
from clipbench.images.normalize import UnusableImage, check_size
from clipbench.images.png import is_deep_gray
from clipbench.shards import manifest as manifests
from clipbench.shards.reader import ShardSet
from clipbench.system.durable import make_folder
from clipbench.system.processes import in_processes
from clipbench.text.visible import has_visible

VERSION = 4  # raise it with every change of what is usable


@dataclass(frozen=True)
class Unusable:
    """A complete pair that can't be used.

    Args:
        pair: its number in the set.
        reason: why, in a few words that are the same for all pairs of the kind.
        detail: what exactly was found.
    """

    pair: int
    reason: str
    detail: str


def is_foreign(shards: ShardSet) -> bool:
    """Return whether a set was written by another program, or poisoned from such a one."""
    return is_anothers(shards.manifest)


def is_anothers(manifest: manifests.Manifest | None) -> bool:
    """Return whether a set with this manifest was written by another program."""
    return manifest is None or manifest.source.get("format") == manifests.FOREIGN


def screen(
    shards: ShardSet,
    cache: Path,
    *,
    workers: int | None = None,
    progress: Progress = no_progress,
) -> list[Unusable]:
    """Return the pairs of a set that can't be used, in order.

    Args:
        shards: the set.
        cache: where what is found is kept, one file per shard.
        workers: processes; 0: this one; None: one a processor.
        progress: told after every shard.
    """
    make_folder(cache)
    suffix = re.sub(r"\W", "_", f"-{shards.caption_field}") if shards.caption_field else ""
    files = [cache / f"{value}{suffix}.json" for value in shards.hashes(progress)]
    known = [_recall(file, shards.caption_field) for file in files]
    missing = [number for number, found in enumerate(known) if found is None]
    done = sum(shard.num_pairs for shard, found in zip(shards.shards, known, strict=True) if found)
    if missing:
        progress("screening pairs", done, len(shards))
    for number, found in in_processes(_screen_shard, _Plan(shards, files), missing, workers):
        known[number] = found
        done += shards.shards[number].num_pairs
        progress("screening pairs", done, len(shards))
    return [
        Unusable(shard.first + row, reason, detail)
        for shard, found in zip(shards.shards, known, strict=True)
        for row, reason, detail in found or []
    ]


_Found = tuple[int, str, str]  # of a pair: its number in the shard, why it can't be used, detail


def _recall(file: Path, caption_field: str | None) -> list[_Found] | None:
    """Return what was found in a shard; None if that is not known."""
    try:
        content = read_json(file)
    except ClipbenchError:  # not there, or damaged: it is found again
        return None
    found = content.get("unusable")
    same = (content.get("version"), content.get("caption_field")) == (VERSION, caption_field)
    return msgspec.convert(found, list[_Found]) if same and isinstance(found, list) else None


@dataclass(frozen=True)
class _Plan:
    """A set, and the file for what is found in each of its shards."""

    shards: ShardSet
    files: Sequence[Path]


def _screen_shard(plan: _Plan, number: int) -> tuple[int, list[_Found]]:
    """Return, and keep, what can't be used in one shard: row, reason and detail of each."""
    shards, shard = plan.shards, plan.shards.shards[number]
    kept = _recall(plan.files[number], shards.caption_field)  # of a task that begins again
    if kept is not None:
        return number, kept
    found: list[_Found] = []
    for row in range(shard.num_pairs):
        problem = problem_of(shards, shard.first + row)
        if problem is not None:
            found.append((row, *problem))
    content = {"version": VERSION, "caption_field": shards.caption_field, "unusable": found}
    write_summed(plan.files[number], content, indent=None, sync=False)
    return number, found


def problem_of(shards: ShardSet, pair: int) -> tuple[str, str] | None:
    """Return why a pair can't be used, a reason and details; None if it can."""
    return _problem_of_image(shards.image_bytes(pair)) or _problem_of_text(shards, pair)


def _problem_of_image(data: bytes) -> tuple[str, str] | None:
    if not data:
        return "image empty", "without a byte it is not a readable image"
    try:
        size = image_size(data)
    except CorruptData as error:
        return "not an image", str(error)
    try:
        check_size(*size)
        if is_deep_gray(data):
            raise UnusableImage(
                "image of 16-bit gray",
                "it would be read as white; clipbench data import scales such values to 8 bits",
            )
        decode(data)
    except UnusableImage as error:
        return error.reason, error.detail
    except CorruptData as error:
        return "image truncated or damaged", str(error)
    return None


def _problem_of_text(shards: ShardSet, pair: int) -> tuple[str, str] | None:
    try:
        caption = shards.caption(pair)
    except CorruptData as error:
        return "caption unreadable", str(error)
    if not has_visible(caption):
        return "caption empty", "it has no visible character"
    try:
        caption.encode()
    except UnicodeEncodeError as error:
        return "caption not Unicode text", str(error)
    try:
        shards.metadata(pair)
    except CorruptData as error:
        return "JSON damaged", str(error)
    return None
