"""Holding the folder of a training run, so that no two commands work in it at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clipbench.parallel.bench import Bench
from clipbench.system.durable import clear_leftovers
from clipbench.system.locks import try_folder

LOOK_EVERY_S = 1.0


@contextmanager
def held(folder: Path, bench: Bench) -> Iterator[None]:
    """Hold a folder against other commands; one that finds it held waits, and says so.

    What the other command did while this one waited is there then: look again before working. The
    hold ends with the process, however that ends; see `clipbench.system.locks`.

    Args:
        folder: the folder; made if it is not there.
        bench: its first process holds the folder for all, and tells of waiting.
    """
    processes, reporter = bench.processes, bench.reporter
    holding = try_folder(folder) if processes.is_first else None
    try:
        if processes.is_first:
            if holding is None:
                reporter.warning(f"another command works in {folder}; waiting until it is done")
            while holding is None:
                time.sleep(LOOK_EVERY_S)
                holding = try_folder(folder)
            clear_leftovers(folder)
        processes.barrier()
        yield
    finally:
        if holding is not None:
            holding.release()
