"""Base of filters: train a model, score all pairs with it, drop the worst, train from scratch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from clipbench.contracts import (
    DefenseRun,
    EpochPairs,
    Ge,
    Gt,
    Lt,
    Phase,
    Plugin,
    Stage,
    TrainingFacts,
)
from clipbench.errors import BadSetting
from clipbench.toolkit.outliers import Neighbors, blocks, nearest
from clipbench_defenses._plain import clip_phase, clip_stage, loss

Length = Literal["raw", "unit"]
References = Literal["images_and_captions", "images"]


@dataclass(frozen=True)
class Filter(Plugin, ABC):
    """Drop the most suspicious pairs and train on the rest; subclasses define the score.

    Args:
        drop: share of all pairs to drop.
        scoring_epochs: epochs of the model that scores the pairs; None: as many as of the final
            model. Both count toward the defense's cost.
    """

    name: ClassVar[str]  # in messages

    @property
    def takes_unit(self) -> bool:
        """Whether features are brought to unit length before `score` gets them."""
        return True

    drop: Annotated[float, Gt(0), Lt(1)] = 0.1
    scoring_epochs: Annotated[int, Ge(1)] | None = None

    @abstractmethod
    def score(self, images: Tensor, texts: Tensor, seed: int) -> Tensor:
        """Return the score of each pair, ``(N,)``, low for suspicious, from features ``(N, D)``."""

    def blocks(self, count: int, seed: int) -> Sequence[Tensor] | None:  # noqa: ARG002
        """Return the pairs that are scored together, ``(B,)`` each; None: all of them are."""
        return None

    def score_block(self, images: Tensor, texts: Tensor, seed: int) -> Tensor:
        """Return the score of each pair of a block, ``(B,)``, if there are blocks."""
        return self.score(images, texts, seed)

    def scoring_stage(self, epochs: int) -> Stage:
        """Return the stage that trains the scoring model."""
        return clip_stage(self.scoring_epochs or epochs)

    def start(self, facts: TrainingFacts) -> DefenseRun:
        """Return the filter for one training run."""
        return FilterRun(self, facts)


class FilterRun:
    """A filter during one training run: the pairs to keep, once scored."""

    def __init__(self, config: Filter, facts: TrainingFacts) -> None:
        self._config, self._facts = config, facts
        self._scoring = config.scoring_stage(facts.epochs)
        self._keep: Tensor | None = None  # (num_pairs of the set,) bool

    @property
    def stages(self) -> Sequence[Stage]:
        """Train the scoring model, then another from scratch."""
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
        config, seed = self._config, self._facts.seed
        blocks = config.blocks(self._facts.num_pairs, seed)
        score = config.score if blocks is None else config.score_block
        scores = pairs.score_set(
            lambda images, texts: score(images, texts, seed), unit=config.takes_unit, blocks=blocks
        )
        return kept(scores, config.drop)

    def state_dict(self) -> dict[str, object]:
        """Return the pairs to keep."""
        return {"keep": self._keep}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self._keep = state["keep"]


def kept(scores: Tensor, drop: float) -> Tensor:
    """Return the pairs to keep, ``(N,)`` bool, after dropping a share with the lowest scores."""
    dropped = scores.argsort(stable=True)[: round(drop * len(scores))]
    keep = torch.ones(len(scores), dtype=torch.bool)
    keep[dropped] = False
    return keep


@dataclass(frozen=True)
class OutlierFilter(Filter):
    """A filter that drops pairs whose image features are outliers.

    Args:
        features: raw, as the image tower returns them, or unit, normalized to length 1. The length
            of a feature also reveals a learned backdoor; the authors' code uses raw features.
    """

    features: Length = "raw"

    @property
    def takes_unit(self) -> bool:
        """Whether features are brought to unit length before `score` gets them."""
        return self.features == "unit"


@dataclass(frozen=True)
class NeighborFilter(OutlierFilter):
    """A filter that drops pairs whose image features have the sparsest neighborhoods.

    Args:
        k: number of neighbors, not counting the image itself. (The authors' code counts from the
            next one: its 16 is the 17th neighbor.)
        block: size of the random blocks in which neighbors are searched. More than k poisoned pairs
            that are close to each other in a block hide each other, such as copies of one image.
        references: where neighbors are searched: among images and captions of the block, as in the
            authors' code, or among its images.
    """

    k: Annotated[int, Ge(1)] = 16
    block: int = 1024
    references: References = "images_and_captions"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k >= self.block // 2:
            raise BadSetting(
                f"{self.name}.k must be below half of block {self.block}. Got {self.k}."
            )

    @abstractmethod
    def outlierness(self, neighbors: Neighbors) -> Tensor:
        """Return the outlier score of each feature, ``(N,)``, high for outliers."""

    def score(self, images: Tensor, texts: Tensor, seed: int) -> Tensor:
        """Return the outlierness of each image among those of its block, negated."""
        scores = images.new_empty(len(images))
        for members in self.blocks(len(images), seed):
            scores[members] = self.score_block(images[members], texts[members], seed)
        return scores

    def blocks(self, count: int, seed: int) -> Sequence[Tensor]:
        """Return random blocks."""
        return [*blocks(count, self.block, seed)]

    def score_block(self, images: Tensor, texts: Tensor, seed: int) -> Tensor:  # noqa: ARG002
        """Return the outlierness of each image of a block, negated."""
        is_joint = self.references == "images_and_captions"
        among = torch.cat([images, texts]) if is_joint else images
        return -self.outlierness(nearest(among, min(self.k, len(among) - 1)))[: len(images)]
