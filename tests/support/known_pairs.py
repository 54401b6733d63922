"""Pairs of an epoch whose features and similarities are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from clipbench.contracts import Image, IntArray, PairsView, Score


@dataclass(frozen=True)
class KnownPairs:
    """What a defense may ask about the pairs of an epoch, here the whole set in its order.

    Args:
        similarities: ``(N,)`` cosine of image and caption of each pair; None: nobody may ask.
        features: ``(N, D)`` unit features of images; None: nobody may ask.
        texts: likewise.
        pictures: N images as they are stored; empty: nobody may ask.
        words: N captions; empty: nobody may ask.
    """

    similarities: Tensor | None = None
    features: Tensor | None = None
    texts: Tensor | None = None
    pictures: Sequence[Image] = ()
    words: Sequence[str] = ()
    asked: list[tuple[str, str]] = field(default_factory=list)  # released models, as they are asked

    @property
    def numbers(self) -> IntArray:
        """All pairs of the set, in order."""
        return np.arange(len(self), dtype=np.int64)

    def __len__(self) -> int:
        given = (self.similarities, self.features, self.pictures or None, self.words or None)
        return len(next(known for known in given if known is not None))

    @property
    def whole_set(self) -> PairsView:
        """The same pairs: the epoch has all of them, in the order of the set."""
        return self

    def captions(self) -> Sequence[str]:
        """Return the given captions."""
        assert self.words, "asked for captions"
        return self.words

    def image(self, index: int) -> Image:
        """Return a given image."""
        return self.images[index]

    @property
    def images(self) -> Sequence[Image]:
        """The given images."""
        assert self.pictures, "asked for images"
        return self.pictures

    def similarity(self, augment: bool = False, reuse: bool = False) -> Tensor:  # noqa: ARG002
        """Return the given similarities."""
        assert self.similarities is not None, "asked for similarities"
        return self.similarities

    def released_similarity(self, model: str, weights: str) -> Tensor:
        """Return the given similarities; `asked` remembers whose they are said to be."""
        self.asked.append((model, weights))
        return self.similarity()

    def score_set(
        self, score: Score, *, unit: bool = True, blocks: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Return the score of the given features, which are of any length."""
        assert self.features is not None, "asked for features"
        assert self.texts is not None, "asked for features"
        images, texts = self.features, self.texts
        if unit:
            images, texts = F.normalize(images, dim=1), F.normalize(texts, dim=1)
        if blocks is None:
            return score(images, texts)
        scores = torch.full((len(images),), torch.nan)
        for members in blocks:
            scores[members] = score(images[members], texts[members])
        return scores
