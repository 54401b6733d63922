"""Work spread over processes that end with the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from clipbench.errors import LostProcess
from clipbench.streams import protect

Context = TypeVar("Context")
Result = TypeVar("Result")


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
    with ProcessPoolExecutor(count, start, initializer=_end_with_parent) as pool:
        todo = iter(numbers)
        running: set[Future[Result]] = set()
        try:
            for number in todo:
                running.add(pool.submit(work, context, number))
                if len(running) > count:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        except BrokenProcessPool as error:
            raise LostProcess(
                "A worker process was killed (out of memory?); run the same command again with "
                "fewer workers: finished parts are kept."
            ) from error
        finally:
            for future in running:
                future.cancel()


def _end_with_parent() -> None:
    """Leave when the parent is gone, however it went; Ctrl-C is the parent's business."""
    protect()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
