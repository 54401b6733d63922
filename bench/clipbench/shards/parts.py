"""The indexes of single shards, kept while that of a whole set is made.

Each is an index file of its own, written as soon as its shard was walked, so that whoever makes the
index of a large set by many processes, and is stopped, goes on where that was.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from clipbench.contracts import Progress, no_progress
from clipbench.errors import ChangedData, ClipbenchError
from clipbench.shards import index as indexing
from clipbench.system.durable import clear_leftovers, make_folder
from clipbench.system.locks import locked_folder
from clipbench.system.processes import is_spread

_MOST_MAPPED = 10_000  # that stay so; a process may map some 65,000 files


@dataclass(frozen=True)
class PartFiles:
    """Indexes of single shards in files, mapped when they are looked at.

    Args:
        folder: where they lie.
        count: of the shards.
    """

    folder: Path
    count: int
    _mapped: dict[int, indexing.Index] = field(default_factory=dict, repr=False)

    def __iter__(self) -> Iterator[indexing.Index]:
        """Yield the index of every shard, in order.

        Raises:
            ChangedData: one is gone.
        """
        for number in range(self.count):
            index = self._mapped.get(number)
            if index is None:
                stored = indexing.read_index(part_file(self.folder, number), opened=True)
                if stored is None:
                    raise ChangedData(f"{self.folder} changed while it was in use; start again.")
                index = stored.index
                if number < _MOST_MAPPED:
                    self._mapped[number] = index
            yield index


def part_file(folder: Path, number: int) -> Path:
    """Return where the index of a shard lies."""
    return folder / f"{number:06d}.bin"


def kept_part(folder: Path, number: int, stamp: indexing.Stamp) -> indexing.Stored | None:
    """Return the index of a shard that was kept; None: there is none, or the shard is another.

    Args:
        folder: where it lies.
        number: of the shard.
        stamp: the shard as it is now; how many pairs it holds is not looked at.
    """
    stored = indexing.read_index(part_file(folder, number))
    if stored is None or len(stored.stamps) != 1:
        return None
    old = stored.stamps[0]
    same = (old.name, old.size, old.mtime_ns) == (stamp.name, stamp.size, stamp.mtime_ns)
    return stored if same else None


@contextmanager
def parts_folder(
    paths: Sequence[Path],
    folders: Sequence[Path],
    caption_field: str | None = None,
    progress: Progress = no_progress,
) -> Iterator[Path | None]:
    """Hold the folder for the indexes of single shards against other processes.

    It goes when the index was made; what a killed process left in it is still there.

    Args:
        paths: the shards.
        folders: where their index may lie, the best place first.
        caption_field: as they are read.
        progress: told where another process holds it.

    Yields:
        The folder; None: the set is small, or no folder can be written.
    """
    is_large = is_spread(sum(path.stat().st_size for path in paths if path.exists()))
    name = indexing.index_name(indexing.shard_names(paths), caption_field)
    places = [(folder / name).with_suffix(".parts") for folder in folders if is_large]
    place = next(filter(_can_be_written, places), None)
    if place is None:
        yield None
        return
    with locked_folder(place, progress):
        clear_leftovers(place)
        yield place
        shutil.rmtree(place, ignore_errors=True)


def _can_be_written(folder: Path) -> bool:
    with suppress(ClipbenchError):  # read-only or full: another place may do
        make_folder(folder)
    return os.access(folder, os.W_OK)
