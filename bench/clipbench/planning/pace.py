"""How fast a learner trains and scores: its own steps, timed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from clipbench.configuration.settings import TrainSettings
from clipbench.contracts import Phase
from clipbench.loading.pairs import BatchRequest, TrainingPairs
from clipbench.planning.work import timed
from clipbench.training.learner import Learner

PATIENCE_S = 1.0  # that one timed step may take, where fewer pairs than a batch's can tell
FIRST_ROWS = 16


class Pace:
    """Times a learner.

    Args:
        learner: the learner; it is trained by that.
        pairs: what it is timed on.
        settings: of them, `batch_size` and `workers`.
        device: it computes on.
        processes: that train together; this one never has more than its share of a batch.
    """

    def __init__(
        self,
        learner: Learner,
        pairs: TrainingPairs,
        settings: TrainSettings,
        device: torch.device,
        processes: int = 1,
    ) -> None:
        self._learner, self._pairs, self._device = learner, pairs, device
        self._most_rows, self._workers = -(-settings.batch_size // processes), settings.workers

    def step(self, phase: Phase) -> float:
        """Return the seconds of training on one pair; of whole shares, unless they are slow."""
        rows = min(self._most_rows, FIRST_ROWS)
        if phase.reference:
            self._learner.remember()
        self._steps(phase, rows, 1)  # the first allocates and chooses algorithms
        first = self._steps(phase, rows, 1)
        rows = max(rows, min(self._most_rows, int(rows * PATIENCE_S / first)))
        count = 2 if first * rows / FIRST_ROWS < PATIENCE_S / 2 else 1
        return self._steps(phase, rows, count) / (count * rows)

    def _steps(self, phase: Phase, rows: int, count: int) -> float:
        indices = self._indices(rows)
        requests = [
            BatchRequest(indices, slice(0, rows), phase.views, phase.augment, ("rehearsal", number))
            for number in range(count)
        ]

        def train() -> None:
            for batch in self._pairs.stream(requests, self._workers):
                self._learner.step(phase, batch, 0.0, "a rehearsal")
            self._finish()

        return timed(train)[1]

    def score(self, augment: bool) -> float:
        """Return the seconds of scoring one pair."""
        indices = self._indices(min(len(self._pairs), self._most_rows))

        def score() -> None:
            self._learner.similarity(self._pairs, indices, augment, 0)
            self._finish()

        return timed(score)[1] / len(indices)

    def _indices(self, count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        return np.arange(count, dtype=np.int64) % len(self._pairs)

    def _finish(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
