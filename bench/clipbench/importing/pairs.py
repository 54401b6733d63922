"""Turn pairs that lie in files into shards: in parallel, resumable, and whatever the images are.

A source lists its pairs as entries: where the image is, and what the caption says. They are spooled
to one file first, so that a million of them take no memory and a worker finds its own; then every
shard is made from its own range of entries. An entry that can't be used leaves a gap in the keys
and a line in ``skipped.jsonl``; no other pair's key depends on it.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clipbench.contracts import Progress, no_progress
from clipbench.errors import BadSetting, CorruptData, OnError
from clipbench.files.json_files import is_vacant
from clipbench.importing.entries import Entry, LooseSource, samples
from clipbench.importing.staleness import is_stale, knows_pictures, state_of, write_state
from clipbench.plugins.faults import Call, kind_of
from clipbench.shards import manifest as manifests
from clipbench.shards import skipped
from clipbench.shards.reader import ShardSet
from clipbench.shards.shard_writer import LeftOut, Sample
from clipbench.shards.writer import remove_damaged, write_set
from clipbench.system.durable import atomic_file, make_folder

__all__ = ["VERSION", "Entry", "LooseSource", "import_set", "refuse_left_out"]

VERSION = 2  # raise it with every change that gives other shards for the same entries
_EVERY = 10_000  # entries between two reports


def import_set(
    source: LooseSource,
    folder: Path,
    *,
    name: str,
    image_size: int | None = None,
    on_error: OnError = "skip",
    workers: int | None = None,
    progress: Progress = no_progress,
    own: bool = False,
) -> ShardSet:
    """Write the pairs of a source as a folder of shards, or open the folder if it holds them.

    Args:
        source: lists the pairs.
        folder: the set's folder; it appears when everything is in it. A killed call of the same
            source goes on where it stopped.
        name: the set's name, for its manifest.
        image_size: the longest that the shorter side of an image may be; None: any.
        on_error: whether a pair that can't be used is left out, or ends the call.
        workers: processes; 0: this one; None: one a processor. The result does not depend on it.
        progress: told about entries listed and pairs written.
        own: whether the folder is one of the cache, see `write_set`.

    Raises:
        CorruptData: a pair can't be used and `on_error` is ``fail``; or no pair can be used.
        BadSetting: `folder` holds something else, or the source lists nothing.
    """
    wanted = {"import": VERSION, "image_size": image_size, **source.identity()}
    if own and _is_damaged(folder, name, wanted):
        remove_damaged(folder)
    if _is_finished(folder, name, wanted):
        if not own and is_stale(source, folder, image_size):  # who owns it has asked
            raise BadSetting(
                f"{folder} holds an import of files that have changed since, or of others that lie"
                " elsewhere; remove it, or choose another folder."
            )
    else:
        state = None if knows_pictures(source) else state_of(source)
        with _listed(source, folder, progress) as (listing, count):
            write_set(
                folder,
                count,
                _Make(listing, image_size, on_error),
                name=name,
                source=wanted,
                workers=workers,
                progress=progress,
                own=own,
            )
        if state is not None:
            write_state(folder, state)
    if on_error == "fail":
        refuse_left_out(folder)
    return ShardSet.open(folder)


def refuse_left_out(folder: Path) -> None:
    """Raise CorruptData, naming the first pair, if pairs were left out of a set."""
    stats = skipped.read_stats(folder)
    if stats is not None:
        one = skipped.first(folder)
        raise CorruptData(
            f"Of {stats.count:,} pairs {skipped.summary(stats.left_out)}; the first is {one.name}:"
            f" {one.detail}. All are named in {folder / skipped.NAME}; mend them, remove that"
            " folder and import again, or use the others with --on-error skip."
        )


def _is_damaged(folder: Path, name: str, source: Mapping[str, object]) -> bool:
    try:
        _is_finished(folder, name, source)
    except CorruptData:
        return True
    return False


def _is_finished(folder: Path, name: str, source: Mapping[str, object]) -> bool:
    if is_vacant(folder) or folder.with_name(f"{folder.name}.partial").exists():
        return False
    manifest = manifests.read(folder) if folder.is_dir() else None
    if manifest is None:
        raise BadSetting(
            f"{folder} exists but is no set written by clipbench; choose another folder."
        )
    made_of = {key: value for key, value in manifest.source.items() if key != "images"}
    if (manifest.name, made_of) != (name, manifests.plain(source, name)):
        raise BadSetting(f"{folder} holds another set; choose another folder or remove it.")
    for shard in manifest.shards:
        path = folder / shard.name
        if not path.is_file() or path.stat().st_size != shard.bytes:
            raise CorruptData(f"Shard {path} is missing or cut off; remove {folder} to rewrite it.")
    return True


@contextmanager
def _listed(
    source: LooseSource, folder: Path, progress: Progress
) -> Iterator[tuple[_Listing, int]]:
    """Spool the entries of a source to a file beside `folder`; it is gone when all is done."""
    make_folder(folder.parent)
    lines = folder.with_name(f".{folder.name}.listing.jsonl")
    listing = _Listing(lines, lines.with_suffix(".npy"))
    offsets = array("Q", [0])
    with atomic_file(listing.lines) as file:
        for entry in source.entries():
            if not isinstance(entry, Entry):
                raise Call("dataset", source, "entries").broken(
                    f"it must yield an Entry a pair. Got {kind_of(entry)}."
                )
            text = json.dumps({**vars(entry), "metadata": dict(entry.metadata)}).encode()
            file.write(text + b"\n")
            offsets.append(offsets[-1] + len(text) + 1)
            if len(offsets) % _EVERY == 0:
                progress("listing pairs", len(offsets) - 1, 0)
    if len(offsets) == 1:
        listing.lines.unlink()
        raise BadSetting(f"The source of {folder.name} lists no pair; check its annotations.")
    with atomic_file(listing.offsets) as file:
        np.save(file, np.frombuffer(offsets, np.uint64), allow_pickle=False)
    yield listing, len(offsets) - 1
    # Not after an error: another process may be at work on the same set with the same listing.
    listing.lines.unlink(missing_ok=True)
    listing.offsets.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Listing:
    """Spooled entries.

    Args:
        lines: an entry a line.
        offsets: where each line starts, and the end.
    """

    lines: Path
    offsets: Path

    def read(self, start: int, stop: int) -> Iterator[Entry]:
        """Yield entries start .. stop - 1."""
        at = np.load(self.offsets, mmap_mode="r", allow_pickle=False)
        with self.lines.open("rb") as file:
            file.seek(int(at[start]))
            for _ in range(start, stop):
                yield Entry(**json.loads(file.readline()))


@dataclass(frozen=True)
class _Make:
    """Makes the samples of a range of entries; travels to worker processes."""

    listing: _Listing
    image_size: int | None
    on_error: OnError

    def __call__(self, start: int, stop: int) -> Iterator[Sample | LeftOut]:
        """Yield a sample, or why there is none, for entries start .. stop - 1."""
        return samples(self.listing.read(start, stop), self.image_size, self.on_error)
