"""Hashes of shards: the manifest's where it has them, computed once where it has not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from clipbench.contracts import Progress, no_progress
from clipbench.errors import ClipbenchError, CorruptData
from clipbench.shards import index as indexing
from clipbench.shards import manifest as manifests
from clipbench.shards.files import read_json, sha256_file, write_json
from clipbench.shards.manifest import ShardRecord
from clipbench.shards.sources import expand

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


def content_of(source: str | Path, cache: Path, progress: Progress = no_progress) -> str:
    """Return the content hash of shards by their own bytes, whatever a manifest says.

    Args:
        source: what `ShardSet.open` takes.
        cache: where computed hashes go if they can't lie beside the shards.
        progress: told about every shard that must be read.

    Raises:
        MissingData: a shard is not there.
        CorruptData: a shard is not the one that the manifest beside it lists.
    """
    paths = expand(source)
    status = [path.stat() for path in paths]
    stamps = [(one.st_size, one.st_mtime_ns) for one in status]
    folders = indexing.cache_folders(paths, cache)
    found = shard_hashes(paths, stamps, (), folders, progress)
    listed: dict[Path, dict[tuple[str, int], str]] = {}
    for path, (size, _), sha256 in zip(paths, stamps, found, strict=True):
        if path.parent not in listed:
            manifest = manifests.read(path.parent)
            records = [] if manifest is None else manifests.records(manifest)
            listed[path.parent] = {(one.name, one.bytes): one.sha256 for one in records}
        if listed[path.parent].get((path.name, size), sha256) != sha256:
            raise CorruptData(
                f"Shard {path} is not the one that {path.parent / manifests.NAME} lists; fetch it"
                " or write the set again."
            )
    return manifests.content_sha256(found)


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
