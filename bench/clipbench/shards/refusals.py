"""What makes a set of shards unusable as a whole, in one line each."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from clipbench.errors import CorruptData
from clipbench.files.tar import members
from clipbench.shards.index import (
    Incomplete,
    Index,
    are_sorted,
)

CONVERTED = ("gif", "bmp", "tif", "tiff")  # formats of images that an import reads, too


def key_text(key: bytes) -> str:
    """Return a key as messages name it."""
    return key.decode(errors="replace")


def refuse_incomplete(incomplete: Sequence[Incomplete], paths: Sequence[Path]) -> None:
    """Raise CorruptData, naming the first pair, if there is an incomplete one."""
    if incomplete:
        one = incomplete[0]
        more = f" ({len(incomplete) - 1:,} more are incomplete)" if len(incomplete) > 1 else ""
        found = f" ({one.found})" if one.found else ""
        raise CorruptData(
            f"Shard {paths[one.shard]} has no {one.missing} for key {one.key}{found}{more}; write"
            f" the shard again{_way_out(one)}, remove the key, or leave out such pairs with"
            " --on-error skip."
        )


def _way_out(one: Incomplete) -> str:
    """Return what reads a pair that is refused for its image's format."""
    if one.missing == "image" and any(f".{name}" in one.found for name in CONVERTED):
        return " with `clipbench data import`, which converts such images"
    return ""


def refuse_empty(
    index: Index, paths: Sequence[Path], incomplete: Sequence[Incomplete] = ()
) -> None:
    """Raise CorruptData if there is no pair, and say what the first key lacks."""
    if len(index):
        return
    lack, advice = "", "give other shards"
    if incomplete:
        one = incomplete[0]
        lack = f": key {one.key} has no {one.missing}{f' ({one.found})' if one.found else ''}"
        if way := _way_out(one):
            advice = f"write the set again{way}"
        if incomplete[0].missing == "caption":
            advice += ", or name the JSON's field with captions, caption_field=..."
    else:
        names = _first_names(paths[0])
        if names:
            lack = f": its members are such as {', '.join(names)}"
            advice = (
                "name an image KEY.jpg, .png, .jpeg or .webp and its caption KEY.txt, of one KEY"
                " without a dot"
            )
    raise CorruptData(f"{paths[0]} holds no pair of image and caption (.txt){lack}; {advice}.")


def _first_names(path: Path) -> list[str]:
    """Return the names of a shard's first members."""
    return [key_text(member.name) for member in itertools.islice(members(path), 2)]


def check_unique(parts: Iterable[Index], paths: Sequence[Path]) -> None:
    """Raise CorruptData, naming key and shards, if a key stands for two pairs.

    Args:
        parts: the indexes of the shards.
        paths: the shards.
    """
    if are_sorted(parts):
        return
    keys = np.concatenate([part["key"] for part in parts])
    order = np.argsort(keys, kind="stable")
    same = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
    if len(same):
        firsts = np.cumsum([len(part) for part in parts])
        one, two = (int(np.searchsorted(firsts, order[same[0] + n], "right")) for n in (0, 1))
        raise CorruptData(
            f"Key {key_text(bytes(keys[order[same[0]]]))} is in shard {paths[one]} and again in "
            f"{paths[two]}; keys must be unique in a set."
        )
