"""CLIP with the augmentation the defences get: the fair control of every defence.

Radford et al. Learning Transferable Visual Models From Natural Language Supervision. ICML 2021.
https://arxiv.org/abs/2103.00020

Differs from the paper: captions are augmented with EDA and images beyond random crops, as the
recipe of the data set says, because the defences are compared under one augmentation.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from clipbench.contracts import DefenseRun, Features, Phase, StatelessRun, TrainingFacts
from clipbench.training.losses import clip_loss, info_nce


@dataclass(frozen=True)
class AugmentedClip:
    """Train on all pairs with the CLIP loss, on one augmented view of image and caption.

    Args:
        cross_aug: give the loss two views, view 1 of the image against view 2 of the caption and
            the other way round, as the code of SafeCLIP and RoCLIP does; twice the work.
    """

    cross_aug: bool = False

    def start(self, facts: TrainingFacts) -> DefenseRun:  # noqa: ARG002
        """Return a run of one phase that never changes."""
        return StatelessRun(Phase("clip", self.loss, views=2 if self.cross_aug else 1))

    def loss(self, features: Features) -> Tensor:
        """Return the CLIP loss; with `cross_aug` view 1 is tied to the other's view 2."""
        image, text, scale, _ = features
        if self.cross_aug:
            return (info_nce(image[0], text[1], scale) + info_nce(text[0], image[1], scale)) / 2
        return clip_loss(image[0], text[0], scale)


DEFENSE = AugmentedClip
