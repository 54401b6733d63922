"""RoCLIP: every other epoch, images learn from the most similar caption of a pool.

Yang, Gao, Mirzasoleiman. Robust Contrastive Language-Image Pretraining against Data Poisoning and
Backdoor Attacks. NeurIPS 2023. https://arxiv.org/abs/2303.06854

Differs from the authors' code: captions are augmented afresh for every view, and captions of every
epoch enter the pool, so that none of its features is older than one pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from torch import Tensor

from clipbench.contracts import (
    DefenseRun,
    EpochPairs,
    Features,
    Ge,
    Idle,
    Phase,
    Plugin,
    TrainingFacts,
)
from clipbench.toolkit.losses import clip_loss, crossed_clip_loss
from clipbench.toolkit.pool import NearestNeighborPool, default_pool_size


@dataclass(frozen=True)
class RoCLIP(Plugin):
    """Pre-train with the CLIP loss, every few epochs against captions of a pool.

    Args:
        match_every: number of epochs between matching images with captions of the pool (K of the
            paper), first in epoch K; 1: in every epoch.
        pool_size: caption features in the pool; None: 2% of the pairs, at least 256.
        cross_aug: in other epochs, CLIP loss between crossed views, as in SafeCLIP's code; twice
            the work. RoCLIP's own code uses one augmented view.
    """

    idle = (
        Idle(
            ("cross_aug",),
            lambda roclip: roclip.match_every == 1,
            "with match_every=1, where every epoch matches images with the pool",
        ),
    )

    match_every: Annotated[int, Ge(1)] = 2
    pool_size: Annotated[int, Ge(1)] | None = None
    cross_aug: bool = False

    def start(self, facts: TrainingFacts) -> DefenseRun:
        """Return RoCLIP for one training run."""
        return RoCLIPRun(self, facts)


class RoCLIPRun:
    """RoCLIP during one training run: the pool, and the one phase of each epoch."""

    def __init__(self, config: RoCLIP, facts: TrainingFacts) -> None:
        self._config = config
        size = config.pool_size or default_pool_size(facts.num_pairs)
        self._pool = NearestNeighborPool(size, facts.feature_size, facts.seed, "text", facts.device)

    def phases(self, epoch: int, pairs: EpochPairs) -> Iterator[Phase]:  # noqa: ARG002
        """Yield the one phase of an epoch."""
        if (epoch + 1) % self._config.match_every == 0:
            # The image meets another caption than its own: no exposure to a poisoned pair.
            yield Phase("matched", self._matched_loss, cross_modal=False)
        else:
            yield Phase("own captions", self._own_loss, views=2 if self._config.cross_aug else 1)

    def _matched_loss(self, features: Features) -> Tensor:
        """CLIP loss of images and their nearest captions in the pool; only images learn."""
        image = features.image[0]
        loss = clip_loss(image, self._pool.nearest(image), features.logit_scale)
        self._pool.push(features.text[0])
        return loss

    def _own_loss(self, features: Features) -> Tensor:
        self._pool.push(features.text[0])
        if self._config.cross_aug:
            return crossed_clip_loss(features)
        return clip_loss(features.image[0], features.text[0], features.logit_scale)

    def state_dict(self) -> dict[str, object]:
        """Return the pool."""
        return {"pool": self._pool.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved pool."""
        self._pool.load_state_dict(state["pool"])


DEFENSE = RoCLIP
