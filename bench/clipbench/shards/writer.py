"""Write a set of shards: fast, in parallel, byte for byte the same however often it was killed.

While a set is written its shards lie in ``FOLDER.partial/shards``, and what is known about the
finished ones in ``FOLDER.partial/state``. When all are there the folder gets its name.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from msgspec import structs

from clipbench.contracts import Progress, no_progress
from clipbench.errors import BadSetting, CorruptData
from clipbench.files.json_files import is_vacant, read_json, sha256_file, write_summed
from clipbench.shards import index as indexing
from clipbench.shards import manifest as manifests
from clipbench.shards import skipped
from clipbench.shards.hashes import keep_hashes
from clipbench.shards.reader import ShardSet
from clipbench.shards.shard_writer import KEY_DIGITS, LeftOut, Sample, ShardWriter
from clipbench.system.disk import is_full, no_space
from clipbench.system.durable import atomic_file, clear_leftovers, publish
from clipbench.system.locks import locked_folder
from clipbench.system.processes import in_processes

Make = Callable[[int, int], Iterable[Sample | LeftOut]]


@dataclass(frozen=True)
class _Plan:
    """The shards to be written."""

    folder: Path
    num_pairs: int
    pairs_per_shard: int
    make: Make

    @property
    def shards(self) -> Path:
        return self.folder / "shards"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def num_shards(self) -> int:
        return -(-self.num_pairs // self.pairs_per_shard)

    def span(self, shard: int) -> tuple[int, int]:
        start = shard * self.pairs_per_shard
        return start, min(start + self.pairs_per_shard, self.num_pairs)


def shard_name(shard: int) -> str:
    """Return the file name of shard number `shard`."""
    return f"{shard:05d}.tar"


def write_set(
    folder: Path,
    num_pairs: int,
    make: Make,
    *,
    name: str,
    source: Mapping[str, object],
    pairs_per_shard: int = 10_000,
    workers: int | None = None,
    progress: Progress = no_progress,
    own: bool = False,
) -> ShardSet:
    """Write pairs as a folder of shards, or open the folder if it holds them already.

    Args:
        folder: the set's folder; it appears when everything is in it.
        num_pairs: number of pairs.
        make: picklable; ``make(start, stop)`` yields the samples of pairs start .. stop - 1, or
            for one that can't be used why. Those are named in ``skipped.jsonl``, counted in
            ``_stats.json``, and leave a gap in the keys.
        name: the set's name, for its manifest.
        source: whatever decides what `make` yields; two sets of one source are taken to be equal.
        pairs_per_shard: at most 10,000.
        workers: processes; 0: this one; None: one a processor.
        progress: told after every shard.
        own: whether the folder is one of the cache, which nobody put anything into: what is damaged
            or cut off there is written again.

    Raises:
        BadSetting: a number out of range, or `folder` holds something else.
        ClipbenchError: the disk is full, or `make` yields too few or too many samples.
    """
    _check_numbers(num_pairs, pairs_per_shard)
    identity = {
        "name": name,
        "source": manifests.plain(source, f"The source of {name!r}"),
        "num_pairs": num_pairs,
        "pairs_per_shard": min(pairs_per_shard, num_pairs),
    }
    partial = folder.with_name(folder.name + ".partial")
    if not partial.exists() and _is_there(folder, identity, own=own):
        return ShardSet.open(folder)
    with locked_folder(partial, progress):
        # Otherwise finished by another process, or before this one was killed.
        if not _is_there(folder, identity, own=own):
            if not is_vacant(folder):
                remove_damaged(folder)
            plan = _Plan(partial, num_pairs, pairs_per_shard, make)
            _prepare(plan, identity)
            _write_missing(plan, workers, progress)
            _finish(plan, folder, name, source)
        shutil.rmtree(partial)
    return ShardSet.open(folder)


def _check_numbers(num_pairs: int, pairs_per_shard: int) -> None:
    most = 10**KEY_DIGITS
    if not 1 <= pairs_per_shard <= most:
        raise BadSetting(f"pairs_per_shard must be 1 to {most}, not {pairs_per_shard}.")
    if not 1 <= num_pairs <= pairs_per_shard * 100_000:
        raise BadSetting(
            f"A set must have 1 to {pairs_per_shard * 100_000} pairs, not {num_pairs}."
        )


def _is_there(folder: Path, identity: Mapping[str, object], *, own: bool) -> bool:
    """Return whether a folder holds this set; one of the cache that is damaged does not.

    Raises:
        BadSetting: it holds something else.
        CorruptData: it is damaged, and not of the cache.
    """
    if is_vacant(folder):
        return False
    try:
        _check_same(folder, identity)
    except CorruptData:
        if not own:
            raise
        return False
    return True


def remove_damaged(folder: Path) -> None:
    """Remove a set of the cache that is made again, and say so."""
    what = f"the set {folder} is damaged or cut off, as by a power cut"
    warnings.warn(f"{what}; it is made again", stacklevel=2)
    shutil.rmtree(folder)


def _check_same(folder: Path, identity: Mapping[str, object]) -> None:
    manifest = manifests.read(folder) if folder.is_dir() else None
    if manifest is None:
        raise BadSetting(
            f"{folder} exists but is no set written by clipbench; choose another folder."
        )
    shards = manifest.shards
    stats = skipped.read_stats(folder)
    found = {
        "name": manifest.name,
        "source": manifest.source,
        "num_pairs": manifest.num_pairs if stats is None else stats.count,
        "pairs_per_shard": shards[0].num_pairs if stats is None else stats.pairs_per_shard,
    }
    for field, wanted in identity.items():
        if found[field] != wanted:
            raise BadSetting(
                f"{folder} holds another set: its {field} is {found[field]!r}, not {wanted!r}; "
                "choose another folder or remove it."
            )
    for shard in shards:
        path = folder / shard.name
        if not path.is_file() or path.stat().st_size != shard.bytes:
            raise CorruptData(f"Shard {path} is missing or cut off; remove {folder} to rewrite it.")


def _prepare(plan: _Plan, identity: Mapping[str, object]) -> None:
    """Keep what an interrupted run of the same plan has done; clear away any other's."""
    clear_leftovers(plan.folder)
    file = plan.folder / "plan.json"
    wanted = {"format": manifests.FORMAT, "version": manifests.VERSION, **identity}
    if file.exists() and _read(file) != wanted:
        shutil.rmtree(plan.shards, ignore_errors=True)
        shutil.rmtree(plan.state, ignore_errors=True)
    elif not file.exists() and any(plan.folder.iterdir()):
        raise BadSetting(f"{plan.folder} holds other files; remove it or choose another folder.")
    write_summed(file, wanted)
    for folder in (plan.shards, plan.state):
        folder.mkdir(exist_ok=True)
        clear_leftovers(folder)


def _write_missing(plan: _Plan, workers: int | None, progress: Progress) -> None:
    missing = [shard for shard in range(plan.num_shards) if not _is_done(plan, shard)]
    written = plan.num_pairs - sum(stop - start for start, stop in map(plan.span, missing))
    progress("writing shards", written, plan.num_pairs)
    for shard in in_processes(_write_shard, plan, missing, workers):
        start, stop = plan.span(shard)
        written += stop - start
        progress("writing shards", written, plan.num_pairs)


def _is_done(plan: _Plan, shard: int) -> bool:
    path, note = plan.shards / shard_name(shard), plan.state / f"{shard:05d}.json"
    if not (path.is_file() and note.is_file() and note.with_suffix(".npy").is_file()):
        return False
    known = _read(note)
    return known.get("sha256") == sha256_file(path) and known.get("beside") == _beside(note)


def _read(file: Path) -> dict[str, object]:
    """Return a note of an unfinished set; empty: it is damaged or cut off, and written again."""
    try:
        return read_json(file)
    except CorruptData:
        return {}


def _beside(note: Path) -> dict[str, str]:
    """Return the hashes of what lies beside the note of a shard: its index, what it leaves out."""
    files = (note.with_suffix(end) for end in (".npy", ".skipped.jsonl"))
    return {file.name: sha256_file(file) for file in files if file.exists()}


def _finish(plan: _Plan, folder: Path, name: str, source: Mapping[str, object]) -> None:
    notes = [read_json(plan.state / f"{shard:05d}.json") for shard in range(plan.num_shards)]
    all_shards = msgspec.convert(notes, list[manifests.ShardRecord])
    shards = [shard for shard in all_shards if shard.num_pairs]
    lists = [plan.state / f"{shard:05d}.skipped.jsonl" for shard in range(plan.num_shards)]
    if any(path.exists() for path in lists):
        stats = skipped.join(lists, plan.shards, plan.num_pairs, plan.pairs_per_shard)
        if not shards:
            one = skipped.first(plan.shards)
            shutil.rmtree(plan.state)  # the same command starts over, perhaps on mended files
            raise CorruptData(
                f"{name} has no usable pair: {skipped.summary(stats.left_out)}; the first is"
                f" {one.name}: {one.detail}. Check that it names the files that are meant."
            )
        for shard in all_shards:
            if not shard.num_pairs:
                (plan.shards / shard.name).unlink(missing_ok=True)
    manifests.write_all(plan.shards, manifests.Manifest.of(name, source, shards))
    stamps = [
        indexing.Stamp(shard.name, shard.bytes, path.stat().st_mtime_ns, shard.num_pairs)
        for shard in shards
        for path in [plan.shards / shard.name]
    ]
    parts: list[indexing.Index] = []
    for number, shard in enumerate(shards):
        part = np.load(plan.state / Path(shard.name).with_suffix(".npy"), allow_pickle=False)
        part["shard"] = number
        parts.append(part)
    indexing.save(parts, stamps, indexing.cache_folders([plan.shards / "0"], None))
    keep_hashes([plan.shards / one.name for one in shards], [one.sha256 for one in shards])
    publish(plan.shards, folder)


def _write_shard(plan: _Plan, shard: int) -> int:
    """Write one shard, then its index, then the note that says it is whole."""
    path = plan.shards / shard_name(shard)
    start, stop = plan.span(shard)
    with atomic_file(path) as file:
        writer = ShardWriter(shard, file.write)
        try:
            writer.write_all(plan.make(start, stop), start, stop)
        except OSError as error:
            if is_full(error):
                size = writer.position // max(1, len(writer.rows))
                raise no_space(path, size * _num_waiting(plan)) from error
            raise
    note = plan.state / f"{shard:05d}.json"
    names = note.with_suffix(".skipped.jsonl")
    names.unlink(missing_ok=True)  # of an earlier try
    if writer.left_out:
        skipped.write(names, path.stem, writer.left_out)
    with atomic_file(note.with_suffix(".npy"), sync=False) as file:
        np.save(file, indexing.rows_to_index(writer.rows), allow_pickle=False)
    record = manifests.ShardRecord(
        path.name, len(writer.rows), writer.position, writer.digest.hexdigest()
    )
    write_summed(note, {**structs.asdict(record), "beside": _beside(note)}, sync=False)
    return shard


def _num_waiting(plan: _Plan) -> int:
    """Return how many pairs lie in shards that are not finished."""
    spans = (
        plan.span(shard)
        for shard in range(plan.num_shards)
        if not (plan.state / f"{shard:05d}.json").exists()
    )
    return sum(stop - start for start, stop in spans)
