"""What filters share: train a model, score all pairs by it, drop the worst, train anew."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from clipbench.contracts import (
    DefenseRun,
    EpochPairs,
    Phase,
    Stage,
    TrainingFacts,
)
from clipbench.errors import BadSetting
from clipbench.training.outliers import Neighbors, nearest_in_blocks
from clipbench_defenses._plain import clip_phase, clip_stage, loss


@dataclass(frozen=True)
class Filter(ABC):
    """Drop the most suspicious pairs and train on the rest; subclasses say how they are scored.

    Args:
        drop: share of all pairs that is dropped, in (0, 1).
        scoring_epochs: epochs of the model that scores the pairs; None: as many as of the model
            that is trained then. Both count as the defence's cost.
    """

    name: ClassVar[str]  # in messages

    drop: float = 0.1
    scoring_epochs: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.drop < 1:
            raise BadSetting(f"{self.name}.drop must be in (0, 1). Got {self.drop}.")
        if self.scoring_epochs is not None and self.scoring_epochs < 1:
            raise BadSetting(
                f"{self.name}.scoring_epochs must be at least 1. Got {self.scoring_epochs}."
            )

    @abstractmethod
    def score(self, images: Tensor, texts: Tensor, seed: int) -> Tensor:
        """Return how much each pair is trusted, ``(N,)``, from unit features ``(N, D)``."""

    def scoring_stage(self, epochs: int) -> Stage:
        """Return the stage that trains the model which scores."""
        return clip_stage(self.scoring_epochs or epochs)

    def start(self, facts: TrainingFacts) -> DefenseRun:
        """Return the filter at work in one training."""
        return FilterRun(self, facts)


class FilterRun:
    """A filter at work: which pairs are kept, once that is known."""

    def __init__(self, config: Filter, facts: TrainingFacts) -> None:
        self._config, self._facts = config, facts
        self._scoring = config.scoring_stage(facts.epochs)
        self._keep: Tensor | None = None  # (num_pairs of the set,) bool

    @property
    def stages(self) -> Sequence[Stage]:
        """Train the model that scores, then another from the start."""
        return self._scoring, Stage(self._facts.epochs, fresh=True)

    def phases(self, epoch: int, pairs: EpochPairs) -> Iterator[Phase]:
        """Yield the one phase of an epoch; before the first of the second stage, score."""
        if epoch < self._scoring.epochs:
            yield clip_phase()
            return
        if epoch == self._scoring.epochs:
            self._keep = self._split(pairs)
        assert self._keep is not None
        yield Phase("kept", loss, keep=self._keep[torch.from_numpy(pairs.numbers)])

    def _split(self, pairs: EpochPairs) -> Tensor:
        scores = pairs.score_set(
            lambda images, texts: self._config.score(images, texts, self._facts.seed)
        )
        dropped = scores.argsort(stable=True)[: round(self._config.drop * len(scores))]
        keep = torch.ones(len(scores), dtype=torch.bool)
        keep[dropped] = False
        return keep

    def state_dict(self) -> dict[str, Any]:
        """Return which pairs are kept."""
        return {"keep": self._keep}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self._keep = state["keep"]


@dataclass(frozen=True)
class NeighborFilter(Filter):
    """A filter that drops the pairs whose images lie in the sparsest neighbourhoods.

    Args:
        k: neighbours that are looked at.
        block: pairs among which neighbours are looked for, at random.
    """

    k: int = 16
    block: int = 1024

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.k < self.block // 2:
            raise BadSetting(
                f"{self.name}.k must be at least 1 and below half of block {self.block}. Got"
                f" {self.k}."
            )

    @abstractmethod
    def outlierness(self, neighbors: Neighbors) -> Tensor:
        """Return how much of an outlier each image is, ``(N,)``."""

    def score(self, images: Tensor, texts: Tensor, seed: int) -> Tensor:  # noqa: ARG002
        """Return the outlierness of each image, negated."""
        k = min(self.k, len(images) - 1)
        return -self.outlierness(nearest_in_blocks(images, k, self.block, seed))
