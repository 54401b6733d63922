"""Variants of SafeCLIP: choices of the authors' code, and NNCLR's symmetric loss.

Released code: https://github.com/BigML-CS-UCLA/SafeCLIP. The section on SafeCLIP in docs/methods.md
compares it with the paper point by point; `--recipe safeclip-paper` sets its choices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from clipbench.contracts import EpochPairs, Phase, TrainingFacts
from clipbench.toolkit.losses import crossed_clip_loss, info_nce
from clipbench.toolkit.mixture import Mixture
from clipbench.toolkit.pool import NearestNeighborPool
from clipbench.toolkit.schedule import cosine_of_steps
from clipbench_defenses.safeclip import BoolArray, FloatArray, SafeCLIP, SafeCLIPRun

# Parameters that choose a variant, and their values in the paper's algorithm.
VARIANTS = {
    "symmetric": False,
    "score_augmented": False,
    "rank_by": "similarity",
    "cross_aug": False,
    "lr_schedule": "fixed",
}


class SafeCLIPVariantRun(SafeCLIPRun):
    """One training run with the phases, scores, ranks and losses that the parameters choose."""

    def __init__(self, config: SafeCLIP, facts: TrainingFacts) -> None:
        super().__init__(config, facts)
        self._first_share: float | None = None  # of the safe set, for the official schedule

    def phases(self, epoch: int, pairs: EpochPairs) -> Iterator[Phase]:
        """Yield the phases of an epoch, as the chosen variants have them."""
        config = self._config
        for phase in super().phases(epoch, pairs):
            varied = phase
            if config.symmetric and not phase.cross_modal:
                varied = replace(varied, detached_views=0)
            if config.cross_aug and phase.cross_modal:
                varied = replace(varied, loss=crossed_clip_loss, views=2)
            if config.lr_schedule == "official":
                varied = replace(varied, lr_factor=self._official_factor(epoch, phase))
            yield varied

    def _split(self, similarity: FloatArray) -> BoolArray:
        safe = super()._split(similarity)
        if self._first_share is None:
            self._first_share = float(safe.mean())
        return safe

    def _similarity(self, pairs: EpochPairs) -> Tensor:
        return pairs.similarity(self._config.score_augmented, self._config.reuse_scores)

    def _ranked(self, similarity: FloatArray, mixture: Mixture) -> npt.NDArray[np.intp]:
        if self._config.rank_by == "similarity":
            return super()._ranked(similarity, mixture)
        # Ties, of which a saturated posterior makes many, are broken by similarity.
        return np.lexsort((-similarity, -mixture.posterior))

    def _neighbor_loss(self, views: Tensor, pool: NearestNeighborPool, scale: Tensor) -> Tensor:
        if not self._config.symmetric:
            return super()._neighbor_loss(views, pool, scale)
        first, second = views
        there = info_nce(second, pool.nearest(first), scale)
        back = info_nce(first, pool.nearest(second), scale)
        pool.push(first)
        return (there + back) / 2

    def _official_factor(self, epoch: int, phase: Phase) -> Callable[[int, int], float]:
        """Return the authors' schedule for one phase.

        Their step counter is (batches of an epoch) x (epoch counted from 1), while the cosine's
        length is that of the epochs of one stage. After the warm-up that length sums the growing
        safe sets, without their cap; an epoch of the safe set counts as their mean, one of the
        risky set as its own batches.
        """
        config, facts = self._config, self._facts
        all_batches = -(-facts.pairs_per_epoch // facts.batch_size)
        warmup = config.unimodal_epochs + config.cross_modal_epochs
        total, counted = float(all_batches * warmup), 0
        if phase.keep is not None:  # after the warm-up
            assert self._first_share is not None  # the split comes before its phases
            epochs = facts.epochs - warmup
            share = self._first_share * epochs + config.growth * epochs * (epochs - 1) / 2
            total = share * all_batches
            counted = int(total // epochs) if phase.cross_modal else 0
        elif phase.cross_modal:  # its warm-up has a constant rate
            return lambda _step, _steps: 1.0

        def factor(step: int, steps: int) -> float:
            done = (counted or steps) * (epoch + 1) + step
            return cosine_of_steps(done, total, facts.warmup)

        return factor

    def state_dict(self) -> dict[str, object]:
        """Return the pools, the size of the next safe set, and what the schedule remembers."""
        return {**super().state_dict(), "first_share": self._first_share}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        super().load_state_dict(state)
        self._first_share = state["first_share"]
