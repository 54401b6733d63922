"""What a set is opened from: its shards, and its index, read or made from the tars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clipbench.contracts import Progress
from clipbench.errors import ChangedData
from clipbench.shards import index as indexing
from clipbench.shards import manifest as manifests
from clipbench.shards.parts import parts_folder
from clipbench.shards.scan import scan

Pairs = indexing.Stored | tuple[indexing.Index, Sequence[indexing.Stamp]]


@dataclass(frozen=True)
class Shard:
    """A shard of an opened set: its file, its pairs, and the number of its first pair."""

    path: Path
    num_pairs: int
    first: int
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class LeftKeys:
    """Keys of one shard that a set leaves out.

    Args:
        keys: the keys.
        complete: how many of them have image and caption, usable or not.
        digest: names this choice of keys.
    """

    keys: frozenset[bytes]
    complete: int
    digest: str


def indexed(
    paths: Sequence[Path],
    folders: Sequence[Path],
    caption_field: str | None,
    progress: Progress,
) -> tuple[Pairs, Sequence[indexing.Incomplete]]:
    """Make the index of a set, and return it with what is no pair."""
    with parts_folder(paths, folders, caption_field, progress) as place:
        if place is not None:  # another process may have made it meanwhile
            stored = indexing.load(paths, folders, caption_field)
            if stored is not None:
                return stored, stored.incomplete
        joined = manifests.is_joined(paths[0].parent)
        found = scan(paths, progress, caption_field=caption_field, joined=joined, folder=place)
        lacks = found.incomplete
        where = indexing.save(found.parts, found.stamps, folders, lacks, caption_field)
        stored = None if where is None else indexing.read_index(where, opened=True)
        return stored or (found.index, found.stamps), lacks


def changed(shard: Path, key: str | None = None) -> ChangedData:
    """Return the error of a shard that is not what it was when it was first read."""
    what = f"Shard {shard}" if key is None else f"Key {key} in shard {shard}"
    return ChangedData(
        f"{what} is not what it was when it was first read, though the file's size and time of"
        " change are the same; fetch or write the shard again (if it was mended, touch it)."
    )
