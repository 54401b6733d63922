"""Whether the files that a set was imported from are still what they were."""

from __future__ import annotations

import contextlib
import hashlib
from array import array
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clipbench.errors import ClipbenchError, CorruptData, MissingData
from clipbench.files.foreign import read_regular
from clipbench.importing.entries import LooseSource, samples
from clipbench.shards import skipped
from clipbench.shards.reader import ShardSet
from clipbench.shards.shard_writer import Sample, key_of
from clipbench.system.durable import atomic_file, make_folder
from clipbench.tensors.arrays import arrays_in

HIDDEN = ".clipbench"  # folder in a set's folder, for what stays on this machine
_STATE = "imported.npy"
_MOST_STATE = 1 << 34  # bytes of it that are read: two billion entries
_MOST_COMPARED = 10_000  # pictures by one process; more are imported again, by several


def knows_pictures(source: LooseSource) -> bool:
    """Return whether the identity of a source holds a hash of its pictures, as it says itself."""
    return getattr(source, "identity_has_pictures", False) is True


def state_of(source: LooseSource) -> npt.NDArray[np.uint64]:
    """Return for each entry of a source what changes when its file does; 0: there is none.

    ``(entries,)``: of size, time of change and number of the file.
    """
    found = array("Q")
    for entry in source.entries():
        try:
            status = Path(entry.image).stat() if entry.image else None
        except (OSError, ValueError):  # it is not there; a name with a NUL is a ValueError
            status = None
        if status is None:
            found.append(0)
            continue
        stamp = f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"
        found.append(int.from_bytes(hashlib.sha256(stamp.encode()).digest()[:8], "big") | 1)
    return np.frombuffer(found, np.uint64)


def is_stale(source: LooseSource, folder: Path, image_size: int | None) -> bool:
    """Return whether a set would be another one if it were imported now.

    Files that are gone do not count, for what they held is in the set. Where a file has another
    time or number than it had, its picture decides: a copy, a move and a touch change no set. Of a
    set that an earlier clipbench imported, nobody knows; it is taken for what it was. A source that
    is known by its pictures, see `knows_pictures`, is another one where they are others.

    Args:
        source: lists the pairs.
        folder: the finished set.
        image_size: as for `import_set`.
    """
    return not knows_pictures(source) and _is_stale(source, folder, image_size)


def _is_stale(source: LooseSource, folder: Path, image_size: int | None) -> bool:
    try:
        content = read_regular(folder / HIDDEN / _STATE, _MOST_STATE)
        known = arrays_in(content, {"state": "u"}, single=True)["state"]
    except (OSError, ValueError):
        return False
    now = state_of(source)
    if len(now) != len(known):
        return True
    moved = np.flatnonzero((now != known) & (now != 0))
    if not len(moved):
        return False
    try:
        if len(moved) > _MOST_COMPARED or _has_others(source, folder, moved, image_size):
            return True
    except (CorruptData, MissingData):  # whoever opens the set says so
        return False
    with contextlib.suppress(OSError, ClipbenchError):  # read-only or full: they are looked at anew
        write_state(folder, np.where(now == 0, known, now))
    return False


def _has_others(
    source: LooseSource, folder: Path, moved: npt.NDArray[np.int64], image_size: int | None
) -> bool:
    """Return whether some entries would give another picture, or none, or one where none was."""
    shards, stats = ShardSet.open(folder), skipped.read_stats(folder)
    per_shard = stats.pairs_per_shard if stats else shards.shards[0].num_pairs
    wanted = set(moved.tolist())
    entries = (entry for number, entry in enumerate(source.entries()) if number in wanted)
    for number, sample in zip(moved.tolist(), samples(entries, image_size, "skip"), strict=True):
        there = shards.find_all(key_of(*divmod(number, per_shard)))
        image = sample.image if isinstance(sample, Sample) else None
        if image != (shards.image_bytes(there[0]) if there else None):
            return True
    return False


def write_state(folder: Path, state: npt.NDArray[np.uint64]) -> None:
    """Write beside a set what `state_of` said of its source before it was imported."""
    make_folder(folder / HIDDEN)
    with atomic_file(folder / HIDDEN / _STATE) as file:
        np.save(file, state, allow_pickle=False)
