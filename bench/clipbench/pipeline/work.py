"""What a defence does in a whole training: its epochs, planned on an imaginary set."""

from __future__ import annotations

import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch

from clipbench.contracts import Defense, DefenseRun, EpochPairs, Phase, Score, TrainingFacts
from clipbench.rng import generator
from clipbench.training.stages import stages_of

IMAGINARY = 2_000  # pairs, at most, of that set

Kind = tuple[str, int, int, bool]  # of phases in which a pair takes equally long, see `kind_of`
Result = TypeVar("Result")


@dataclass(frozen=True)
class Work:
    """What a defence does in a whole training, in passes over the pairs of an epoch.

    Args:
        passes: for each kind of phase, how often it trains on all pairs.
        scorings: how often they are scored, by whether they are augmented.
        planning: seconds it takes to plan all epochs, a pair.
        examples: a phase of each kind.
        epochs: of all stages together.
    """

    passes: Mapping[Kind, float]
    scorings: Mapping[bool, float]
    planning: float
    examples: Mapping[Kind, Phase]
    epochs: int


def work_of(
    defense: Defense, facts: TrainingFacts, whole: float = 1.0, *, until_scored: bool = False
) -> Work:
    """Return what a defence does, planned on an imaginary set.

    A tenth of its pairs do not match.

    Args:
        defense: the defence.
        facts: what it is told.
        whole: pairs of the set over pairs of an epoch.
        until_scored: only as far as it has scored the whole set, as `Trainer.train` does.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a guess about an imaginary set is no news
        _planned(defense, facts, whole, until_scored)  # the first time, libraries are loaded
        return _planned(defense, facts, whole, until_scored)


def _planned(defense: Defense, facts: TrainingFacts, whole: float, until_scored: bool) -> Work:
    run = defense.start(facts)
    passes: dict[Kind, float] = defaultdict(float)
    scorings: dict[bool, float] = defaultdict(float)
    examples: dict[Kind, Phase] = {}
    planning = 0.0
    epochs = [stage for stage in stages_of(run, facts.epochs) for _ in range(stage.epochs)]
    for epoch, stage in enumerate(epochs):
        size = facts.trusted_pairs if stage.trusted else facts.pairs_per_epoch
        share = size / facts.pairs_per_epoch
        pairs = _Imaginary(facts, epoch, size, share if stage.trusted else whole)
        phases, seconds = timed(partial(_listed, run, epoch, pairs))
        planning += seconds
        for augment, times in pairs.asked.items():
            scorings[augment] += times
        if until_scored and pairs.scored_set:
            epochs = epochs[:epoch]
            break
        for phase in phases:
            kind = kind_of(phase)
            kept = 1.0 if phase.keep is None else float(phase.keep.float().mean())
            passes[kind] += kept * share
            examples[kind] = phase
    return Work(passes, scorings, planning / facts.pairs_per_epoch, examples, len(epochs))


def _listed(run: DefenseRun, epoch: int, pairs: EpochPairs) -> list[Phase]:
    return list(run.phases(epoch, pairs))


class _Imaginary:
    """Pairs of an epoch that are nowhere, a tenth of which do not match.

    Args:
        facts: what the defence was told.
        epoch: names the random stream.
        size: of the epoch, in pairs.
        whole: pairs of the set over the usual pairs of an epoch.
    """

    def __init__(self, facts: TrainingFacts, epoch: int, size: int, whole: float) -> None:
        self._facts, self._size, self._whole = facts, size, whole
        self._rng = generator(0, "imaginary", epoch)
        self.numbers = np.arange(size, dtype=np.int64)
        self.asked: dict[bool, float] = {}  # passes over an epoch's pairs, by augmentation
        self.scored_set = False

    def similarity(self, augment: bool = False) -> torch.Tensor:
        """Return scores; the engine computes them once, so they count once."""
        self.asked[augment] = self._size / self._facts.pairs_per_epoch
        means = np.where(np.arange(self._size) % 10 == 0, 0.1, 0.5)
        return torch.from_numpy(self._rng.normal(means, 0.1).astype(np.float32))

    def score_set(self, score: Score) -> torch.Tensor:
        """Return scores of random features, repeated where the set is larger than the epoch."""
        self.asked[False] = self.asked.get(False, 0.0) + self._whole
        self.scored_set = True
        shape = (2, self._size, self._facts.feature_size)
        features = torch.from_numpy(self._rng.standard_normal(shape).astype(np.float32))
        scores = score(*torch.nn.functional.normalize(features, dim=2))
        times = -(-self._facts.num_pairs // self._size)
        return scores.repeat(times)[: max(self._facts.num_pairs, self._size)]


def kind_of(phase: Phase) -> Kind:
    """Return what decides how long a pair takes in a phase."""
    return phase.name, phase.views, phase.detached_views, phase.augment


def timed(action: Callable[[], Result]) -> tuple[Result, float]:
    """Return what an action returns, and the seconds it took."""
    started = time.perf_counter()
    result = action()
    return result, time.perf_counter() - started
