"""What a defence does in a whole training: its epochs, planned on an imaginary set."""

from __future__ import annotations

import statistics
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from clipbench.contracts import Defense, DefenseRun, Phase, TrainingFacts
from clipbench.rng import generator

IMAGINARY = 2_000  # pairs, at most, of that set

Kind = tuple[str, int, int, bool]  # of phases in which a pair takes equally long, see `kind_of`
Result = TypeVar("Result")


@dataclass(frozen=True)
class Work:
    """What a defence does in a whole training, in passes over the pairs of an epoch.

    Args:
        passes: for each kind of phase, how often it trains on all pairs.
        scorings: how often all pairs are scored, by whether they are augmented.
        planning: seconds it takes to plan all epochs, a pair.
        examples: a phase of each kind.
    """

    passes: Mapping[Kind, float]
    scorings: Mapping[bool, int]
    planning: float
    examples: Mapping[Kind, Phase]


def work_of(defense: Defense, facts: TrainingFacts) -> Work:
    """Return what a defence does, planned on an imaginary set.

    A tenth of its pairs do not match.
    """
    run = defense.start(facts)
    passes: dict[Kind, float] = defaultdict(float)
    scorings: dict[bool, int] = defaultdict(int)
    examples: dict[Kind, Phase] = {}
    planning = []
    for epoch in range(facts.epochs):
        phases, asked, seconds = _planned(run, epoch, facts.pairs_per_epoch)
        planning.append(seconds)
        for augment in asked:
            scorings[augment] += 1
        for phase in phases:
            kind = kind_of(phase)
            passes[kind] += 1.0 if phase.keep is None else float(phase.keep.float().mean())
            examples[kind] = phase
    # The first time, libraries are loaded; the median epoch knows nothing of that.
    plan = statistics.median(planning) * facts.epochs / facts.pairs_per_epoch
    return Work(passes, scorings, plan, examples)


def kind_of(phase: Phase) -> Kind:
    """Return what decides how long a pair takes in a phase."""
    return phase.name, phase.views, phase.detached_views, phase.augment


def _planned(run: DefenseRun, epoch: int, num_pairs: int) -> tuple[list[Phase], list[bool], float]:
    """Return the phases of an epoch, how it was asked for scores, and the seconds it took."""
    rng = generator(0, "rehearsal", epoch)
    means = np.where(np.arange(num_pairs) < num_pairs // 10, 0.0, 0.5)
    scores = torch.from_numpy(rng.normal(means, 0.1).astype(np.float32))
    asked: list[bool] = []

    def similarity(augment: bool = False) -> torch.Tensor:
        asked[:] = asked or [augment]  # the engine remembers it for the epoch
        return scores

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a guess about an imaginary set is no news
        phases, seconds = timed(lambda: list(run.phases(epoch, similarity)))
    return phases, asked, seconds


def timed(action: Callable[[], Result]) -> tuple[Result, float]:
    """Return what an action returns, and the seconds it took."""
    started = time.perf_counter()
    result = action()
    return result, time.perf_counter() - started
