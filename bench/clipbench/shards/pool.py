"""Work spread over processes that end with the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from typing import TypeVar

from clipbench.errors import LostProcess
from clipbench.stopping import end_with_parent, unheard
from clipbench.streams import protect

Context = TypeVar("Context")
Result = TypeVar("Result")
_LISTEN_S = 0.2  # between two looks at what is done
_LEAVE_S = 0.9  # for a worker to take away what it has not finished
_busy: list[int] = []  # what this process is at, where it is a worker


def in_processes(
    work: Callable[[Context, int], Result],
    context: Context,
    numbers: Sequence[int],
    workers: int | None,
) -> Iterator[Result]:
    """Yield ``work(context, number)`` for all numbers, as they are done.

    Args:
        work: a picklable function.
        context: its picklable first argument.
        numbers: its second arguments.
        workers: processes; 0: this one; None: one a processor. Never more than numbers, and this
            process alone where one would do.

    Raises:
        LostProcess: a worker was killed, for instance for want of memory.
    """
    count = min(os.cpu_count() or 1 if workers is None else workers, len(numbers))
    if count <= 1:
        for number in numbers:
            yield work(context, number)
        return
    # Started afresh: a forked copy of a process with threads (torch has many) may deadlock.
    start = multiprocessing.get_context("spawn")
    others = {*multiprocessing.active_children()}
    with unheard():  # of Python's own helper as well, which is started with it
        executor = ProcessPoolExecutor(count, start, initializer=_end_with_parent)
    with executor as pool:
        todo = iter(numbers)
        running: set[Future[Result]] = set()
        try:
            for number in todo:
                with unheard():
                    running.add(pool.submit(_do, work, context, number))
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


# ------------------------------------------------------------------------ in the process


class _Ended(BaseException):
    """The process that waits for this one wants it to leave."""


def _end_with_parent() -> None:
    """Leave when the parent is gone, however it went, or says so; a terminal is its business.

    It says so by SIGTERM. What is at work then takes away what it has not finished.
    """
    protect()
    signal.signal(signal.SIGTERM, _leave)
    end_with_parent(lambda: os._exit(1))


def _leave(*_: object) -> None:
    if not _busy:
        os._exit(1)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the parent sends one more; it is leaving
    raise _Ended


def _do(work: Callable[[Context, int], Result], context: Context, number: int) -> Result:
    _busy.append(number)
    try:
        return work(context, number)
    except _Ended:
        os._exit(1)
    finally:
        _busy.clear()
