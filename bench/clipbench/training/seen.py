"""The `EpochPairs` passed to a defense: pair numbers, cached scores, captions and images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from clipbench.contracts import Image, IntArray, Score
from clipbench.loading.augment import on_device
from clipbench.loading.pairs import PairSource
from clipbench.loading.stored import StoredPairs
from clipbench.training.released import released_similarity
from clipbench.training.scoring import Scoring, block_scores, whole_scores


class SeenPairs:
    """See `clipbench.contracts.EpochPairs`; each value is computed at most once an epoch.

    Args:
        scoring: the model as it stands, the set, and the epoch's number, from 0.
        numbers: the epoch's pairs, ``(num_pairs,)``.
        values: what was computed before a training run of this epoch was stopped.
        passed: what the steps of the epoch before computed; None: nothing.
    """

    def __init__(
        self,
        scoring: Scoring,
        numbers: IntArray,
        values: dict[str, Tensor] | None,
        passed: PassScores | None = None,
    ) -> None:
        self._scoring = scoring
        self._passed = passed
        self._numbers = numbers
        self.values = dict(values or {})
        self._asked = 0  # how often for a score of the set

    @property
    def numbers(self) -> IntArray:
        """Which pairs of the set the epoch has; a copy, to do with as one likes."""
        return self._numbers.copy()

    @property
    def whole_set(self) -> StoredPairs:
        """All pairs of the set, in its order."""
        return StoredPairs(self._source())

    def __len__(self) -> int:
        return len(self._numbers)

    def captions(self) -> Sequence[str]:
        """Return the captions of the epoch's pairs."""
        return self._stored().captions()

    def image(self, index: int) -> Image:
        """Return the image of the epoch's pair `index`."""
        return self._stored().image(index)

    @property
    def images(self) -> Sequence[Image]:
        """The images of the epoch's pairs."""
        return self._stored().images

    def _stored(self) -> StoredPairs:
        return StoredPairs(self._source(), self._numbers)

    def _source(self) -> PairSource:
        source = self._scoring.pairs.source
        assert source is not None, "pairs without a source"
        return source

    def similarity(self, augment: bool = False, reuse: bool = False) -> Tensor:
        """Return the cosine similarity of image and caption of each of the epoch's pairs."""
        name = "augmented" if augment else "similarity"
        if reuse:
            name = f"{name}, reused"
        if name not in self.values:
            known = self._passed.of(self._numbers) if reuse and self._passed is not None else None
            self.values[name] = self._scored(known, augment)
        return self.values[name].clone()

    def _scored(self, known: Tensor | None, augment: bool) -> Tensor:
        """Return the similarities of all pairs, scoring those that are not known."""

        def score(numbers: IntArray) -> Tensor:
            used = self._scoring
            return used.learner.similarity(used.pairs, numbers, augment, used.epoch)

        if known is None:
            return score(self._numbers)
        unknown = known.isnan()
        if unknown.any():
            known[unknown] = score(self._numbers[unknown.numpy()])
        return known

    def score_set(
        self, score: Score, *, unit: bool = True, blocks: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Return a score of all pairs of the set, in the order of the set."""
        if blocks is None:
            return self._of_set(partial(whole_scores, self._scoring, score, unit=unit))
        return self._of_set(partial(block_scores, self._scoring, score, blocks, unit=unit))

    def released_similarity(self, model: str, weights: str) -> Tensor:
        """Return the cosine similarity of all pairs of the set under a model of others."""
        processes = self._scoring.learner.processes
        return self._of_set(partial(released_similarity, model, weights, self._source(), processes))

    def _of_set(self, compute: Callable[[], Tensor]) -> Tensor:
        """Return a score of the set; each that is asked for is another, in the order of asking."""
        self._asked += 1
        name = _of_set(self._asked)
        if name not in self.values:
            self.values[name] = compute()
        return self.values[name].clone()

    @property
    def set_scores(self) -> Tensor | None:
        """The score of the set that was asked for last; None: none was."""
        return self.values.get(_of_set(self._asked))

    def for_trace(self) -> Tensor | None:
        """Return the scores of the epoch's pairs, if any were asked for; the lower the worse."""
        if self.set_scores is not None:
            return self.set_scores[torch.from_numpy(self._numbers)]
        names = ("similarity", "augmented", "similarity, reused", "augmented, reused")
        return next((self.values[name] for name in names if name in self.values), None)


def _of_set(number: int) -> str:
    """Return the name of the first, second, ... score of the set."""
    return "set" if number == 1 else f"set, {number}"


class PassScores:
    """What the steps of the epoch before made of each pair, and those of this epoch so far."""

    def __init__(self) -> None:
        self._before: Tensor | None = None  # (N,), NaN where no step computed any
        self._now: Tensor | None = None

    def note(self, pairs: IntArray, values: Tensor, num_pairs: int) -> None:
        """Keep the similarities of a batch, ``(B,)``; a GPU's stay there until they are asked for.

        Args:
            pairs: numbers of the batch's pairs, ``(B,)``.
            values: their similarities.
            num_pairs: N, pairs in the set that they are of.
        """
        if self._now is None:
            self._now = torch.full((num_pairs,), torch.nan, device=values.device)
        self._now[on_device(pairs, values.device)] = values

    def turn(self) -> None:
        """Begin an epoch: what was of this one is of the one before."""
        self._before, self._now = self._now, None

    def clear(self) -> None:
        """Begin a stage: of another model, or another set, as it may be, nothing is known."""
        self._before = self._now = None

    def of(self, pairs: IntArray) -> Tensor:
        """Return what the epoch before made of pairs, ``(B,)`` on the CPU; NaN: nothing."""
        if self._before is None:
            return torch.full((len(pairs),), torch.nan)
        return self._before.cpu()[torch.from_numpy(pairs)]

    def state(self) -> Tensor | None:
        """Return what is known of this epoch so far."""
        return None if self._now is None else self._now.cpu()

    def load(self, now: Tensor | None, device: torch.device) -> None:
        """Take up an epoch where it was stopped."""
        self._now = None if now is None else now.to(device)
