"""The shards of a poisoned set that are written anew: by whatever processes there are, resumably.

What was written of a large set is noted shard by shard, with everything that decides its bytes, so
that who is stopped goes on there.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import msgspec

from clipbench.errors import ClipbenchError
from clipbench.files.json_files import read_json, sha256_file, write_summed
from clipbench.poisoning.one_shard import Job, PoisonWriter, Rewritten, Written
from clipbench.shards import index as indexing
from clipbench.shards.index import Index, Stamp
from clipbench.shards.parts import kept_part, part_file
from clipbench.system import threads
from clipbench.system.processes import in_processes

VERSION = 1  # raise it with every change of what is written
_MOST_THREADS = 4


@dataclass(frozen=True)
class Plan:
    """What is written.

    Args:
        writer: writes a shard.
        jobs: what happens to each, by its number.
        decided: what decides all of them: the base's hash, versions of packages.
        noted: folder for notes of what was written; None: none are made, for it is little.
    """

    writer: PoisonWriter
    jobs: Mapping[int, Job]
    decided: Mapping[str, object]
    noted: Path | None


def rewritten(plan: Plan) -> Iterator[tuple[int, Rewritten]]:
    """Write shards that were not written yet, and yield all with their numbers, as they are done.

    Raises:
        CorruptData: see `PoisonWriter.write`.
        LostProcess: see `clipbench.system.processes`.
    """
    numbers = [*plan.jobs]
    if plan.noted is None:
        with ThreadPoolExecutor(min(_MOST_THREADS, threads.processors())) as pool:
            yield from pool.map(lambda number: (number, _write(plan, number)), numbers)
        return
    plan.noted.mkdir(exist_ok=True)
    for number, sha256, poisons in in_processes(_write_noted, plan, numbers, None):
        stored = indexing.read_index(part_file(plan.noted, number), opened=True)
        if stored is None:
            raise ClipbenchError(f"{plan.noted} changed while it was in use; start again.")
        yield number, Rewritten(sha256, stored.index, poisons)


def _write(plan: Plan, number: int) -> Rewritten:
    found = plan.writer.write(plan.jobs[number])
    shutil.copystat(plan.writer.model_of(number), plan.jobs[number].path)
    return found


def _write_noted(plan: Plan, number: int) -> tuple[int, str, Mapping[str, Written]]:
    """Write a shard, and note that; or return what was noted of it."""
    assert plan.noted is not None
    wanted, note = _digest(plan, number), plan.noted / f"{number:06d}.json"
    known = _noted(plan, number, note, wanted)
    if known is not None:
        return number, *known
    found = _write(plan, number)
    stamp = _stamp(plan.jobs[number].path, found.rows)
    indexing.write(part_file(plan.noted, number), [found.rows], [stamp])
    poisons = {key: asdict(one) for key, one in found.poisons.items()}
    content = {"of": wanted, "sha256": found.sha256, "poisons": poisons}
    write_summed(note, content, indent=None, sync=False)
    return number, found.sha256, found.poisons


def _noted(
    plan: Plan, number: int, note: Path, wanted: str
) -> tuple[str, Mapping[str, Written]] | None:
    """Return what was noted of a shard that is as it was written; None: it is not there."""
    assert plan.noted is not None
    path = plan.jobs[number].path
    try:
        content = read_json(note)
        if content.get("of") != wanted or sha256_file(path) != content["sha256"]:
            return None
        if kept_part(plan.noted, number, _stamp(path, None)) is None:
            return None
    except (ClipbenchError, OSError):  # not there, or damaged: it is written again
        return None
    return str(content["sha256"]), msgspec.convert(content["poisons"], dict[str, Written])


def _stamp(path: Path, rows: Index | None) -> Stamp:
    status = path.stat()
    return Stamp(path.name, status.st_size, status.st_mtime_ns, 0 if rows is None else len(rows))


def _digest(plan: Plan, number: int) -> str:
    """Return a hash of everything that decides the bytes of a shard."""
    job, left = plan.jobs[number], plan.writer.base.left_out.get(number)
    poisons = [
        [*astuple(place), kept.caption, hashlib.sha256(plan.writer.image_of(kept)).hexdigest()]
        for kept, place in job.poisons
    ]
    moves = [astuple(move) for move in job.moves]
    what = [VERSION, plan.decided, number, job.seed, poisons, moves, left and left.digest]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()
