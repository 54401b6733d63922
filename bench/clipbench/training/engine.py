"""The training loop: epochs of phases, as the defence says; it knows no defence by name."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from clipbench.contracts import Defense, Phase, Progress, TrainingFacts
from clipbench.rng import derive_seed
from clipbench.settings import TrainSettings
from clipbench.training.checkpoint import load_checkpoint, save_checkpoint
from clipbench.training.distributed import Processes
from clipbench.training.learner import Learner
from clipbench.training.order import batches, epoch_pairs
from clipbench.training.pairs import BatchRequest, TrainingPairs
from clipbench.training.schedule import warmup_cosine
from clipbench.training.trace import write_trace


@dataclass
class State:
    """Where a training stands; all of it goes into the checkpoint."""

    epoch: int = 0
    phase: int = 0
    step: int = 0  # batches done of the current phase
    total_steps: int = 0
    samples_seen: int = 0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)


class Trainer:
    """Trains one model on one set of pairs with one defence.

    Args:
        model: an open_clip model on its device; its token table may be compact.
        pairs: the pairs; what is poisoned among them is not known here.
        defense: the defence.
        settings: training settings, all resolved.
        seed: the run's seed.
        folder: where the checkpoint and the trace go.
        fingerprint: identifies data, defence and settings; guards the checkpoint.
        processes: this process among all.
        progress: told about steps.
    """

    def __init__(
        self,
        model: nn.Module,
        pairs: TrainingPairs,
        defense: Defense,
        settings: TrainSettings,
        *,
        seed: int,
        folder: Path,
        fingerprint: str,
        processes: Processes,
        progress: Progress,
    ) -> None:
        self._pairs = pairs
        self._settings = settings
        self._seed = seed
        self._folder = folder
        self._fingerprint = fingerprint
        self._processes = processes
        self._progress = progress
        self._pairs_per_epoch = min(settings.pairs_per_epoch or len(pairs), len(pairs))
        self.learner = Learner(model, pairs, settings, processes)
        self._run = defense.start(self._facts())
        self.state = State()
        self.exposures = np.zeros(len(pairs), dtype=np.int64)
        self._checkpointed = time.monotonic()

    def _facts(self) -> TrainingFacts:
        return TrainingFacts(
            num_pairs=len(self._pairs),
            pairs_per_epoch=self._pairs_per_epoch,
            epochs=self._settings.epochs,
            batch_size=self._settings.batch_size,
            feature_size=self.learner.feature_size(),
            device=self._processes.device,
            # Not the run's seed itself: from that one the attack drew, too.
            seed=derive_seed(self._seed, "defense"),
        )

    # ------------------------------------------------------------------ the loop

    def train(self) -> State:
        """Train to the end, from the checkpoint if there is one."""
        resumed = self._load()
        started = time.perf_counter() - self.state.seconds
        for epoch in range(self.state.epoch, self._settings.epochs):
            self.state.epoch = epoch
            indices = epoch_pairs(len(self._pairs), self._pairs_per_epoch, epoch, self._seed)
            similarity = _Remembered(self.learner, epoch, indices, resumed.get("similarity"))
            at_start = resumed.get("defense_at_epoch_start") or self._run.state_dict()
            at_start = _copied(at_start)
            phases = list(self._run.phases(epoch, similarity))
            if resumed.get("defense"):
                self._run.load_state_dict(resumed["defense"])
            resumed = {}
            if self._processes.is_first:
                place = self._folder / "trace" / f"{epoch:04d}.npz"
                write_trace(place, indices, phases, similarity.value)
            for number in range(self.state.phase, len(phases)):
                self.state.phase = number
                self._run_phase(phases, number, indices, at_start, similarity, started)
                self.state.step = 0
            self.state.phase = 0
            self.state.epoch = epoch + 1
            self.state.seconds = time.perf_counter() - started
            self._keep_weights(epoch + 1)
            self._save(self._run.state_dict(), None)
        return self.state

    def _run_phase(
        self,
        phases: Sequence[Phase],
        number: int,
        indices: npt.NDArray[np.int64],
        at_start: dict[str, Any],
        similarity: _Remembered,
        started: float,
    ) -> None:
        """Train once on the pairs of one phase."""
        phase, state = phases[number], self.state
        sizes = [len(kept(indices, other)) for other in phases]
        pairs = kept(indices, phase)
        parts = [part for part in batches(pairs, self._settings.batch_size) if len(part) > 1]
        losses = list(state.history[-1]["losses"]) if state.step else []
        if not state.step:
            state.history.append(self._entry(phase, len(pairs)))
        requests = [self._request(phase, part, number, i) for i, part in enumerate(parts)]
        stream = self._pairs.stream(requests[state.step :], self._settings.workers)
        for step, batch in enumerate(stream, start=state.step):
            done = (sum(sizes[:number]) + sizes[number] * step / len(parts)) / max(1, sum(sizes))
            rate = self._learning_rate(phase, step, len(parts), done)
            where = f"epoch {state.epoch + 1}, step {step + 1}"
            losses.append(self.learner.step(phase, batch, rate, where))
            state.step, state.total_steps = step + 1, state.total_steps + 1
            state.samples_seen += batch.num_rows
            state.seconds = time.perf_counter() - started
            state.history[-1].update(lr=rate, losses=losses, seconds=state.seconds)
            self._report(done)
            if self._checkpoint_is_due():
                self._save(self._run.state_dict(), (at_start, similarity.value))
        state.history[-1]["loss"] = float(np.mean(losses)) if losses else None
        state.history[-1]["losses"] = losses[:20]
        if phase.cross_modal:
            # An epoch that crosses from one pass into the next can hold a pair twice.
            np.add.at(self.exposures, np.concatenate([indices[:0], *parts]), 1)

    # ------------------------------------------------------------------ small parts

    def _request(
        self, phase: Phase, part: npt.NDArray[np.int64], number: int, step: int
    ) -> BatchRequest:
        rows = self._processes.rows(len(part))
        scope = (self.state.epoch, number, step)
        return BatchRequest(part, rows, phase.views, phase.augment, scope)

    def _learning_rate(self, phase: Phase, step: int, steps: int, done: float) -> float:
        """Return the learning rate of a step; `done` is the share of the epoch done before it."""
        base = self._settings.lr * phase.lr_scale
        if phase.lr_factor is not None:
            return base * phase.lr_factor(step, steps)
        if self._settings.lr_schedule == "constant":
            return base * min(1.0, (self.state.total_steps + 1) / max(1, self._settings.warmup))
        progress = (self.state.epoch + done) / self._settings.epochs
        return base * warmup_cosine(self.state.total_steps, progress, self._settings.warmup)

    def _entry(self, phase: Phase, num_pairs: int) -> dict[str, Any]:
        return {
            "epoch": self.state.epoch + 1,
            "phase": phase.name,
            "pairs": num_pairs,
            "cross_modal": phase.cross_modal,
            "losses": [],
        }

    def _report(self, done: float) -> None:
        total = self._settings.epochs * self._pairs_per_epoch
        seen = int((self.state.epoch + done) * self._pairs_per_epoch)
        self._progress("training (pairs)", min(total, seen), total)

    def _keep_weights(self, epoch: int) -> None:
        every = self._settings.save_frequency
        if every and epoch % every == 0 and self._processes.is_first:
            full = self._pairs.full_state(self.learner.model)
            state = {key: value.cpu() for key, value in full.items()}
            save_checkpoint(self._folder / "epochs" / f"{epoch:04d}.pt", {"model": state})

    # ------------------------------------------------------------------ checkpoints

    def _checkpoint_is_due(self) -> bool:
        """Whether to write a checkpoint now; where several processes train, at epochs only.

        Their clocks differ, and a checkpoint of one process must be one of all.
        """
        waited = time.monotonic() - self._checkpointed
        return self._processes.count == 1 and waited >= self._settings.checkpoint_every_s

    def _save(self, defense: dict[str, Any], midway: tuple[dict[str, Any], Any] | None) -> None:
        """Write the checkpoint; midway through an epoch with what replays the epoch's start."""
        self._checkpointed = time.monotonic()
        if not self._processes.is_first:
            return
        content = {
            "fingerprint": self._fingerprint,
            "model": self.learner.model.state_dict(),
            "optimizer": self.learner.optimizer.state_dict(),
            "state": json.dumps(vars(self.state)),
            "exposures": torch.from_numpy(self.exposures),
            "defense": defense if midway else None,
            "defense_at_epoch_start": midway[0] if midway else defense,
            "similarity": midway[1] if midway else None,
        }
        save_checkpoint(self._folder / "checkpoint.pt", content)

    def _load(self) -> dict[str, Any]:
        """Continue from the checkpoint; return what the first epoch needs to be replayed."""
        content = load_checkpoint(self._folder / "checkpoint.pt", self._fingerprint)
        if content is None:
            return {}
        self.learner.model.load_state_dict(content["model"])
        self.learner.optimizer.load_state_dict(content["optimizer"])
        self.state = State(**json.loads(content["state"]))
        self.exposures = content["exposures"].numpy()
        self._run.load_state_dict(content["defense_at_epoch_start"])
        return content


class _Remembered:
    """The similarity of an epoch, computed at most once, or taken from a checkpoint."""

    def __init__(
        self, learner: Learner, epoch: int, indices: npt.NDArray[np.int64], value: Tensor | None
    ) -> None:
        self._learner = learner
        self._epoch = epoch
        self._indices = indices
        self.value = value

    def __call__(self, augment: bool = False) -> Tensor:
        if self.value is None:
            self.value = self._learner.similarity(self._indices, augment, self._epoch)
        return self.value


def kept(indices: npt.NDArray[np.int64], phase: Phase) -> npt.NDArray[np.int64]:
    """Return the pairs of the epoch that a phase trains on."""
    return indices if phase.keep is None else indices[phase.keep.numpy()]


def _copied(value: Any) -> Any:
    """Return a deep copy of a state of tensors, numbers, lists and dicts."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value
