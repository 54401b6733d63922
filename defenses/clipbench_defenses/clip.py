"""CLIP with the augmentation that all defenses use: the fair control of every defense.

Radford et al. Learning Transferable Visual Models From Natural Language Supervision. ICML 2021.
https://arxiv.org/abs/2103.00020

Differs from the paper: captions are augmented with EDA, and images by more than random crops, as
the data set's recipe says, because all defenses are compared under one augmentation.
"""

from __future__ import annotations

from dataclasses import dataclass

from clipbench.contracts import DefenseRun, Phase, StatelessRun, TrainingFacts
from clipbench.toolkit.losses import crossed_clip_loss
from clipbench_defenses._plain import clip_phase, clip_stage


@dataclass(frozen=True)
class AugmentedClip:
    """Train on all pairs with the CLIP loss, on one augmented view of image and caption.

    Args:
        cross_aug: CLIP loss between view 1 of one modality and view 2 of the other, as in
            SafeCLIP's code; twice the work.
    """

    cross_aug: bool = False

    def start(self, facts: TrainingFacts) -> DefenseRun:
        """Return a run of one phase that never changes."""
        if self.cross_aug:
            return StatelessRun(Phase("clip", crossed_clip_loss, views=2))
        return PlainRun(facts.epochs)


class PlainRun(StatelessRun):
    """One stage, which other defenses share as their first stage."""

    def __init__(self, epochs: int) -> None:
        super().__init__(clip_phase())
        self.stages = (clip_stage(epochs),)


DEFENSE = AugmentedClip
