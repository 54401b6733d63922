"""Pairs that are nowhere: what a defense is asked about before there is a set to look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, overload

import numpy as np
import torch

from clipbench.boundary import readonly
from clipbench.contracts import Image, Score, Stage, TrainingFacts
from clipbench.errors import ClipbenchError
from clipbench.rng import generator

MOST_LOOKED_AT = 10_000  # pairs of a set that a plan may look at, one by one
_SIDE = 64  # pixels of an imaginary image
_THINGS = ("dog", "red car", "small wooden house", "bowl of fruit", "bridge", "woman with a hat")
_PLACES = ("", "in the rain", "on a table by the window", "at night", "seen from above")
Item = TypeVar("Item")


class TooManyPairsError(ClipbenchError):
    """A defense looks at all pairs of an imaginary set that is too large for that."""


class Made(Sequence[Item]):
    """A sequence whose items are made of their number, each time anew.

    Args:
        size: how many.
        make: makes one.
    """

    def __init__(self, size: int, make: Callable[[int], Item]) -> None:
        self._size, self._make = size, make

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        if isinstance(index, slice):
            return [self._make(number) for number in range(*index.indices(self._size))]
        if not -self._size <= index < self._size:
            raise IndexError(index)
        return self._make(index % self._size)


def caption(number: int) -> str:
    """Return an imaginary caption of 3 to 14 words."""
    thing, place = _THINGS[number % len(_THINGS)], _PLACES[number // 7 % len(_PLACES)]
    return f"photo {number} of a {thing} {place}".strip()


def image(number: int) -> Image:
    """Return an imaginary image, ``(64, 64, 3)``: eight by eight patches of color."""
    patches = generator(number, "imaginary image").integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return readonly.array(patches.repeat(_SIDE // 8, axis=0).repeat(_SIDE // 8, axis=1))


class ImaginaryView:
    """Captions and images of imaginary pairs, see `clipbench.contracts.PairsView`.

    Args:
        size: how many pairs.
    """

    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size

    def captions(self) -> Sequence[str]:
        """Return imaginary captions."""
        return Made(self._size, caption)

    def image(self, index: int) -> Image:
        """Return an imaginary image."""
        return self.images[index]

    @property
    def images(self) -> Sequence[Image]:
        """Imaginary images."""
        return Made(self._size, image)


class ImaginaryPairs:
    """Pairs of an epoch, a tenth of which do not match, see `clipbench.contracts.EpochPairs`.

    What was asked of them is kept: how many passes over an epoch's pairs scored them, by whether
    they were augmented; whether the whole set was scored; whether anything was asked at all.

    Args:
        facts: what the defense was told.
        epoch: names the random stream.
        size: of the epoch, in pairs.
        whole: pairs of the set over the usual pairs of an epoch.
        set_size: pairs of the set.
        passed: share of the epoch's pairs of which a step of the epoch before kept the similarity.
    """

    def __init__(
        self,
        facts: TrainingFacts,
        epoch: int,
        size: int,
        whole: float,
        set_size: int,
        passed: float = 0.0,
    ) -> None:
        self._facts, self._size, self._whole, self._set_size = facts, size, whole, set_size
        self._passed = passed
        self._rng = generator(0, "imaginary", epoch)
        self.numbers = np.arange(size, dtype=np.int64)
        self.asked: dict[bool, float] = {}
        self.scored_set = False
        self.looked = False

    def __len__(self) -> int:
        return self._size

    @property
    def depends_on_data(self) -> bool:
        """Whether a defense was told anything of which another set would have told something else.

        Then what it made of that says nothing about another set.
        """
        return bool(self.asked) or self.looked

    def captions(self) -> Sequence[str]:
        """Return imaginary captions."""
        return self._view(self._size).captions()

    def image(self, index: int) -> Image:
        """Return an imaginary image."""
        return self._view(self._size).image(index)

    @property
    def images(self) -> Sequence[Image]:
        """Imaginary images."""
        return self._view(self._size).images

    @property
    def whole_set(self) -> ImaginaryView:
        """The imaginary set.

        Raises:
            TooManyPairsError: it is so large that a plan would take as long as the work.
        """
        if self._set_size > max(MOST_LOOKED_AT, self._size):
            raise TooManyPairsError
        return self._view(self._set_size)

    def _view(self, size: int) -> ImaginaryView:
        self.looked = True
        return ImaginaryView(size)

    def similarity(self, augment: bool = False, reuse: bool = False) -> torch.Tensor:
        """Return scores; the engine computes them once, so they count once."""
        scored = 1.0 - self._passed if reuse else 1.0
        self.asked[augment] = scored * self._size / self._facts.pairs_per_epoch
        means = np.where(np.arange(self._size) % 10 == 0, 0.1, 0.5)
        return torch.from_numpy(self._rng.normal(means, 0.1).astype(np.float32))

    def released_similarity(self, model: str, weights: str) -> torch.Tensor:  # noqa: ARG002
        """Return scores; the time they take is counted as that of scoring by the trained model."""
        self.asked[False] = self.asked.get(False, 0.0) + self._whole
        self.scored_set = True
        size = max(self._facts.num_pairs, self._size)
        return torch.from_numpy(self._rng.standard_normal(size).astype(np.float32))

    def score_set(
        self, score: Score, *, unit: bool = True, blocks: Sequence[torch.Tensor] | None = None
    ) -> torch.Tensor:
        """Return scores of random features, repeated where the set is larger than the epoch."""
        self.asked[False] = self.asked.get(False, 0.0) + self._whole
        self.scored_set = True
        shape = (2, self._size, self._facts.feature_size)
        features = torch.from_numpy(self._rng.standard_normal(shape).astype(np.float32))
        images, texts = torch.nn.functional.normalize(features, dim=2) if unit else features
        if blocks is None:
            scores = score(images, texts)
        else:  # as many blocks of that size as the epoch has pairs for
            many = -(-self._size // min(len(blocks[0]), self._size))
            parts = zip(images.tensor_split(many), texts.tensor_split(many), strict=True)
            scores = torch.cat([score(*part) for part in parts])
        times = -(-self._facts.num_pairs // self._size)
        return scores.repeat(times)[: max(self._facts.num_pairs, self._size)]


def imagined(
    facts: TrainingFacts, stage: Stage, epoch: int, whole: float = 1.0, passed: float = 0.0
) -> ImaginaryPairs:
    """Return the imaginary pairs of an epoch.

    Args:
        facts: what the defense was told.
        stage: that the epoch is part of.
        epoch: its number.
        whole: pairs of the set over pairs of an epoch.
        passed: see `ImaginaryPairs`.
    """
    if not stage.trusted:
        size = facts.pairs_per_epoch
        return ImaginaryPairs(facts, epoch, size, whole, max(size, facts.num_pairs), passed)
    size = facts.trusted_pairs
    return ImaginaryPairs(facts, epoch, size, size / facts.pairs_per_epoch, size)
