"""What a defence is told of an epoch's pairs."""

from __future__ import annotations

import torch
from torch import Tensor

from clipbench.contracts import IntArray, Score
from clipbench.training.learner import Learner
from clipbench.training.pairs import TrainingPairs


class SeenPairs:
    """See `clipbench.contracts.EpochPairs`; each value is computed at most once an epoch.

    Args:
        learner: the model as it stands.
        pairs: the set.
        epoch: number of the epoch; names random streams.
        numbers: the epoch's pairs, ``(num_pairs,)``.
        values: what was computed before a training of this epoch was stopped.
    """

    def __init__(
        self,
        learner: Learner,
        pairs: TrainingPairs,
        epoch: int,
        numbers: IntArray,
        values: dict[str, Tensor] | None,
    ) -> None:
        self._learner = learner
        self._pairs = pairs
        self._epoch = epoch
        self.numbers = numbers
        self.values = dict(values or {})

    def similarity(self, augment: bool = False) -> Tensor:
        """Return the cosine similarity of image and caption of each of the epoch's pairs."""
        name = "augmented" if augment else "similarity"
        if name not in self.values:
            found = self._learner.similarity(self._pairs, self.numbers, augment, self._epoch)
            self.values[name] = found
        return self.values[name]

    def score_set(self, score: Score) -> Tensor:
        """Return a score of all pairs of the set, in the order of the set."""
        if "set" not in self.values:
            self.values["set"] = score(*self._learner.features(self._pairs, self._epoch)).float()
        return self.values["set"]

    def for_trace(self) -> Tensor | None:
        """Return the scores of the epoch's pairs, if any were asked for; the lower the worse."""
        if "set" in self.values:
            return self.values["set"][torch.from_numpy(self.numbers)]
        return self.values.get("similarity", self.values.get("augmented"))
