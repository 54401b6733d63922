"""Random subset: train each epoch on a random share of the pairs, so poison is met less often.

No paper: a baseline that a defense which chooses its pairs must beat.
"""
# ruff: noqa: D102  (what each method must do is documented in clipbench.contracts.Defense)

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import torch

from clipbench.contracts import (
    EpochPairs,
    Features,
    Gt,
    Le,
    Phase,
    Plugin,
    StatelessRun,
    TrainingFacts,
)
from clipbench.rng import generator
from clipbench.toolkit.losses import clip_loss


@dataclass(frozen=True)
class RandomSubset(Plugin):
    """Train with the CLIP loss on pairs that are drawn anew every epoch.

    Args:
        share: share of an epoch's pairs that is trained on.
    """

    # Parameters: each needs a type, with its range if it has one, a default, and a line above.
    share: Annotated[float, Gt(0), Le(1)] = 0.5

    def start(self, facts: TrainingFacts) -> RandomSubsetRun:
        return RandomSubsetRun(self.share, facts)


# If it learns something while it trains, derive from DefenseRun and put that into state_dict.
class RandomSubsetRun(StatelessRun):
    """Random subset in one training; it learns nothing, so it has nothing to remember."""

    def __init__(self, share: float, facts: TrainingFacts) -> None:
        super().__init__()
        self._facts = facts
        self._size = max(2, int(share * facts.pairs_per_epoch))  # a contrast needs two pairs

    # Called before each epoch: what to train on, with which loss. `pairs` has captions and images.
    def phases(self, epoch: int, pairs: EpochPairs) -> Iterator[Phase]:  # noqa: ARG002
        rng = generator(self._facts.seed, "random_subset", epoch)
        keep = torch.zeros(self._facts.pairs_per_epoch, dtype=torch.bool)
        keep[rng.permutation(len(keep))[: self._size]] = True
        yield Phase("kept", self.loss, keep=keep)

    # Features have unit length and shape (views, batch, D).
    def loss(self, features: Features) -> torch.Tensor:
        return clip_loss(features.image[0], features.text[0], features.logit_scale)


DEFENSE = RandomSubset
