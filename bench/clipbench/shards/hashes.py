"""Hashes of shards: of the bytes that they hold, computed once for a state of the file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from clipbench.contracts import Progress, no_progress
from clipbench.errors import CorruptData
from clipbench.fetching.sources import expand
from clipbench.files.contents import HashMemory
from clipbench.shards import index as indexing
from clipbench.shards import manifest as manifests

_NAME = "hashes.json"


def shard_hashes(paths: Sequence[Path], folders: Sequence[Path], progress: Progress) -> list[str]:
    """Return the SHA-256 of every shard, whatever a manifest says that it is.

    Args:
        paths: the shards.
        folders: where computed hashes may be kept, the best place first.
        progress: told about every shard that must be read.

    Raises:
        MissingData: a shard can't be read.
    """
    memory = HashMemory([folder / _NAME for folder in folders], progress, "hashing shards")
    return memory.hashes(_named(paths))


def keep_hashes(paths: Sequence[Path], hashes: Sequence[str]) -> None:
    """Keep what whoever wrote these shards knows of them, beside them.

    Args:
        paths: the shards of one folder, as they are to stay.
        hashes: the SHA-256 of what was written into each.
    """
    folders = indexing.cache_folders(paths, None)
    HashMemory([folder / _NAME for folder in folders]).keep(_named(paths), hashes)


def _named(paths: Sequence[Path]) -> list[tuple[str, Path]]:
    """Return shards by names that stay valid when the folder moves, where the hashes lie in it."""
    home = paths[0].parent
    return [
        # Of any bytes, also of no text.
        (json.dumps(path.name if path.parent == home else str(path.absolute())), path)
        for path in paths
    ]


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
    refuse_others(dict(zip(paths, found, strict=True)))
    return manifests.content_sha256(found)


def refuse_others(found: Mapping[Path, str]) -> None:
    """Refuse shards that are not those that the manifests beside them list, if there are any.

    Args:
        found: the SHA-256 of each shard, of its own bytes.

    Raises:
        CorruptData: a shard is another one, or a manifest is damaged.
    """
    for folder in dict.fromkeys(path.parent for path in found):
        manifest = manifests.read(folder)
        for one in () if manifest is None else manifest.shards:
            path = folder / one.name
            if found.get(path, one.sha256) != one.sha256:
                raise CorruptData(
                    f"Shard {path} is not the one that {folder / manifests.NAME} lists: it was"
                    " damaged or replaced. Fetch it again, or remove the set and write it again."
                )
