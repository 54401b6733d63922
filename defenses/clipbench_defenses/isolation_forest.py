"""Isolation forest: drop pairs whose images few random splits isolate.

Liu, Ting, Zhou. Isolation Forest. ICDM 2008. https://doi.org/10.1109/ICDM.2008.17

As a filter of poisoned pairs: Huang, Erfani, Li, Ma, Bailey. Detecting Backdoor Samples in
Contrastive Language Image Pretraining. ICLR 2025. https://arxiv.org/abs/2502.01385

Differs from the authors' code: one forest on all images of the set; theirs grows one per batch, on
its images and captions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from clipbench.contracts import Ge
from clipbench_defenses._filters import OutlierFilter


@dataclass(frozen=True)
class IsolationForestFilter(OutlierFilter):
    """Drop the pairs whose images an isolation forest finds the most anomalous.

    Args:
        trees: number of trees.
    """

    name = "isolation_forest"

    trees: Annotated[int, Ge(1)] = 100

    def score(self, images: Tensor, texts: Tensor, seed: int) -> Tensor:  # noqa: ARG002
        """Return scikit-learn's score, which is low for images that few splits isolate."""
        from sklearn.ensemble import IsolationForest  # noqa: PLC0415 - heavy

        forest = IsolationForest(n_estimators=self.trees, random_state=seed % 2**32)
        pixels = images.numpy()
        return torch.from_numpy(forest.fit(pixels).score_samples(pixels)).float()


DEFENSE = IsolationForestFilter
