"""Base of clean-up defenses: pre-train on the set, then continue on trusted pairs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor

from clipbench.contracts import (
    DefenseRun,
    EpochPairs,
    Features,
    Ge,
    Gt,
    Phase,
    Plugin,
    Stage,
    StatelessRun,
    TrainingFacts,
)
from clipbench_defenses._plain import clip_phase, clip_stage


@dataclass(frozen=True)
class CleanUp(Plugin, ABC):
    """Pre-train with the CLIP loss on all pairs, then clean up on trusted pairs.

    Args:
        trusted_size: number of trusted pairs; 100,000 in CleanCLIP, 250,000 in PAR.
        clean_up_epochs: epochs of the clean-up, over the trusted pairs.
        clean_up_lr_scale: learning rate of the clean-up, as a share of that of pre-training; 1e-5
            after 5e-4 in CleanCLIP, 3e-5 in PAR.
        clean_up_warmup: steps of the clean-up's linear warm-up; 50 in CleanCLIP, 0 in
            PAR.
        clean_up_batch_size: batch size of the clean-up; 64 in CleanCLIP, 2,048 (512 on each
            of four GPUs) in PAR; none: as in pre-training.
        clean_up_wd: weight decay of the clean-up; 1e-4 in PAR; none: as in pre-training.
    """

    name: ClassVar[str]  # in messages
    views: ClassVar[int] = 1
    reference: ClassVar[bool] = False

    trusted_size: Annotated[int, Ge(2)] = 100_000
    clean_up_epochs: Annotated[int, Ge(1)] = 10
    clean_up_lr_scale: Annotated[float, Gt(0)] = 0.02
    clean_up_warmup: Annotated[int, Ge(0)] = 50
    clean_up_batch_size: Annotated[int, Ge(2)] | None = 64
    clean_up_wd: Annotated[float, Ge(0)] | None = None

    def start(self, facts: TrainingFacts) -> DefenseRun:
        """Return the defense for one training run."""
        return CleanUpRun(self, facts)

    @abstractmethod
    def clean_up_loss(self, features: Features) -> Tensor:
        """Return the loss of the clean-up."""


class CleanUpRun(StatelessRun):
    """Pre-training and clean-up; without state of its own."""

    def __init__(self, config: CleanUp, facts: TrainingFacts) -> None:
        super().__init__()
        self._config, self._facts = config, facts

    @property
    def stages(self) -> Sequence[Stage]:
        """Pre-training on the set, then the clean-up from there."""
        config = self._config
        clean_up = Stage(
            config.clean_up_epochs,
            trusted=True,
            lr_scale=config.clean_up_lr_scale,
            warmup=config.clean_up_warmup,
            batch_size=config.clean_up_batch_size,
            wd=config.clean_up_wd,
        )
        return clip_stage(self._facts.epochs), clean_up

    def phases(self, epoch: int, pairs: EpochPairs) -> Iterator[Phase]:  # noqa: ARG002
        """Yield the one phase of an epoch."""
        if epoch < self._facts.epochs:
            yield clip_phase()
        else:
            config = self._config
            yield Phase(
                "clean-up", config.clean_up_loss, views=config.views, reference=config.reference
            )
