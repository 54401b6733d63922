"""How fast a GPU trains, how much of it is used, and what it waits for."""

from __future__ import annotations

import gc
import itertools
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from findings import Findings, Sizes
from torch.utils.flop_counter import FlopCounterMode

from clipbench.configuration import resolution as configuration
from clipbench.configuration.config import RunConfig
from clipbench.contracts import Phase
from clipbench.images.encoding import encode_jpeg
from clipbench.loading.inputs import training_pairs
from clipbench.loading.pairs import Batch, BatchRequest
from clipbench.models.openclip import create_model
from clipbench.parallel.bench import Bench
from clipbench.parallel.group import Processes
from clipbench.planning.work import work_for
from clipbench.plugins import registry
from clipbench.shards.reader import ShardSet
from clipbench.shards.shard_writer import Sample
from clipbench.shards.writer import write_set
from clipbench.system.threads import processors
from clipbench.training.learner import Learner

sys.path += [
    str(Path(__file__).parents[1]),
    str(Path(__file__).parents[2] / "support"),
]
from open_clip_script import open_clip_rate
from photographs import SUBJECTS, photograph, shape_of

SIDE = 256  # shorter side of the photographs, as img2dataset is often told to store them
COUNTED = 8  # pairs whose operations are counted
PRODUCT = 8192  # rows and columns of the product that gives a card's peak
WARM = 5  # steps before any that are timed: cuDNN tries its algorithms


class Timed:
    """A training of which steps are timed, and no epoch is trained.

    Args:
        where: the shards.
        config: the run.
        folder: for what is cached.
        device: where to train.
    """

    def __init__(
        self, where: str | Path, config: RunConfig, folder: Path, device: torch.device
    ) -> None:
        self._config, self._device = config, device
        shards = ShardSet.open(where, folder)
        processes = Processes(device=device)
        model, tokenizer = create_model(config.train.model, config.seed)
        bench = Bench(folder, processes)
        self._pairs = training_pairs([shards], model, tokenizer, config, bench)[0]
        self._learner = Learner(model, self._pairs, config.train, processes)
        self.work = work_for(config, config.defense.plugin, len(shards))
        self._numbers = itertools.cycle(range(1_000_000))

    def phase(self, phase: Phase, steps: int, peak: float) -> dict[str, float]:
        """Time one phase: with the batches that it reads, and on a batch that is there.

        Args:
            phase: the phase.
            steps: to time.
            peak: operations a second that the device can do.
        """
        size = self._config.train.batch_size
        if phase.reference:
            self._learner.remember()
        for batch in self._batches(phase, size, WARM):
            self._learner.step(phase, batch, 0.0, "a trial")
        self._wait()
        read = self._seconds(phase, self._batches(phase, size, steps))
        there = self._seconds(phase, itertools.repeat(batch, steps))
        flops = self._operations(phase)
        return {
            "pairs_per_second": round(steps * size / read, 1),
            "share_waiting_for_data": round(max(0.0, 1 - there / read), 4),
            "share_of_peak": round(steps * size * flops / read / peak, 4),
            "gflop_per_pair": round(flops / 1e9, 4),
            "waits_in_5_steps": self._waits(phase, batch),
        }

    def scoring(self) -> float:
        """Return how many pairs are scored in a second."""
        count = min(len(self._pairs), 20_000)
        started = time.perf_counter()
        self._learner.similarity(self._pairs, np.arange(count, dtype=np.int64), False, 0)
        return round(count / (time.perf_counter() - started), 1)

    def _batches(self, phase: Phase, size: int, steps: int) -> Iterator[Batch]:
        rng = np.random.default_rng(0)
        requests = [
            BatchRequest(
                rng.integers(0, len(self._pairs), size),
                slice(0, size),
                phase.views,
                phase.augment,
                ("trial", next(self._numbers)),
            )
            for _ in range(steps)
        ]
        return self._pairs.stream(requests, self._config.train.workers)

    def _seconds(self, phase: Phase, batches: Iterator[Batch]) -> float:
        started = time.perf_counter()
        for batch in batches:
            self._learner.step(phase, batch, 0.0, "a trial")
        self._wait()
        return time.perf_counter() - started

    def _operations(self, phase: Phase) -> float:
        """Return the operations of a step on one pair: multiplications and additions."""
        batch = next(iter(self._batches(phase, COUNTED, 1)))
        with FlopCounterMode(display=False) as counter:
            self._learner.step(phase, batch, 0.0, "a trial")
        return float(counter.get_total_flops()) / COUNTED

    def _waits(self, phase: Phase, batch: Batch) -> int | None:
        """Return how often 5 steps make the program wait for the GPU; None: there is none."""
        if self._device.type != "cuda":
            return None
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            for _ in range(5):
                self._learner.step(phase, batch, 0.0, "a trial")
            torch.cuda.set_sync_debug_mode("default")
        return sum("synchroniz" in str(item.message) for item in found)

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def check(
    findings: Findings, folder: Path, sizes: Sizes, device: torch.device, python: str
) -> None:
    """Time everything, the embedded tower first."""
    peaks: dict[str, float] = {}
    findings.attempt("speed", "matrix products", partial(peak_of, sizes, device, peaks))
    peak = peaks.get("peak", float("inf"))
    shapes = "shapes" if sizes.million >= 20_000 else f"shapes:size={sizes.million}"
    where = registry.build("dataset", shapes).prepare(folder / "cache")
    for size in sizes.batches:
        settings = {"batch_size": size, "precision": sizes.precision}
        for name in sizes.repeated:
            told = f"embedded tower, {name}, batch {size}"
            run = partial(run_of, shapes, name, settings)
            how = partial(times, where, run, folder, sizes, device, peak)
            findings.attempt("speed", told, how)
    findings.attempt("speed", "photographs", partial(write_photographs, folder, sizes))
    for model, size in sizes.towers:
        settings = {"model": model, "batch_size": size, "precision": sizes.precision}
        photographs = {"name": "shards", "path": str(folder / "photographs")}
        for name in sizes.repeated:
            run = partial(run_of, photographs, name, settings)
            how = partial(times, folder / "photographs", run, folder, sizes, device, peak)
            findings.attempt("speed", f"{model}, {name}, batch {size}", how)
        if python:
            run = partial(run_of, photographs, "none", settings)
            how = partial(versus, folder, run, sizes, device, python)
            findings.attempt("speed", f"{model}, none, beside open_clip's script", how)


def peak_of(sizes: Sizes, device: torch.device, into: dict[str, float]) -> Mapping[str, Any]:
    """Measure the operations a second of a large matrix product, in the trainings' format."""
    side = PRODUCT if device.type == "cuda" else 512
    kind = torch.bfloat16 if sizes.precision == "bf16" else torch.float32
    left, right = (torch.randn(side, side, device=device).to(kind) for _ in range(2))

    def seconds(count: int) -> float:
        started = time.perf_counter()
        for _ in range(count):
            left @ right
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - started

    seconds(5)
    into["peak"] = 20 * 2 * side**3 / seconds(20)
    return {"tflop_per_second": round(into["peak"] / 1e12, 2), "side": side, "dtype": str(kind)}


def run_of(data: Any, defense: str, train: Mapping[str, Any]) -> RunConfig:
    """Return a run whose steps are timed."""
    return configuration.resolve(data=data, defense=defense, train=train)


def times(
    where: str | Path,
    run: partial[RunConfig],
    folder: Path,
    sizes: Sizes,
    device: torch.device,
    peak: float,
) -> Mapping[str, Any]:
    """Time every kind of phase of a run, and scoring where there is any."""
    free(device)
    timed = Timed(where, run(), folder / "cache", device)
    # Phases of one kind under two names, as before and after a warm-up, are timed once.
    known: dict[tuple[int, int, bool, bool], dict[str, float]] = {}
    found: dict[str, Any] = {}
    for kind, phase in timed.work.examples.items():
        like = _like(phase)
        if like not in known:
            known[like] = timed.phase(phase, sizes.steps, peak)
            found[kind[0]] = known[like]
    seconds = sum(
        passes / known[_like(timed.work.examples[kind])]["pairs_per_second"]
        for kind, passes in timed.work.passes.items()
    )
    if timed.work.scorings:
        found["scored_pairs_per_second"] = timed.scoring()
        seconds += sum(timed.work.scorings.values()) / found["scored_pairs_per_second"]
    found["epoch_pairs_per_second"] = round(timed.work.epochs / seconds, 1)
    if device.type == "cuda":
        found["peak_memory_gb"] = round(torch.cuda.max_memory_allocated(device) / 1e9, 2)
    return found


def _like(phase: Phase) -> tuple[int, int, bool, bool]:
    """Return what decides how long a pair takes in a phase, whatever it is called."""
    return phase.views, phase.detached_views, phase.augment, phase.cross_modal


def versus(
    folder: Path, run: partial[RunConfig], sizes: Sizes, device: torch.device, python: str
) -> Mapping[str, Any]:
    """Train `none` here and by open_clip's own script: same shards, model, batch and precision."""
    config = run()
    shards = folder / "photographs"
    timed = Timed(shards, config, folder / "cache", device)
    (phase,) = timed.work.examples.values()
    ours = timed.phase(phase, sizes.steps, float("inf"))["pairs_per_second"]
    del timed
    free(device)
    theirs = open_clip_rate(
        python,
        shards,
        sizes.photographs,
        config.train,
        folder / "logs",
        device=str(device),
        workers=processors(),
        epochs=2,
        every=1,
    )
    return {"ours": ours, "open_clip": theirs, "ratio": round(ours / theirs, 2)}


def free(device: torch.device) -> None:
    """Give a GPU's memory back, for another process or to measure its peak anew."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def loaders() -> int:
    """Return how many processes may load."""
    return min(16, processors())


def write_photographs(folder: Path, sizes: Sizes) -> Mapping[str, Any]:
    """Write JPEG files as shards: photographs that come with packages, and crops of them."""
    started = time.perf_counter()
    write_set(
        folder / "photographs",
        sizes.photographs,
        samples,
        name="photographs",
        source={"count": sizes.photographs, "side": SIDE},
        pairs_per_shard=max(2, sizes.photographs // 16),
        workers=None if sizes.photographs > 100 else 0,
    )
    seconds = time.perf_counter() - started
    return {"count": sizes.photographs, "shorter_side": SIDE, "seconds": round(seconds, 1)}


def samples(start: int, stop: int) -> Sequence[Sample]:
    """Return some of the photographs with captions."""
    return [
        Sample(
            encode_jpeg(photograph(number, *shape_of(number, SIDE))),
            "jpg",
            f"{SUBJECTS[number % 3]}, view {number}",
            {},
        )
        for number in range(start, stop)
    ]
