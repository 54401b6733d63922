"""What every set of shards must hold: its manifest, sizes, keys and captions are checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipbench.contracts import Progress
from clipbench.errors import ClipbenchError
from clipbench.shards import manifest as manifests
from clipbench.shards import traces
from clipbench.shards.files import read_json, sha256_file
from clipbench.shards.reader import ShardSet


@dataclass(frozen=True)
class Check:
    """One thing that was checked, and what was found."""

    name: str
    passed: bool
    message: str

    @classmethod
    def of(cls, name: str, problems: Sequence[str], well: str) -> Check:
        """Return a check: failed with its first problem, or passed with what was seen."""
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return cls(name, not problems, f"{problems[0]}{more}" if problems else well)


def fresh_hashes(shards: ShardSet, progress: Progress) -> list[str]:
    """Return the SHA-256 of every shard as it is now, whatever is known of it."""
    hashes = []
    for number, shard in enumerate(shards.shards):
        progress("hashing shards", number, len(shards.shards))
        hashes.append(sha256_file(shard.path))
    progress("hashing shards", len(shards.shards), len(shards.shards))
    return hashes


def set_checks(folder: Path, shards: ShardSet, hashes: Sequence[str]) -> Iterator[Check]:
    """Yield the checks of a set.

    Args:
        folder: where it lies.
        shards: the set, opened from its shards alone.
        hashes: the SHA-256 of every shard.
    """
    well = f"{len(shards)} pairs in {len(shards.shards)} shards, all complete"
    yield Check.of("pairs", [], well)
    manifest = list(_manifest_problems(folder, shards, hashes))
    yield Check.of("manifest", manifest, "hashes and counts agree")
    sizes = list(_size_problems(folder, shards))
    yield Check.of("sizes", sizes, "sizes.json and _info.json agree")
    yield Check.of("keys", list(_key_problems(shards)), "unique and well formed")
    yield Check.of("captions", list(_caption_problems(shards)), "all readable")
    yield Check.of("folder", traces.in_folder(folder), "shards and their description only")


def _manifest_problems(folder: Path, shards: ShardSet, hashes: Sequence[str]) -> Iterator[str]:
    manifest = shards.manifest
    if manifest is None:
        yield f"{folder / manifests.NAME} is missing or lists other shards"
        return
    records = manifests.records(manifest)
    all_shards = zip(shards.shards, records, hashes, strict=True)
    for number, (shard, record, digest) in enumerate(all_shards):
        if record.sha256 != digest or record.bytes != shard.size:
            yield f"{shard.path} has sha256 {digest[:12]}, not {record.sha256[:12]}"
        if record.num_pairs != _complete(shards, number):
            yield f"{shard.path} holds {_complete(shards, number)} pairs, not {record.num_pairs}"


def _size_problems(folder: Path, shards: ShardSet) -> Iterator[str]:
    counts = {
        shard.path.name: _complete(shards, number) for number, shard in enumerate(shards.shards)
    }
    try:
        if read_json(folder / "sizes.json") != counts:
            yield f"{folder / 'sizes.json'} does not give the pairs of each shard"
        split: dict[str, Any] = read_json(folder / "_info.json")["splits"]["train"]
        if dict(zip(split["filenames"], split["shard_lengths"], strict=True)) != counts:
            yield f"{folder / '_info.json'} does not give the pairs of each shard"
    except (ClipbenchError, KeyError, TypeError, ValueError) as error:
        yield f"sizes.json or _info.json can't be read: {error}"


def _key_problems(shards: ShardSet) -> Iterator[str]:
    for key in shards.index["key"].tolist():  # their being unique was seen by `scan`
        try:
            if not key.decode().isprintable():
                yield f"key {key!r} holds control characters"
        except UnicodeDecodeError:
            yield f"key {key!r} is not UTF-8"


def _caption_problems(shards: ShardSet) -> Iterator[str]:
    try:
        shards.captions()
    except ClipbenchError as error:
        yield str(error)


def _complete(shards: ShardSet, number: int) -> int:
    """Return how many complete pairs a shard holds, those left out included."""
    left = shards.left_out.get(number)
    return shards.shards[number].num_pairs + (0 if left is None else left.complete)
