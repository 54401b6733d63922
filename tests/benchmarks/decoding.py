"""What one process can feed: photographs decoded, cropped and resized a second.

    python tests/benchmarks/decoding.py

Pictures are those of `tests/support/photographs.py`, crops as the settings have them
by default. Of a row's time the part that holds Python's lock bounds what threads can do: it is the
thread's time less that spent in decoders, resampling and copies, which let the lock go.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import simplejpeg
import torch
from PIL import Image
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from photographs import write_photographs

from clipbench.loading.augment import ImageAugmentation
from clipbench.loading.originals import OriginalImages
from clipbench.shards.reader import ShardSet
from clipbench.system.threads import processors

PICTURES, SIDE, ROUNDS = 128, 224, 3
AUGMENTATION = ImageAugmentation(0.08, 1.0, 0.5)


def crops(shards: ShardSet, views: int, seed: int = 0) -> None:
    """Cut crops out of all pictures."""
    draws = np.random.default_rng(seed).random((views, PICTURES, 13), dtype=np.float32)
    OriginalImages(shards, SIDE).crops(
        np.arange(PICTURES),
        views,
        lambda view, row, width, height: AUGMENTATION.box(width, height, draws[view][row]),
    )


def from_folder(folder: str, views: int, seed: int) -> None:
    """Do the same in a process of its own."""
    torch.set_num_threads(1)
    crops(ShardSet.open(Path(folder), Path(folder).parent / "cache"), views, seed)


@contextmanager
def released(spent: dict[str, float]) -> Iterator[None]:
    """Count the thread's seconds in what lets Python's lock go."""

    def timed(call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def run(*args: Any, **more: Any) -> Any:
            started = time.thread_time()
            found = call(*args, **more)
            spent[name] += time.thread_time() - started
            return found

        return run

    owners: list[tuple[Any, str]] = [(simplejpeg, "decode_jpeg"), (F, "interpolate")]
    owners += [(os, "pread"), (torch.Tensor, "copy_"), (Image.Image, "resize")]
    patches = [mock.patch.object(o, name, timed(getattr(o, name), name)) for o, name in owners]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()


def of_one_thread(shards: ShardSet, views: int) -> tuple[float, float]:
    """Return microseconds a pair: all of a thread's, and those under Python's lock."""
    best, locked = float("inf"), float("inf")
    for _ in range(ROUNDS):
        spent: dict[str, float] = defaultdict(float)
        started = time.thread_time()
        crops(shards, views)
        whole = time.thread_time() - started
        best = min(best, whole)
        with released(spent):
            started = time.thread_time()
            crops(shards, views)
            locked = min(locked, time.thread_time() - started - sum(spent.values()))
    return best / PICTURES * 1e6, locked / PICTURES * 1e6


def rate(executor: Executor, folder: Path, views: int, workers: int) -> float:
    """Return pairs a second of several workers at once."""
    jobs = 4 * workers
    list(executor.map(from_folder, [str(folder)] * workers, [views] * workers, range(workers)))
    started = time.perf_counter()
    list(executor.map(from_folder, [str(folder)] * jobs, [views] * jobs, range(jobs)))
    return jobs * PICTURES / (time.perf_counter() - started)


def main() -> None:
    """Print a line for each size and number of views."""
    torch.set_num_threads(1)
    workers = processors()
    for side in (256, 512, 1024):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "set"
            shards = write_photographs(folder, PICTURES, side)
            for views in (1, 2):
                whole, locked = of_one_thread(shards, views)
                with ThreadPoolExecutor(workers) as threads:
                    by_threads = rate(threads, folder, views, workers)
                with ProcessPoolExecutor(workers) as processes:
                    by_processes = rate(processes, folder, views, workers)
                print(
                    f"shorter side {side}, {views} views: {whole:.0f} us a pair, under the lock"
                    f" {locked:.0f}: at most {1e6 / locked:,.0f} pairs/s by threads; {workers}"
                    f" threads {by_threads:,.0f}, {workers} processes {by_processes:,.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
