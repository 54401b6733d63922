"""Hashes of shards: the manifest's where it has them, computed once where it has not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from clipbench.contracts import Progress
from clipbench.errors import ClipbenchError
from clipbench.shards.files import read_json, sha256_file, write_json
from clipbench.shards.manifest import ShardRecord

_NAME = "hashes.json"


def shard_hashes(
    paths: Sequence[Path],
    stamps: Sequence[tuple[int, int]],
    listed: Iterable[ShardRecord],
    folders: Sequence[Path],
    progress: Progress,
) -> list[str]:
    """Return the SHA-256 of every shard.

    Args:
        paths: the shards.
        stamps: size and time of change of each.
        listed: what a manifest says; trusted about shards whose size it gives right.
        folders: where computed hashes may be kept, the best place first.
        progress: told about every shard that must be read.
    """
    known = {(record.name, record.bytes): record.sha256 for record in listed}
    result = [known.get((path.name, size)) for path, (size, _) in zip(paths, stamps, strict=True)]
    missing = [number for number, value in enumerate(result) if value is None]
    remembered = _recall(folders) if missing else {}
    fresh = False
    for number in missing:
        name, stamp = str(paths[number].absolute()), list(stamps[number])
        old = remembered.get(name)
        if not isinstance(old, list) or old[:2] != stamp:
            progress("hashing shards", number, len(paths))
            old = remembered[name] = [*stamp, sha256_file(paths[number])]
            fresh = True
        result[number] = old[2]
    if fresh:
        progress("hashing shards", len(paths), len(paths))
        _remember(folders, remembered)
    return [str(value) for value in result]


def _recall(folders: Sequence[Path]) -> dict[str, Any]:
    for folder in folders:
        try:
            return read_json(folder / _NAME)
        except ClipbenchError:  # only a memory: what is lost is computed again
            continue
    return {}


def _remember(folders: Sequence[Path], hashes: dict[str, Any]) -> None:
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / _NAME, hashes)
        except (OSError, ClipbenchError):  # read-only or full: they can be computed again
            continue
        return
