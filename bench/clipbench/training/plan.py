"""What an epoch is: its pairs in phases and batches, and the learning rate of each step.

Nothing here trains. A plan is made when an epoch begins and, the same to the bit, once more when a
training resumes in the middle of it: see `clipbench.training.resume`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from clipbench.checkpoints.record import PhaseRecord
from clipbench.checkpoints.stages import Place
from clipbench.configuration.settings import TrainSettings
from clipbench.contracts import Defense, Phase, Stage
from clipbench.loading.order import batches
from clipbench.loading.pairs import TrainingPairs
from clipbench.toolkit.schedule import cosine_after_warmup, warmup_cosine
from clipbench.training.seen import SeenPairs

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Method:
    """What decides a training run beside its pairs.

    Args:
        defense: the defense.
        settings: training settings, all resolved.
        seed: the run's seed.
    """

    defense: Defense
    settings: TrainSettings
    seed: int


@dataclass(frozen=True)
class EpochPlan:
    """One epoch.

    Args:
        place: its stage, and its number in it.
        pairs: the set that the stage trains on.
        indices: numbers of the epoch's pairs in the set, in the order of training, ``(N,)``.
        phases: what is done with them, one after the other.
        seen: what the defense was told of them, and the scores that it asked for.
        at_start: the defense's state before it was asked for the phases.
        settings: training settings, all resolved.
        epoch_size: pairs of an epoch of this stage.
    """

    place: Place
    pairs: TrainingPairs
    indices: Indices
    phases: list[Phase]
    seen: SeenPairs
    at_start: dict[str, object]
    settings: TrainSettings
    epoch_size: int

    def kept(self, number: int) -> Indices:
        """Return the pairs of the epoch that a phase trains on, ``(M,)``."""
        return kept(self.indices, self.phases[number])

    def parts(self, number: int) -> list[Indices]:
        """Return the batches of a phase."""
        return parts_of(self.kept(number), batch_size_of(self.place.stage, self.settings))

    def done(self, number: int, step: int, steps: int) -> float:
        """Return the share of the epoch's pairs that were trained on before a step of a phase."""
        before = sum(self._sizes[:number]) + self._sizes[number] * step / steps
        return before / max(1, sum(self._sizes))

    @cached_property
    def _sizes(self) -> list[int]:
        return [len(self.kept(number)) for number in range(len(self.phases))]

    def rate(self, number: int, step: int, steps: int, stage_steps: int) -> float:
        """Return the learning rate of a step.

        Args:
            number: of the phase.
            step: of the phase, from 0.
            steps: of the whole phase.
            stage_steps: steps of the stage before this one.
        """
        phase, stage, settings = self.phases[number], self.place.stage, self.settings
        base = settings.lr * stage.lr_scale * phase.lr_scale
        if phase.lr_factor is not None:
            return base * phase.lr_factor(step, steps)
        warmup = settings.warmup if stage.warmup is None else stage.warmup
        if settings.lr_schedule == "constant":
            return base * min(1.0, (stage_steps + 1) / max(1, warmup))
        progress = (self.place.epoch + self.done(number, step, steps)) / stage.epochs
        if settings.lr_schedule == "cosine":
            return base * warmup_cosine(stage_steps, progress, warmup)
        # One step of a stage in which every epoch trains once on all of its pairs.
        one_step = 1 / (stage.epochs * -(-self.epoch_size // batch_size_of(stage, settings)))
        return base * cosine_after_warmup(progress, one_step, warmup * one_step)

    def record(self, number: int, epoch: int) -> PhaseRecord:
        """Return what the history says of a phase before its first step.

        Args:
            number: of the phase.
            epoch: of the training, from 1.
        """
        phase = self.phases[number]
        return PhaseRecord(
            epoch=epoch,
            phase=phase.name,
            pairs=len(self.kept(number)),
            cross_modal=phase.cross_modal,
            trusted=self.place.stage.trusted,
        )


def kept(indices: Indices, phase: Phase) -> Indices:
    """Return the pairs of the epoch that a phase trains on."""
    return indices if phase.keep is None else indices[phase.keep.numpy()]


def parts_of(pairs: Indices, batch_size: int) -> list[Indices]:
    """Return the batches of some pairs; a pair alone contrasts with nothing and is left out."""
    return [part for part in batches(pairs, batch_size) if len(part) > 1]


def batch_size_of(stage: Stage, settings: TrainSettings) -> int:
    """Return how many pairs a batch of a stage has."""
    return stage.batch_size or settings.batch_size
