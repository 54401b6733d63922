"""CLIPScore filter: drop pairs that do not match according to a model of trusted pairs.

Hessel, Holtzman, Forbes, Le Bras, Choi. CLIPScore: A Reference-free Evaluation Metric for Image
Captioning. EMNLP 2021. https://arxiv.org/abs/2104.08718

As a filter of poisoned pairs: Yang, He, Li, Backes, Humbert, Berrang, Zhang. Data Poisoning Attacks
Against Multimodal Encoders. ICML 2023, section 6. https://arxiv.org/abs/2209.15266

Differs from the papers: a share of the pairs is dropped, rather than those beyond a fixed distance;
the score is the cosine itself, also below 0, where CLIPScore is 0; without a released model, the
scoring model is trained on trusted pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from clipbench.contracts import DefenseRun, EpochPairs, Idle, Phase, Stage, TrainingFacts
from clipbench.errors import BadSetting
from clipbench.text.locations import Model, Weights
from clipbench_defenses._filters import Filter, kept
from clipbench_defenses._plain import loss

_ROWS = 4096  # scored at once


@dataclass(frozen=True)
class ClipScore(Filter):
    """Drop the pairs with the lowest similarity of image and caption under a trusted model.

    Args:
        trusted_size: number of trusted pairs to train the model on; 0 with a released model, which
            is better on photographs: a model learns little from a few thousand of them.
        scoring_warmup: steps of linear warm-up of that training.
        weights: weights file of a released model, which scores instead.
        model: the released model: its name, or the path of its configuration.
    """

    name = "clipscore"
    idle = (
        Idle(
            ("scoring_warmup",),
            lambda clipscore: clipscore.weights is not None,
            "where weights are given, for no model is trained to score",
        ),
    )

    trusted_size: int = 2_000
    scoring_warmup: int = 50
    weights: Weights | None = None
    model: Model | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.weights is None) != (self.model is None):
            raise BadSetting(
                "clipscore.weights and clipscore.model belong together: the file of a released"
                " model's weights, and which model that is, e.g. ViT-B-16."
            )
        if self.weights is not None:
            if self.trusted_size or self.scoring_epochs is not None:
                raise BadSetting(
                    "clipscore.weights: a released model is not trained here; set trusted_size=0,"
                    " and no scoring_epochs."
                )
            return
        if self.trusted_size < 2:
            raise BadSetting(f"clipscore.trusted_size must be at least 2. Got {self.trusted_size}.")

    def start(self, facts: TrainingFacts) -> DefenseRun:
        """Return the filter for one training run."""
        return super().start(facts) if self.weights is None else ReleasedRun(self)

    def scoring_stage(self, epochs: int) -> Stage:
        """Train on the trusted pairs."""
        return Stage(self.scoring_epochs or epochs, trusted=True, warmup=self.scoring_warmup)

    def score(self, images: Tensor, texts: Tensor, seed: int) -> Tensor:  # noqa: ARG002
        """Return the cosine similarity of each pair."""
        return (images * texts).sum(dim=1)

    def blocks(self, count: int, seed: int) -> Sequence[Tensor]:  # noqa: ARG002
        """Return blocks of consecutive pairs: no pair's score depends on another's."""
        return torch.arange(count).tensor_split(-(-count // _ROWS))


class ReleasedRun:
    """The filter with a released model: it scores once, before any training."""

    def __init__(self, config: ClipScore) -> None:
        self._config = config
        self._keep: Tensor | None = None  # (num_pairs of the set,) bool

    def phases(self, epoch: int, pairs: EpochPairs) -> Iterator[Phase]:  # noqa: ARG002
        """Yield the one phase of an epoch."""
        config = self._config
        if self._keep is None:
            assert config.model is not None
            assert config.weights is not None
            scores = pairs.released_similarity(config.model, config.weights)
            self._keep = kept(scores, config.drop)
        yield Phase("kept", loss, keep=self._keep[torch.from_numpy(pairs.numbers)])

    def state_dict(self) -> dict[str, object]:
        """Return which pairs are kept."""
        return {"keep": self._keep}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self._keep = state["keep"]


DEFENSE = ClipScore
