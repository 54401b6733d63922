"""Whether a GPU computes what the CPU computes, and the same twice."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from findings import Findings, Sizes
from torch import Tensor

from clipbench.checkpoints.checkpoint import save_checkpoint
from clipbench.checkpoints.record import TrainingRecord
from clipbench.checkpoints.trace import Trace, read_trace
from clipbench.configuration import resolution as configuration
from clipbench.configuration.config import RunConfig
from clipbench.configuration.heldout import HeldOut
from clipbench.evaluation.evaluator import evaluate
from clipbench.models.openclip import create_model, load_weights
from clipbench.parallel import bench as where
from clipbench.parallel.group import Processes
from clipbench.plugins import registry
from clipbench.system import stopping
from clipbench.system.progress import Reporter
from clipbench.training import engine
from clipbench.training.session import train_on

# At this learning rate rounding grows slowly: with one thread of a CPU and with two, losses of 20
# steps from the same weights differ by 3e-6 of them at most. At the recipe's, 3e-3, it is 12%.
GENTLE: Mapping[str, Any] = {"lr": 1e-4, "warmup": 20}
FIRST = 1e-5  # by how much of it the loss of a phase's first step may differ from the CPU's
BAND = 1e-3  # and that of any of its first 20
SCORES = 1e-5  # by how much a cosine similarity may differ
SWAPPED = 2  # pairs that may be split otherwise: two that are as similar but for rounding
BF16_BAND = 0.1  # by how much of it a phase's mean loss in bf16 may differ; 4% on a CPU
METRICS = 1e-4  # by how much a metric may differ
SHORT: Mapping[str, Any] = {
    "unimodal_epochs": 1,
    "cross_modal_epochs": 1,
    "first_ratio": 0.5,
    "scoring_epochs": 1,
    "clean_up_epochs": 1,
}


class Bench:
    """Trains short runs on the embedded data.

    Args:
        folder: for shards, caches and models.
        sizes: how much.
        device: what is held against the CPU.
    """

    def __init__(self, folder: Path, sizes: Sizes, device: torch.device) -> None:
        self.folder, self.sizes, self.device = folder, sizes, device
        self.cache = folder / "cache"
        self._count = 0

    def config(self, name: str, **train: Any) -> RunConfig:
        """Return a run of a defense whose every stage is an epoch."""
        fields = {item.name for item in dataclasses.fields(registry.build("defense", name))}
        short = {key: value for key, value in SHORT.items() if key in fields}
        small = {"trusted_size": self.sizes.pairs, "pool_size": 256, "block": 256}
        short |= {key: value for key, value in small.items() if key in fields}
        settings = {"epochs": 3, "batch_size": self.sizes.batch, "precision": "fp32"}
        settings |= {**GENTLE, **train}
        data = f"shapes:size={self.sizes.pairs}"
        return configuration.resolve(data=data, defense={"name": name, **short}, train=settings)

    def train(
        self,
        config: RunConfig,
        device: torch.device,
        folder: Path,
        reporter: Reporter | None = None,
    ) -> TrainingRecord:
        """Train in `folder`, from the checkpoint that lies there."""
        shutil.rmtree(
            self.cache / "stages", ignore_errors=True
        )  # nothing is taken from a run before
        shards = config.data.plugin.prepare(self.cache)
        told = reporter or Silent()
        return train_on(
            shards, config, folder, where.Bench(self.cache, Processes(device=device), told)
        )

    def fresh(self) -> Path:
        """Return a new folder."""
        self._count += 1
        return self.folder / "runs" / str(self._count)


def check(findings: Findings, bench: Bench) -> None:
    """Do all checks, the most telling first."""
    names = bench.sizes.defenses or tuple(registry.names("defense"))
    for name in names:
        findings.attempt("correctness", f"{name}, fp32", lambda name=name: stages(bench, name))
    for name in bench.sizes.repeated:
        findings.attempt("correctness", f"{name}, bf16", lambda name=name: in_bf16(bench, name))
    findings.attempt("correctness", "evaluation", lambda: evaluation(bench))
    for name in bench.sizes.repeated:
        findings.attempt("correctness", f"{name}, twice", lambda name=name: twice(bench, name))
        findings.attempt("correctness", f"{name}, resumed", lambda name=name: resumed(bench, name))


def stages(bench: Bench, name: str) -> dict[str, Any]:
    """Hold the first steps of every stage against the CPU's, each from the CPU's checkpoint.

    So what rounding does in one stage is not carried into the next, whose scores and splits are
    those of the same weights.
    """
    config, here = bench.config(name), bench.fresh()
    with _keeping_checkpoints(here / "kept"):
        expected = bench.train(config, torch.device("cpu"), here)
    first = worst = scores = 0.0
    differ = steps = 0
    for epoch in range(expected.epochs):
        there = bench.fresh()
        kept = here / "kept" / f"{epoch}.pt"
        if kept.exists():
            (there / "train").mkdir(parents=True)
            shutil.copy(kept, there / "train" / "checkpoint.pt")
        told = Silent()
        found = bench.train(config, bench.device, there, told)
        if told.resumed != kept.exists():
            raise RuntimeError(f"the CPU's checkpoint of epoch {epoch} was not taken up")
        for ours, theirs in zip(_losses(expected, epoch), _losses(found, epoch), strict=True):
            away = np.abs(theirs - ours) / np.maximum(np.abs(ours), 1e-3)
            first, worst = max(first, float(away[0])), max(worst, float(away.max()))
            steps += len(away)
        traces = [_trace(folder, epoch) for folder in (here, there)]
        if len(traces[0].scores):
            scores = max(scores, float(np.abs(traces[0].scores - traces[1].scores).max()))
        differ += int((traces[0].cross_modal != traces[1].cross_modal).sum())
    return {
        "passed": first <= FIRST and worst <= BAND and scores <= SCORES and differ <= SWAPPED,
        "steps": steps,
        "first_step": first,
        "worst_step": worst,
        "scores": scores,
        "pairs_split_otherwise": differ,
    }


def in_bf16(bench: Bench, name: str) -> dict[str, Any]:
    """Hold the mean loss of every phase in bf16 against that in fp32, on the same device."""
    records = [
        bench.train(bench.config(name, precision=precision), bench.device, bench.fresh())
        for precision in ("fp32", "bf16")
    ]
    means = [[entry.loss for entry in record.history] for record in records]
    worst = max(abs(b - a) / max(abs(a), 1e-3) for a, b in zip(*means, strict=True))
    return {"passed": worst <= BF16_BAND, "worst_phase": worst}


def evaluation(bench: Bench) -> dict[str, Any]:
    """Measure one model on both devices."""
    # At the recipe's rate, for an untrained model finds everything equally similar.
    config, folder = bench.config("none", lr=3e-3, warmup=5), bench.fresh()
    bench.train(config, torch.device("cpu"), folder)
    model, tokenizer = create_model(config.train.model, 0)
    load_weights(model, folder)
    held_out = HeldOut.of(config.data, ()).primary
    found = [
        evaluate(model, tokenizer, held_out, device=device)
        for device in (torch.device("cpu"), bench.device)
    ]
    away = {key: abs(found[1][key].value - told.value) for key, told in found[0].items()}
    return {
        "passed": max(away.values()) <= METRICS,
        "metrics": len(away),
        "worst": max(away.values()),
    }


def twice(bench: Bench, name: str) -> dict[str, Any]:
    """Train twice with deterministic algorithms, and twice without."""
    config = bench.config(name)

    def differ() -> int:
        return _different(*(_weights(bench, config) for _ in range(2)))

    with deterministic():
        strict = differ()
    return {"passed": strict == 0, "weights_that_differ": strict, "by_default": differ()}


def resumed(bench: Bench, name: str) -> dict[str, Any]:
    """Stop a training within an epoch, take it up, and hold it against one that ran on."""
    config = bench.config(name)
    with deterministic():
        whole = _weights(bench, config)
        folder = bench.fresh()
        stopped = ""
        try:
            with stopping.listening():
                bench.train(config, bench.device, folder, _StopsAt(bench.sizes.pairs * 5 // 4))
        except stopping.Stopped as stop:
            stopped = stop.saved
        again = _weights(bench, config, folder)
    differ = _different(whole, again)
    return {"passed": bool(stopped) and differ == 0, "weights_that_differ": differ, "at": stopped}


class Silent(Reporter):
    """Tells nobody: that a training is too short to learn is known here."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.resumed = 0

    def warning(self, text: str) -> None:
        """See `Reporter`."""

    def resuming(self, text: str) -> None:  # noqa: ARG002
        """See `Reporter`; it is counted."""
        self.resumed += 1


class _StopsAt(Silent):
    """Sends the signal to stop once so many pairs are trained on."""

    def __init__(self, pairs: int) -> None:
        super().__init__()
        self._pairs: int | None = pairs

    def progress(self, what: str, done: int, total: int) -> None:  # noqa: ARG002
        """See `Reporter`."""
        if what.startswith("training") and self._pairs is not None and done >= self._pairs:
            self._pairs = None
            signal.raise_signal(signal.SIGTERM)


@contextmanager
def deterministic() -> Iterator[None]:
    """Have a GPU add in the same order each time."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@contextmanager
def _keeping_checkpoints(folder: Path) -> Iterator[None]:
    """Keep the checkpoint at the end of every epoch, under the number of the next."""

    def save(path: Path, content: Mapping[str, Any]) -> None:
        save_checkpoint(path, content)
        if path.name == "checkpoint.pt":
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / f"{json.loads(content['state'])['epoch']}.pt")

    with mock.patch.object(engine, "save_checkpoint", save):
        yield


def _losses(record: TrainingRecord, epoch: int) -> list[np.ndarray[Any, Any]]:
    entries = [entry for entry in record.history if entry.epoch == epoch + 1]
    return [np.array(entry.losses) for entry in entries if entry.losses]


def _trace(folder: Path, epoch: int) -> Trace:
    return read_trace(folder / "train" / "trace" / f"{epoch:04d}.npz")


def _weights(bench: Bench, config: RunConfig, folder: Path | None = None) -> list[Tensor]:
    folder = folder or bench.fresh()
    bench.train(config, bench.device, folder)
    model, _ = create_model(config.train.model, 0)
    load_weights(model, folder)
    return list(model.state_dict().values())


def _different(first: list[Tensor], second: list[Tensor]) -> int:
    return sum(not torch.equal(a, b) for a, b in zip(first, second, strict=True))
