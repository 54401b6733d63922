"""What a defense does in a whole training: its epochs, planned on an imaginary set."""

from __future__ import annotations

import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import torch

from clipbench.boundary import defenses
from clipbench.boundary.imaginary import TooManyPairsError, imagined
from clipbench.configuration.config import RunConfig
from clipbench.contracts import Defense, Phase, TrainingFacts, trusted_size
from clipbench.models.openclip import model_config
from clipbench.parallel.devices import pick_device

IMAGINARY = 2_000  # pairs, at most, of that set
PATIENCE_S = 1.0  # that one timed action may take, where fewer things than all can tell
FIRST = 2  # things, at most, that an action is tried on first

Kind = tuple[str, int, int, bool]  # of phases in which a pair takes equally long, see `kind_of`
Result = TypeVar("Result")


@dataclass(frozen=True)
class Work:
    """What a defense does in a whole training, in passes over the pairs of an epoch.

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


def facts_of(
    config: RunConfig, defense: Defense, num_pairs: int, device: torch.device | str
) -> TrainingFacts:
    """Return what a defense is told where its training is imagined.

    Args:
        config: the run.
        defense: its defense.
        num_pairs: of the set that is trained on.
        device: it would compute on.
    """
    settings = config.train
    pairs = settings.epoch_size(num_pairs)
    few = min(pairs, IMAGINARY)
    trusted = trusted_size(defense)
    return TrainingFacts(
        num_pairs=num_pairs,  # pools may grow with it
        pairs_per_epoch=few,
        trusted_pairs=-(-trusted * few // pairs),
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        feature_size=model_config(settings.model)["embed_dim"],
        device=torch.device(device),
        seed=0,
        warmup=settings.warmup,
    )


def epochs_of(config: RunConfig, defense: Defense, num_pairs: int) -> int:
    """Return how many epochs a training run has in all its stages.

    Raises:
        BadSetting: the defense refuses the run's settings.
    """
    facts = facts_of(config, defense, num_pairs, "cpu")
    return sum(stage.epochs for stage in defenses.start(defense, facts).stages(facts.epochs))


def work_for(
    config: RunConfig, defense: Defense, num_pairs: int, *, until_scored: bool = False
) -> Work:
    """Return what the defense of a run does, see `work_of`."""
    facts = facts_of(config, defense, num_pairs, pick_device(config.train.device))
    whole = num_pairs / config.train.epoch_size(num_pairs)
    return work_of(defense, facts, whole, until_scored=until_scored)


def work_of(
    defense: Defense, facts: TrainingFacts, whole: float = 1.0, *, until_scored: bool = False
) -> Work:
    """Return what a defense does, planned on an imaginary set.

    A tenth of its pairs do not match.

    Args:
        defense: the defense.
        facts: what it is told.
        whole: pairs of the set over pairs of an epoch.
        until_scored: only as far as it has scored the whole set, as `Trainer.train` does.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a guess about an imaginary set is no news
        _planned(defense, facts, whole, until_scored)  # the first time, libraries are loaded
        return _planned(defense, facts, whole, until_scored)


def _planned(defense: Defense, facts: TrainingFacts, whole: float, until_scored: bool) -> Work:
    try:
        return _followed(defense, facts, whole, until_scored)
    except TooManyPairsError:  # it looks at all pairs: those of an epoch tell what one takes
        few = replace(facts, num_pairs=facts.pairs_per_epoch)
        return _followed(defense, few, whole, until_scored)


def _followed(defense: Defense, facts: TrainingFacts, whole: float, until_scored: bool) -> Work:
    run = defenses.start(defense, facts)
    passes: dict[Kind, float] = defaultdict(float)
    scorings: dict[bool, float] = defaultdict(float)
    examples: dict[Kind, Phase] = {}
    planning, guessed, passed = 0.0, False, 0.0
    epochs = [stage for stage in run.stages(facts.epochs) for _ in range(stage.epochs)]
    for epoch, stage in enumerate(epochs):
        pairs = imagined(facts, stage, epoch, whole, passed)
        phases, seconds = timed(partial(run.phases, epoch, pairs))
        planning += seconds
        guessed |= pairs.depends_on_data
        for augment, times in pairs.asked.items():
            scorings[augment] += times
        if until_scored and pairs.scored_set:
            epochs = epochs[:epoch]
            break
        passed = min(1.0, sum(_kept(phase) for phase in phases if phase.scores))
        for phase in phases:
            kind = kind_of(phase)
            passes[kind] += _kept(phase) * len(pairs) / facts.pairs_per_epoch
            examples[kind] = phase
    if not guessed and not until_scored and not any(passes.values()):
        raise run.trains_nothing(len(epochs))
    return Work(passes, scorings, planning / facts.pairs_per_epoch, examples, len(epochs))


def kind_of(phase: Phase) -> Kind:
    """Return what decides how long a pair takes in a phase."""
    return phase.name, phase.views, phase.detached_views, phase.augment


def timed(action: Callable[[], Result]) -> tuple[Result, float]:
    """Return what an action returns, and the seconds it took."""
    started = time.perf_counter()
    result = action()
    return result, time.perf_counter() - started


def seconds_each(action: Callable[[int], object], most: int) -> float:
    """Return the seconds per thing that an action takes.

    A large model on a CPU may take seconds for each image, and nobody waits minutes for a guess.

    Args:
        action: does something with so many things.
        most: things that there are: all, unless that takes longer than `PATIENCE_S`.
    """
    count = min(most, FIRST)
    while True:
        seconds = timed(partial(action, count))[1]
        if count == most or seconds >= PATIENCE_S / 2:
            return seconds / count
        # What is quick on a few may be so quick that it says little: on at least twice as many.
        count = min(most, max(2 * count, int(count * PATIENCE_S / seconds)))


def _kept(phase: Phase) -> float:
    """Return the share of an epoch's pairs that a phase trains on."""
    return 1.0 if phase.keep is None else float(phase.keep.float().mean())
