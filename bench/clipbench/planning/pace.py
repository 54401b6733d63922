"""How fast a learner trains and scores: its own steps, timed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from clipbench.configuration.settings import TrainSettings
from clipbench.contracts import Phase
from clipbench.loading.pairs import BatchRequest, TrainingPairs
from clipbench.planning.work import PATIENCE_S, seconds_each, timed
from clipbench.training.learner import Learner


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
        if phase.reference:
            self._learner.remember()
        rows = self._most_rows
        seconds = seconds_each(lambda few: self._steps(phase, few, 1), rows)
        if rows * seconds < PATIENCE_S / 2:  # without what is allocated and chosen in the first
            return self._steps(phase, rows, 2) / (2 * rows)
        return seconds

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

        def score(rows: int) -> None:
            self._learner.similarity(self._pairs, self._indices(rows), augment, 0)
            self._finish()

        return seconds_each(score, min(len(self._pairs), self._most_rows))

    def _indices(self, count: int) -> npt.NDArray[np.int64]:
        return np.arange(count, dtype=np.int64) % len(self._pairs)

    def _finish(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
