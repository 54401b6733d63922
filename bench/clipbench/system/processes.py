"""Work spread over processes that end with the one that started them, or over an executor.

An executor is what `concurrent.futures.Executor` says that one is, be it of other machines. Work is
handed to it in a few tasks of many numbers each; what a task has done when its process is killed is
lost unless the work itself keeps it, so work that takes long does.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from clipbench.errors import ClipbenchError, LostProcess
from clipbench.system import threads
from clipbench.system.stopping import end_with_parent, unheard
from clipbench.system.streams import protect, show_warning

Context = TypeVar("Context")
Result = TypeVar("Result")
_LISTEN_S = 0.2  # between two looks at what is done
_LEAVE_S = 0.9  # for a worker to take away what it has not finished
WORTH = 1 << 28  # bytes of work from which on processes save more time than their start takes
_TRIES = 3  # of a task whose process is lost each time
_busy: list[int] = []  # what this process is at, where it is a worker
_given: list[Any] = []  # pickled work and context; from the first number on, these two themselves


@dataclass(frozen=True)
class Elsewhere:
    """Where work is done that is spread.

    Args:
        executor: does it; what it does it with sees the same files under the same paths.
        tasks: that numbers are dealt out to, at most.
    """

    executor: Executor
    tasks: int


_elsewhere: ContextVar[Elsewhere | None] = ContextVar("elsewhere", default=None)


@contextmanager
def spread_over(place: Elsewhere | None) -> Iterator[None]:
    """Have an executor do meanwhile what `in_processes` is asked for; None: this machine does."""
    token = _elsewhere.set(place)
    try:
        yield
    finally:
        _elsewhere.reset(token)


def is_elsewhere() -> bool:
    """Return whether spread work is done by an executor."""
    return _elsewhere.get() is not None


def is_spread(num_bytes: int) -> bool:
    """Return whether work on so many bytes should be done by other processes than this one."""
    return is_elsewhere() or (num_bytes >= WORTH and threads.processors() > 1)


def in_processes(
    work: Callable[[Context, int], Result],
    context: Context,
    numbers: Sequence[int],
    workers: int | None,
) -> Generator[Result, None, None]:
    """Yield ``work(context, number)`` for all numbers, as they are done.

    Args:
        work: a picklable function.
        context: its picklable first argument.
        numbers: its second arguments.
        workers: processes; 0: this one; None: one a processor, or what `spread_over` names. Never
            more than numbers, and this process alone where one would do.

    Raises:
        LostProcess: a worker was killed, for instance for want of memory.
    """
    place = _elsewhere.get()
    if place is not None and workers is None and len(numbers) > 1:
        yield from _in_tasks(work, context, numbers, place)
        return
    count = min(threads.processors() if workers is None else workers, len(numbers))
    if count <= 1:
        for number in numbers:
            yield work(context, number)
        return
    # Started afresh: a forked copy of a process with threads (torch has many) may deadlock.
    start = multiprocessing.get_context("spawn")
    others = {*multiprocessing.active_children()}
    given = pickle.dumps((work, context))  # once, for a set of many shards has many names
    with unheard():  # of Python's own helper as well, which is started with it
        executor = ProcessPoolExecutor(count, start, initializer=_begin, initargs=(given,))
    with executor as pool:
        todo = iter(numbers)
        running: set[Future[Result]] = set()
        try:
            for number in todo:
                with unheard(), _without_script(given):
                    running.add(pool.submit(_do, number))
                if len(running) > count:
                    done, running = _first(running)
                    yield from (future.result() for future in done)
            while running:
                done, running = _first(running)
                yield from (future.result() for future in done)
        except (KeyboardInterrupt, GeneratorExit):  # what they are at is not waited for
            _end({*multiprocessing.active_children()} - others)
            raise
        except BrokenProcessPool as error:
            time.sleep(_LISTEN_S)  # who stops a whole group ends workers first: then this is heard
            raise LostProcess(
                "A worker process was killed (out of memory?); run the same command again with "
                "fewer workers: finished parts are kept."
            ) from error
        finally:
            for future in running:
                future.cancel()


def _in_tasks(
    work: Callable[[Context, int], Result],
    context: Context,
    numbers: Sequence[int],
    place: Elsewhere,
) -> Iterator[Result]:
    """Yield what `in_processes` does, of an executor's tasks; those that are lost begin again."""
    given = pickle.dumps((work, context))
    count = min(place.tasks, len(numbers))
    running: dict[Future[tuple[list[Result], Exception | None]], tuple[list[int], int]] = {}

    def begin(part: list[int], tried: int) -> None:
        try:
            future: Future[tuple[list[Result], Exception | None]]
            future = place.executor.submit(_do_several, given, part)
        except Exception as lost:
            raise _lost(lost, tried) from lost
        running[future] = (part, tried)

    for first in range(count):
        begin([*numbers[first::count]], 1)
    try:
        while running:
            for future in _first({*running})[0]:
                part, tried = running.pop(future)
                try:
                    found, error = future.result()
                except Exception as lost:
                    if tried == _TRIES:
                        raise _lost(lost, tried) from lost
                    begin(part, tried + 1)
                    continue
                yield from found
                if error is not None:
                    raise error
    finally:
        for future in running:
            future.cancel()


def _lost(error: Exception, tried: int) -> LostProcess:
    tries = f" {tried} times" if tried > 1 else ""
    return LostProcess(
        f"A task of the executor was lost{tries} ({type(error).__name__}: {error}); run the same"
        " command again: finished parts are kept."
    )


def _first(running: set[Future[Result]]) -> tuple[set[Future[Result]], set[Future[Result]]]:
    """Return what is done, as soon as something is, and what is not.

    A signal that comes just before a wait does not end it, and is heard only when it ends.
    """
    done: set[Future[Result]] = set()
    while not done:
        done, running = wait(running, _LISTEN_S, FIRST_COMPLETED)
    return done, running


def _end(processes: Collection[BaseProcess]) -> None:
    """End worker processes: they leave nothing unfinished, or are killed."""
    for process in processes:
        process.terminate()
    until = time.monotonic() + _LEAVE_S
    for process in processes:
        process.join(max(0.0, until - time.monotonic()))
        if process.is_alive():
            process.kill()


@contextmanager
def _without_script(given: bytes) -> Iterator[None]:
    """Start processes that do not run the program of this one, unless the work is of it.

    Python has them import it, for what is pickled may be named there. A script without ``if
    __name__ == "__main__"`` would do all that it does once more in each of them, which is an error.

    Args:
        given: the pickled work and context.
    """
    main = vars(sys.modules["__main__"])
    if b"__main__" in given or "__file__" not in main:
        yield
        return
    kept: dict[str, Any] = {n: main[n] for n in ("__file__", "__spec__") if n in main}
    del main["__file__"]
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(kept)


# ------------------------------------------------------------------------ in the process


class _Ended(BaseException):
    """The process that waits for this one wants it to leave."""


def _begin(given: bytes) -> None:
    """Leave when the parent is gone, however it went, or says so; a terminal is its business.

    It says so by SIGTERM. What is at work then takes away what it has not finished.
    """
    _given[:] = [given]
    protect()
    warnings.showwarning = show_warning
    signal.signal(signal.SIGTERM, _leave)
    end_with_parent(lambda: os._exit(1))


def _leave(*_: object) -> None:
    if not _busy:
        os._exit(1)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the parent sends one more; it is leaving
    raise _Ended


def _do(number: int) -> Any:
    _busy.append(number)
    try:
        if len(_given) == 1:  # here, so that what is wrong with it is told like any other error
            _given[:] = pickle.loads(_given[0])  # noqa: S301 - from the process that waits
        work, context = _given
        return work(context, number)
    except _Ended:
        os._exit(1)
    finally:
        _busy.clear()


def _do_several(given: bytes, numbers: Sequence[int]) -> tuple[list[Any], Exception | None]:
    """Return what work gives for numbers, up to an error of its own.

    What an executor raises itself is then always about the executor.
    """
    found: list[Any] = []
    try:
        work, context = pickle.loads(given)  # noqa: S301 - from the process that waits
        for number in numbers:
            found.append(work(context, number))
    except ClipbenchError as error:
        return found, error
    except Exception as error:  # noqa: BLE001 - raised again where it is waited for
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})"
        return found, RuntimeError(text)
    return found, None
