"""SafeCLIP: warm up each modality alone, then train across modalities only on pairs that agree.

Yang, Gao, Mirzasoleiman. Better Safe than Sorry: Pre-training CLIP against Targeted Data Poisoning
and Backdoor Attacks. ICML 2024. https://arxiv.org/abs/2310.05862

Not to be confused with Safe-CLIP (Poppi et al., ECCV 2024), which removes NSFW concepts.

Differs from the authors' code where that departs from the paper's intent: the learning rate follows
one cosine that ends at zero (``lr_schedule``), pairs are scored as they are (``score_augmented``),
later splits rank by similarity rather than by a posterior that saturates at 1 (``rank_by``),
captions are augmented afresh for every view, a resumed run is the same algorithm, and a mixture
that finds no split cannot empty the safe set. `_safeclip_variants` has the code's choices.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from clipbench.contracts import (
    DefenseRun,
    EpochPairs,
    Features,
    Ge,
    Gt,
    Idle,
    Le,
    Phase,
    Plugin,
    TrainingFacts,
)
from clipbench.errors import BadSetting
from clipbench.toolkit.losses import clip_loss, info_nce
from clipbench.toolkit.mixture import Mixture, fit_mixture
from clipbench.toolkit.pool import NearestNeighborPool, default_pool_size

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SafeCLIP(Plugin):
    """Pre-train with the CLIP loss on the safe set and unimodal losses on the risky set.

    Args:
        unimodal_epochs: epochs of unimodal warm-up on all pairs.
        cross_modal_epochs: epochs of the CLIP loss on all pairs at a low learning rate.
        cross_modal_lr_scale: that learning rate, as a share of the base rate.
        unimodal_lr_scale: learning rate of unimodal training after the warm-up, as a share.
        threshold: posterior probability of the mixture's upper component at which a pair enters
            the first safe set.
        first_ratio: size of the first safe set as a share of all pairs, in place of the threshold.
        growth: share of all pairs by which the safe set grows every epoch.
        cap: largest safe set, share of all pairs.
        floor: smallest safe set, share of all pairs; a first split below it, or above the cap,
            takes the most similar pairs up to that bound instead, with a warning.
        pool_size: features in each nearest-neighbor pool; None: 2% of the pairs, at least 256.
        symmetric: unimodal loss from view 1 to view 2 and back, as in NNCLR; else one way, as in
            the authors' code, where view 1 gets no gradient.
        score_augmented: score freshly augmented pairs, as the authors' code does.
        reuse_scores: score anew only pairs that were not in the last epoch's safe set; pairs in it
            keep the similarity that the CLIP loss computed.
        rank_by: criterion by which later splits rank pairs.
        cross_aug: CLIP loss between crossed views, as the authors' code does; twice the work.
        lr_schedule: ``fixed`` ends at zero; ``official`` counts steps as the authors' code does,
            after the warm-up of the settings.
    """

    idle = (
        Idle(
            ("threshold",),
            lambda safeclip: safeclip.first_ratio is not None,
            "beside first_ratio={first_ratio}, which is the size of the first safe set",
            "set first_ratio=none",
        ),
        Idle(
            ("floor",),
            lambda safeclip: (
                safeclip.first_ratio is not None and safeclip.first_ratio >= SafeCLIP.floor
            ),  # below it, a lower floor is needed
            "beside first_ratio={first_ratio}, which is the size of the first safe set",
            "set first_ratio=none",
        ),
        Idle(
            ("cross_modal_lr_scale",),
            lambda safeclip: safeclip.cross_modal_epochs == 0,
            "with cross_modal_epochs=0",
        ),
    )

    unimodal_epochs: Annotated[int, Ge(0)] = 5
    cross_modal_epochs: Annotated[int, Ge(0)] = 1
    cross_modal_lr_scale: float = 0.01
    unimodal_lr_scale: float = 1.0
    threshold: Annotated[float, Gt(0), Le(1)] = 0.9
    first_ratio: float | None = None
    growth: Annotated[float, Ge(0)] = 0.01
    cap: Annotated[float, Gt(0), Le(1)] = 0.85
    floor: Annotated[float, Gt(0), Le(1)] = 0.05
    pool_size: Annotated[int, Ge(1)] | None = None
    symmetric: bool = False
    score_augmented: bool = False
    reuse_scores: bool = False
    rank_by: Literal["similarity", "posterior"] = "similarity"
    cross_aug: bool = False
    lr_schedule: Literal["fixed", "official"] = "fixed"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.floor > self.cap:
            raise BadSetting(f"safeclip.floor {self.floor} must not exceed cap {self.cap}.")
        if self.first_ratio is not None and not self.floor <= self.first_ratio <= self.cap:
            raise BadSetting(
                f"safeclip.first_ratio must be between floor {self.floor} and cap {self.cap}."
                f" Got {self.first_ratio}."
            )

    def start(self, facts: TrainingFacts) -> DefenseRun:
        """Return SafeCLIP for one training run."""
        warmup = self.unimodal_epochs + self.cross_modal_epochs
        if facts.epochs <= warmup:
            raise BadSetting(
                f"safeclip needs more epochs than its {warmup} of warm-up (unimodal_epochs="
                f"{self.unimodal_epochs}, cross_modal_epochs={self.cross_modal_epochs}). Got"
                f" {facts.epochs}."
            )
        from clipbench_defenses._safeclip_variants import (  # noqa: PLC0415 - it builds on this module
            VARIANTS,
            SafeCLIPVariantRun,
        )

        if any(getattr(self, name) != plain for name, plain in VARIANTS.items()):
            return SafeCLIPVariantRun(self, facts)
        return SafeCLIPRun(self, facts)


class SafeCLIPRun:
    """SafeCLIP during one training run: pools, size of the safe set, phases of each epoch."""

    def __init__(self, config: SafeCLIP, facts: TrainingFacts) -> None:
        self._config = config
        self._facts = facts
        size = config.pool_size or default_pool_size(facts.num_pairs)
        self._image_pool, self._text_pool = (
            NearestNeighborPool(size, facts.feature_size, facts.seed, name, facts.device)
            for name in ("image", "text")
        )
        self._ratio: float | None = None  # of the next safe set; None before the first split

    def phases(self, epoch: int, pairs: EpochPairs) -> Iterator[Phase]:
        """Yield the phases of an epoch."""
        config = self._config
        if epoch < config.unimodal_epochs:
            yield self._unimodal("unimodal warm-up")
        elif epoch < config.unimodal_epochs + config.cross_modal_epochs:
            yield self._cross_modal("cross-modal warm-up", lr_scale=config.cross_modal_lr_scale)
        else:
            safe = self._split(self._similarity(pairs).numpy())
            yield self._unimodal("risky", ~safe, config.unimodal_lr_scale)
            yield self._cross_modal("safe", safe)

    def _split(self, similarity: FloatArray) -> BoolArray:
        """Return the safe pairs, ``(num_pairs,)`` bool, and enlarge the next safe set."""
        mixture = fit_mixture(similarity)
        if self._ratio is None:
            self._ratio = self._first_ratio(mixture)
        size = int(self._ratio * len(similarity) + 1e-6)  # 0.7 + 0.1 is a little less than 0.8
        size = max(size, min(2, len(similarity)))  # a contrastive loss needs at least two pairs
        safe = np.zeros(len(similarity), dtype=bool)
        safe[self._ranked(similarity, mixture)[:size]] = True
        self._ratio = min(self._ratio + self._config.growth, self._config.cap)
        return safe

    def _similarity(self, pairs: EpochPairs) -> Tensor:
        return pairs.similarity(reuse=self._config.reuse_scores)

    def _ranked(self, similarity: FloatArray, mixture: Mixture) -> npt.NDArray[np.intp]:  # noqa: ARG002
        """Return the numbers of all pairs, the safest first."""
        return np.argsort(-similarity, kind="stable")

    def _first_ratio(self, mixture: Mixture) -> float:
        """Return the share of pairs whose posterior reaches the threshold, within the bounds."""
        config = self._config
        if config.first_ratio is not None:
            return config.first_ratio
        share = float(np.mean(mixture.posterior >= config.threshold))
        ratio = min(max(share, config.floor), config.cap)
        if ratio != share:
            warnings.warn(
                f"safeclip: the mixture (means {mixture.low_mean:.3f} and"
                f" {mixture.high_mean:.3f}) puts {share:.2%} of the pairs into the safe set; the"
                f" most similar {ratio:.0%} are used. A longer warm-up or another threshold may"
                " help.",
                stacklevel=2,
            )
        return ratio

    def _unimodal(self, name: str, keep: BoolArray | None = None, lr_scale: float = 1.0) -> Phase:
        kept = None if keep is None else torch.from_numpy(keep)
        return Phase(
            name,
            self._unimodal_loss,
            keep=kept,
            lr_scale=lr_scale,
            views=2,
            detached_views=1,
            cross_modal=False,
        )

    def _cross_modal(
        self, name: str, keep: BoolArray | None = None, lr_scale: float = 1.0
    ) -> Phase:
        kept = None if keep is None else torch.from_numpy(keep)
        # Warm-up scores are not reused: the first split is made by the model that it leaves.
        scores = self._config.reuse_scores and keep is not None
        return Phase(name, self._cross_modal_loss, keep=kept, lr_scale=lr_scale, scores=scores)

    def _unimodal_loss(self, features: Features) -> Tensor:
        """Mean of the nearest-neighbor contrastive losses of images and of captions."""
        image = self._neighbor_loss(features.image, self._image_pool, features.logit_scale)
        text = self._neighbor_loss(features.text, self._text_pool, features.logit_scale)
        return (image + text) / 2

    def _neighbor_loss(self, views: Tensor, pool: NearestNeighborPool, scale: Tensor) -> Tensor:
        """NNCLR: the neighbor of view 1 in the pool is the positive of view 2."""
        first, second = views
        loss = info_nce(second, pool.nearest(first), scale)
        pool.push(first)
        return loss

    def _cross_modal_loss(self, features: Features) -> Tensor:
        return clip_loss(features.image[0], features.text[0], features.logit_scale)

    def state_dict(self) -> dict[str, object]:
        """Return the pools, and the size of the next safe set."""
        return {
            "image_pool": self._image_pool.state_dict(),
            "text_pool": self._text_pool.state_dict(),
            "ratio": self._ratio,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self._image_pool.load_state_dict(state["image_pool"])
        self._text_pool.load_state_dict(state["text_pool"])
        self._ratio = state["ratio"]


DEFENSE = SafeCLIP
