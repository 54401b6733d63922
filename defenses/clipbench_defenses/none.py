"""No defense: contrastive pre-training on the pairs as they are.

Radford et al. Learning Transferable Visual Models From Natural Language Supervision. ICML 2021.
https://arxiv.org/abs/2103.00020
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from clipbench.contracts import DefenseRun, Features, Phase, StatelessRun, TrainingFacts
from clipbench.toolkit.losses import clip_loss


@dataclass(frozen=True)
class NoDefense:
    """Train on all pairs, image and caption as they are, with the CLIP loss."""

    def start(self, facts: TrainingFacts) -> DefenseRun:  # noqa: ARG002
        """Return a run of one phase that never changes."""

        def loss(features: Features) -> Tensor:
            return clip_loss(features.image[0], features.text[0], features.logit_scale)

        return StatelessRun(Phase("clip", loss, augment=False))


DEFENSE = NoDefense
