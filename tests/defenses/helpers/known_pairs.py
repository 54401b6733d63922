"""Pairs of an epoch whose features and similarities are given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from clipbench.contracts import IntArray, Score


@dataclass(frozen=True)
class KnownPairs:
    """What a defence may ask about the pairs of an epoch, here the whole set in its order.

    Args:
        similarities: ``(N,)`` cosine of image and caption of each pair; None: nobody may ask.
        images: ``(N, D)`` unit features; None: nobody may ask.
        texts: likewise.
    """

    similarities: Tensor | None = None
    images: Tensor | None = None
    texts: Tensor | None = None

    @property
    def numbers(self) -> IntArray:
        """All pairs of the set, in order."""
        known = self.images if self.similarities is None else self.similarities
        assert known is not None, "asked for numbers"
        return np.arange(len(known), dtype=np.int64)

    def similarity(self, augment: bool = False) -> Tensor:  # noqa: ARG002
        """Return the given similarities."""
        assert self.similarities is not None, "asked for similarities"
        return self.similarities

    def score_set(self, score: Score) -> Tensor:
        """Return the score of the given features."""
        assert self.images is not None, "asked for features"
        assert self.texts is not None, "asked for features"
        return score(self.images, self.texts)
