"""Holding the folder of a training, so that no two commands work in it at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from clipbench.durable import clear_leftovers
from clipbench.locks import try_folder
from clipbench.progress import Reporter
from clipbench.training.distributed import Processes

LOOK_EVERY_S = 1.0


@contextmanager
def held(folder: Path, processes: Processes, reporter: Reporter) -> Iterator[None]:
    """Hold a folder against other commands; one that finds it held waits, and says so.

    What the other command did while this one waited is there then: look again before working. The
    hold ends with the process, however that ends; see `clipbench.locks`.

    Args:
        folder: the folder; made if it is not there.
        processes: this process among all; the first holds the folder for them.
        reporter: told about waiting.
    """
    holding = try_folder(folder) if processes.is_first else None
    try:
        if not agreed(processes, holding is not None) and processes.is_first:
            reporter.warning(f"another command works in {folder}; waiting until it is done")
        # All look together: processes that wait for one that waits alone would give it up.
        while not agreed(processes, holding is not None):
            time.sleep(LOOK_EVERY_S)
            holding = try_folder(folder) if processes.is_first else None
        if processes.is_first:
            clear_leftovers(folder)
        yield
    finally:
        if holding is not None:
            holding.release()


def agreed(processes: Processes, answer: bool) -> bool:
    """Return the first process's answer in all of them, so that they go the same way."""
    own = torch.tensor([float(processes.is_first and answer)])
    return bool(processes.sum_of(own))


def agreed_text(processes: Processes, text: str) -> str:
    """Return the first process's text in all of them; what the others give is not looked at."""
    own = text.encode() if processes.is_first else b""
    length = int(processes.sum_of(torch.tensor([len(own)])))
    data = torch.zeros(length, dtype=torch.int64)
    data[: len(own)] = torch.tensor(list(own), dtype=torch.int64)
    return bytes(processes.sum_of(data).tolist()).decode()
