"""Processes that do runs: each goes through groups of runs, and survives a run that fails."""

from __future__ import annotations

import os
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Literal, NamedTuple

from clipbench.configuration.config import RunConfig
from clipbench.errors import ClipbenchError
from clipbench.sweep.placing import Placing
from clipbench.system.progress import Reporter
from clipbench.system.stopping import Stopped, end_with_parent, listening, unheard
from clipbench.system.streams import protect
from clipbench.system.threads import share_processors, use_threads

TELL_EVERY_S = 1.0
STOP_S = 10.0  # for a process to end its step and write a checkpoint


Do = Callable[[RunConfig, Path, Path, Reporter], "Event"]  # as `do_one` does a run


class Event(NamedTuple):
    """What happened to a run.

    Args:
        kind: it was started, is at some stage of its work, warns, is done, or failed.
        run: its id.
        text: the stage and how much of it is done, what it warns of, or why it failed.
    """

    kind: Literal["started", "progress", "note", "warning", "done", "failed"]
    run: str
    text: str = ""


@dataclass
class _Worker:
    """A process, and the runs that are left of its group.

    Args:
        process: the process.
        pipe: to and from it.
        gpu: the one it sees; None: whatever this process sees.
        left: what it is to do after its current run.
        current: the run it is at.
        made: whether a run of its group has ended, so that what they share is there.
    """

    process: BaseProcess
    pipe: Connection
    gpu: str | None = None
    left: list[RunConfig] = field(default_factory=list)
    current: RunConfig | None = None
    made: bool = False


def do_groups(
    groups: Sequence[Sequence[RunConfig]],
    *,
    cache: Path,
    out: Path,
    place: Placing,
    tell: Callable[[Event], None],
    do: Do | None = None,
) -> None:
    """Do all runs, those of a group one after the other in one process.

    A process that would be idle takes over half of what is left of a group, once the first run of
    that group has ended. A run that fails, or whose process dies, is told of and left; all others
    are done.

    Args:
        groups: the runs; what runs of one group share is made by the first of them.
        cache: folder of clean and poisoned shards.
        out: folder of the runs.
        place: how many processes there are at most, and what each of them computes with.
        tell: told what happens, in this process.
        do: does a run, in one of those; None: `do_one`.
    """
    waiting = [list(group) for group in groups if group]
    workers: list[_Worker] = []
    try:
        while waiting or any(worker.current or worker.left for worker in workers):
            for worker in workers:
                _occupy(worker, waiting, workers, tell)
            while len(workers) < place.jobs and (waiting or _most_left(workers)):
                worker = _start(do or do_one, cache, out, place, workers)
                workers.append(worker)
                _occupy(worker, waiting, workers, tell)
            for worker in _ready(workers):
                if not _listen(worker, tell):
                    workers.remove(worker)
                    if worker.left:  # what the process had not begun with
                        waiting.insert(0, worker.left)
    finally:
        for worker in workers:
            _stop(worker)


def _start(do: Do, cache: Path, out: Path, place: Placing, others: Sequence[_Worker]) -> _Worker:
    """Start a process, on the GPU that fewest others are on."""
    taken = [other.gpu for other in others]
    gpu = min(place.gpus, key=taken.count, default=None)
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    arguments = (theirs, do, cache, out, place.threads, gpu)
    process = context.Process(target=_serve, args=arguments, daemon=False)
    with unheard():
        process.start()
    theirs.close()
    return _Worker(process, ours, gpu)


def _most_left(workers: Iterable[_Worker]) -> _Worker | None:
    """Return the worker that has most runs to give away; None: nobody has any."""
    givers = [worker for worker in workers if worker.made and worker.left]
    return max(givers, key=lambda worker: len(worker.left), default=None)


def _occupy(
    worker: _Worker,
    waiting: list[list[RunConfig]],
    workers: Iterable[_Worker],
    tell: Callable[[Event], None],
) -> None:
    """Give an idle worker its next run: of its group, of a new one, or of another's."""
    if worker.current is not None:
        return
    if not worker.left:
        giver = _most_left(workers)
        if waiting:
            worker.left, worker.made = waiting.pop(0), False
        elif giver is not None:
            kept = len(giver.left) // 2
            worker.left, worker.made = giver.left[kept:], True
            del giver.left[kept:]
        else:
            return
    worker.current = worker.left.pop(0)
    tell(Event("started", worker.current.id))
    try:
        worker.pipe.send(worker.current.to_json())
    except OSError:  # it is gone, which `_listen` finds as well
        return


def _ready(workers: Sequence[_Worker]) -> list[_Worker]:
    """Wait until a process has something to tell, or has ended, and return those."""
    found = wait([worker.pipe for worker in workers])
    return [worker for worker in workers if worker.pipe in found]


def _listen(worker: _Worker, tell: Callable[[Event], None]) -> bool:
    """Take in what a worker tells; return whether it is still there."""
    try:
        event: Event = worker.pipe.recv()
    except (EOFError, OSError):
        worker.process.join()
        if worker.current is not None:
            code = worker.process.exitcode or 0
            how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
            tell(Event("failed", worker.current.id, f"its process ended with {how}"))
        return False
    tell(event)
    if event.kind in ("done", "failed"):
        worker.current, worker.made = None, True
    return True


def _stop(worker: _Worker) -> None:
    """End a process; what it was at goes on from its checkpoint another time."""
    worker.pipe.close()
    if worker.current is not None:
        worker.process.terminate()
    worker.process.join()


# --------------------------------------------------------------------------- in the process


class _Telling(Reporter):
    """Tells another process how far a run is."""

    def __init__(self, pipe: Connection, run: str) -> None:
        super().__init__(quiet=True)
        self._pipe, self._run, self._told = pipe, run, 0.0

    def progress(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._told >= TELL_EVERY_S:
            self._told = now
            share = f" {100 * done / total:.0f}%" if total else ""
            self._pipe.send(Event("progress", self._run, f"{what.split(' (', 1)[0]}{share}"))

    def resuming(self, text: str) -> None:
        self._pipe.send(Event("note", self._run, text))

    def warning(self, text: str) -> None:
        self._pipe.send(Event("warning", self._run, text))


def _serve(pipe: Connection, do: Do, cache: Path, out: Path, threads: int, gpu: str | None) -> None:
    """Do the runs that come through the pipe until it is closed."""
    protect()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    end_with_parent(_stop_soon)
    share_processors()
    use_threads(threads)  # loads torch, which the process that waits does without
    try:
        with listening():  # the other process ends this one by SIGTERM
            _do_all(pipe, do, cache, out)
    except Stopped as stop:
        raise SystemExit(stop.exit_status) from stop


def _stop_soon() -> None:
    """Leave a checkpoint and end, now that nobody waits for what this process does."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_S)
    os._exit(1)


def _do_all(pipe: Connection, do: Do, cache: Path, out: Path) -> None:
    while True:
        try:
            config = RunConfig.from_json(pipe.recv())
        except EOFError:
            return
        try:
            pipe.send(do(config, cache, out, _Telling(pipe, config.id)))
        except (BrokenPipeError, ConnectionResetError):
            return


def do_one(config: RunConfig, cache: Path, out: Path, reporter: Reporter) -> Event:
    """Do a run and return how that went; whatever a plugin raises ends this run alone.

    What Python code warns of is told as the reporter's warnings are, by the name of the run.
    """
    try:  # a plugin, or an installation, may fail to be imported at all
        from clipbench.pipeline.execute import execute  # noqa: PLC0415 - heavy

        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: reporter.warning(str(message))
            execute(config, cache=cache, out=out, reporter=reporter)
    except (BrokenPipeError, ConnectionResetError):
        raise
    except ClipbenchError as error:
        return Event("failed", config.id, str(error))
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})"
        return Event("failed", config.id, text)
    return Event("done", config.id)
