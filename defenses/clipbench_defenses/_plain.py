"""Plain contrastive training with augmentation: a defense, and the first stage of others."""

from __future__ import annotations

from torch import Tensor

from clipbench.contracts import Features, Phase, Stage
from clipbench.toolkit.losses import clip_loss


def clip_stage(epochs: int) -> Stage:
    """Return a first stage whose only phase is `clip_phase`; trained once for all defenses."""
    return Stage(epochs, like="clip")


def clip_phase() -> Phase:
    """Return training on all pairs with the CLIP loss, on one augmented view."""
    return Phase("clip", loss)


def loss(features: Features) -> Tensor:
    """Return the CLIP loss."""
    return clip_loss(features.image[0], features.text[0], features.logit_scale)
