"""How long a run will take on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from clipbench.configuration.config import RunConfig
from clipbench.contracts import Defense, EvaluationSet, TextProbes
from clipbench.parallel.devices import num_processes
from clipbench.planning.looks import MOST_THREADS, learned_from, looks
from clipbench.planning.parts import Parts
from clipbench.planning.rehearsal import rehearse, rehearse_training
from clipbench.planning.speeds import KeptSpeeds, Speeds, SpeedsType, TrainingSpeeds
from clipbench.planning.work import Work, work_for
from clipbench.shards.reader import ShardSet
from clipbench.system import threads

PAIRS_PER_SHARD = 10_000  # of the sets that clipbench writes; shards are what is done in parallel


@dataclass(frozen=True)
class Estimate:
    """Seconds that the stages of a run take if nothing of it is in the cache.

    Args:
        data: looking at held-out images, making the shards and poisoning them where that is to be
            done, reading captions, decoding.
        training: training with everything that a defense does in between, as a result counts it.
        evaluation: measuring the model; metrics from outside are left out.
        epochs: of all stages of the training together.
    """

    data: float
    training: float
    evaluation: float
    epochs: int

    @property
    def total(self) -> float:
        """Seconds of the whole run."""
        return self.data + self.training + self.evaluation


@dataclass(frozen=True)
class Amounts:
    """How much there is to do in a run.

    Args:
        num_pairs: clean pairs.
        pairs_after: pairs that are trained on.
        pairs_per_epoch: of them in one epoch.
        poisons: poisoned pairs.
        images: test images that are encoded, probes included, as often as they are.
        texts: texts that are encoded for evaluation.
        models: models that are made: to train, to measure, and to measure the control.
        looks: held-out images that are decoded before the run begins.
    """

    num_pairs: int
    pairs_after: int
    pairs_per_epoch: int
    poisons: int
    images: int
    texts: int
    models: int
    looks: int = 0

    @classmethod
    def of(cls, config: RunConfig, parts: Parts, epochs: int) -> Amounts:
        """Return the amounts of a run whose training has so many epochs."""
        sets, every = parts.held_out.sets, config.train.save_frequency
        probes = parts.planned_probes(config.seed_of_poison)
        readings = 2 + (epochs // every if every else 0)  # last, control, kept
        images, texts = _num_images(sets), _num_texts(sets)
        images += 2 * sum(len(learned_from(config, item)) for item in sets)  # and of the control
        if isinstance(probes, TextProbes):
            images += readings * len(probes.candidates)
            texts += readings * len(probes)
        elif probes is not None:
            images += readings * sum(map(len, (probes, *probes.variants.values())))
        return cls(
            parts.num_pairs,
            parts.pairs_after,
            parts.pairs_per_epoch(config),
            parts.count,
            images,
            texts,
            3 if parts.count else 2,
            sum(map(len, looks(config, parts.held_out))),
        )


def estimate(config: RunConfig, parts: Parts, cache: Path | None = None) -> Estimate:
    """Return how long a run takes, from a rehearsal of its parts on this machine.

    Args:
        config: the run.
        parts: its plugins and counts; the number of pairs is known.
        cache: remembers the speeds of earlier rehearsals; None: there is to be one.

    Raises:
        UnknownName, BadSetting, MissingData, CorruptData: the model, the defense, the weights to
            start from or the held-out data cannot be used.
    """
    work = work_for(config, parts.defense, parts.pairs_after)
    speeds = _measured(
        _kept(cache, config, parts.defense, parts.pairs_after, Speeds),
        Speeds,
        work,
        lambda: rehearse(config, parts, work),
    )
    amounts = Amounts.of(config, parts, work.epochs)
    return combined(work, speeds, amounts, threads.processors(), num_processes())


def estimate_training(
    config: RunConfig, pairs: ShardSet, work: Work, cache: Path | None = None
) -> Estimate:
    """Return how long a training run on pairs that are there takes.

    Args:
        config: the run; of its attack and its evaluation nothing is read.
        pairs: the set.
        work: what its defense does.
        cache: remembers the speeds of earlier rehearsals; None: there is to be one.

    Raises:
        UnknownName, BadSetting, MissingData: the model, the defense or the weights to start from
            cannot be used.
    """
    defense = config.defense.plugin
    speeds = _measured(
        _kept(cache, config, defense, len(pairs), TrainingSpeeds),
        TrainingSpeeds,
        work,
        lambda: rehearse_training(config, pairs, work),
    )
    count, shards = len(pairs), len(pairs.shards)
    per_epoch = config.train.epoch_size(count)
    return Estimate(
        data=speeds.model + _ready(speeds, count, min(threads.processors(), shards)),
        training=_training(work, speeds, per_epoch, num_processes()),
        evaluation=0.0,
        epochs=work.epochs,
    )


def _kept(
    cache: Path | None, config: RunConfig, defense: Defense, num_pairs: int, kind: type
) -> KeptSpeeds | None:
    if cache is None:
        return None
    return KeptSpeeds.of(cache, config, defense, num_pairs, kind.__name__)


def _measured(
    kept: KeptSpeeds | None,
    kind: type[SpeedsType],
    work: Work,
    rehearsed: Callable[[], SpeedsType],
) -> SpeedsType:
    """Return speeds that are kept, or else measured now and kept."""
    found = None if kept is None else kept.find(kind, work)
    if found is None:
        found = rehearsed()
        if kept is not None:
            kept.keep(found)
    return found


def combined(
    work: Work, speeds: Speeds, amounts: Amounts, processors: int, processes: int
) -> Estimate:
    """Return amounts times speeds.

    Args:
        work: what the defense does.
        speeds: what was measured.
        amounts: how much there is to do.
        processors: of this machine; they share the shards.
        processes: that train together; they share the pairs of each batch.
    """
    num_shards = -(-amounts.num_pairs // PAIRS_PER_SHARD)
    at_once = min(processors, num_shards)
    clean = amounts.num_pairs * (speeds.picture + speeds.encode + speeds.write) / at_once
    rewritten = min(1.0, amounts.poisons / num_shards) * amounts.pairs_after
    looked = amounts.looks * speeds.picture / min(processors, MOST_THREADS)
    poison = amounts.poisons * (speeds.picture + speeds.encode) + rewritten * speeds.write
    return Estimate(
        data=looked + clean + poison + _ready(speeds, amounts.pairs_after, at_once),
        training=_training(work, speeds, amounts.pairs_per_epoch, processes),
        evaluation=speeds.held_out
        + amounts.models * speeds.model
        + amounts.images * speeds.image
        + amounts.texts * speeds.text,
        epochs=work.epochs,
    )


def _ready(speeds: TrainingSpeeds, num_pairs: int, at_once: int) -> float:
    """Return the seconds until pairs of shards can be trained on."""
    return num_pairs * (speeds.caption + speeds.decode / at_once)


def _training(work: Work, speeds: TrainingSpeeds, per_epoch: int, processes: int) -> float:
    """Return the seconds of a training run."""
    a_pair = sum(count * speeds.steps[kind] for kind, count in work.passes.items())
    a_pair += sum(count * speeds.scores[kind] for kind, count in work.scorings.items())
    return per_epoch * (a_pair / processes + work.planning)


def _num_images(sets: Iterable[EvaluationSet]) -> int:
    """Return how many images are encoded: a sequence that several tasks share, once."""
    found = {}
    for item in sets:
        for task in (item.classification and item.classification.test, item.retrieval):
            if task:
                found[id(task.images)] = len(task.images)
    return sum(found.values())


def _num_texts(sets: Iterable[EvaluationSet]) -> int:
    """Return how many texts are encoded: prompts of all classes, and captions."""
    prompts = sum(len(s.classes) * len(s.classes.templates) for s in sets if s.classification)
    return prompts + sum(sum(map(len, s.retrieval.captions)) for s in sets if s.retrieval)
