"""Hashes of shards: of the bytes that they hold, computed once for a state of the file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clipbench.contracts import Progress, no_progress
from clipbench.errors import ClipbenchError, CorruptData
from clipbench.shards import index as indexing
from clipbench.shards import manifest as manifests
from clipbench.shards.files import read_json, sha256_file, write_json
from clipbench.shards.seal import is_sealed, seal
from clipbench.shards.sources import expand

_NAME = "hashes.json"
Known = dict[str, list[Any]]  # name of a shard -> size, time of change, number, hash


def shard_hashes(paths: Sequence[Path], folders: Sequence[Path], progress: Progress) -> list[str]:
    """Return the SHA-256 of every shard, whatever a manifest says that it is.

    Args:
        paths: the shards.
        folders: where computed hashes may be kept, the best place first.
        progress: told about every shard that must be read.

    Raises:
        MissingData: a shard can't be read.
    """
    known = _recall(folders)
    result: list[str] = []
    fresh = False
    for number, path in enumerate(paths):
        name, stamp = _name(path, paths), _stamp(path)
        old = known.get(name)
        if old is None or old[:3] != stamp:
            progress("hashing shards", number, len(paths))
            old = [*stamp, sha256_file(path)]
            known[name], fresh = old, True
        result.append(str(old[3]))
    if fresh:
        progress("hashing shards", len(paths), len(paths))
        _remember(folders, known)
    return result


def keep_hashes(paths: Sequence[Path], hashes: Sequence[str]) -> None:
    """Keep what whoever wrote these shards knows of them, beside them.

    Args:
        paths: the shards of one folder, as they are to stay.
        hashes: the SHA-256 of what was written into each.
    """
    pairs = zip(paths, hashes, strict=True)
    known = {_name(path, paths): [*_stamp(path), value] for path, value in pairs}
    _remember(indexing.cache_folders(paths, None), known)


def _name(path: Path, paths: Sequence[Path]) -> str:
    """Return a name that stays valid when the folder moves, where the hashes lie in it."""
    here = path.parent == paths[0].parent
    return json.dumps(path.name if here else str(path.absolute()))  # of any bytes, also of no text


def _stamp(path: Path) -> list[int]:
    """Return what changes when a file is written anew: size, time of change, number."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ino]


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
    found = shard_hashes(paths, indexing.cache_folders(paths, cache), progress)
    listed: dict[Path, dict[str, str]] = {}
    for path, sha256 in zip(paths, found, strict=True):
        if path.parent not in listed:
            manifest = manifests.read(path.parent)
            records = [] if manifest is None else manifests.records(manifest)
            listed[path.parent] = {one.name: one.sha256 for one in records}
        if listed[path.parent].get(path.name, sha256) != sha256:
            raise CorruptData(
                f"Shard {path} is not the one that {path.parent / manifests.NAME} lists; fetch it"
                " or write the set again."
            )
    return manifests.content_sha256(found)


def _recall(folders: Sequence[Path]) -> Known:
    for folder in folders:
        try:
            content = read_json(folder / _NAME)
        except ClipbenchError:  # only a memory: what is lost is computed again
            continue
        if is_sealed([_text(content.get("hashes"))], content.get("seal")):
            return dict(content["hashes"])
    return {}


def _remember(folders: Sequence[Path], known: Known) -> None:
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            content = {"hashes": known, "seal": seal([_text(known)])}
            write_json(folder / _NAME, content, sync=False)
        except (OSError, ClipbenchError):  # read-only or full: they can be computed again
            continue
        return


def _text(known: object) -> bytes:
    return json.dumps(known, sort_keys=True).encode()
