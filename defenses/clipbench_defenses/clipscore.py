"""CLIPScore filter: drop pairs that a model of trusted pairs finds not to match.

Hessel, Holtzman, Forbes, Le Bras, Choi. CLIPScore: A Reference-free Evaluation Metric for Image
Captioning. EMNLP 2021. https://arxiv.org/abs/2104.08718

As a filter of poisoned pairs: Yang, He, Li, Backes, Humbert, Berrang, Zhang. Data Poisoning Attacks
Against Multimodal Encoders. ICML 2023, section 6. https://arxiv.org/abs/2209.15266

Differs from the paper: the model that scores is not a released one but is trained on trusted pairs
here; a share of the pairs is dropped, not those beyond a fixed distance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clipbench.contracts import Stage
from clipbench.errors import BadSetting
from clipbench_defenses._filters import Filter

_ROWS = 4096  # scored at once


@dataclass(frozen=True)
class ClipScore(Filter):
    """Drop the pairs of lowest similarity of image and caption under a model of trusted pairs.

    Args:
        trusted_size: trusted pairs.
        scoring_warmup: steps of linear warm-up of the model that scores.
    """

    name = "clipscore"

    trusted_size: int = 2_000
    scoring_warmup: int = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.trusted_size < 2:
            raise BadSetting(f"clipscore.trusted_size must be at least 2. Got {self.trusted_size}.")

    def scoring_stage(self, epochs: int) -> Stage:
        """Train on the trusted pairs."""
        return Stage(self.scoring_epochs or epochs, trusted=True, warmup=self.scoring_warmup)

    def score(self, images: Tensor, texts: Tensor, seed: int) -> Tensor:  # noqa: ARG002
        """Return the cosine similarity of each pair."""
        return (images * texts).sum(dim=1)

    def blocks(self, count: int, seed: int) -> Sequence[Tensor]:  # noqa: ARG002
        """Return any pairs side by side: no pair's score depends on another's."""
        return torch.arange(count).tensor_split(-(-count // _ROWS))


DEFENSE = ClipScore
