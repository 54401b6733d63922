"""SLOF filter: drop pairs whose images have sparser neighborhoods than their neighbors.

Huang, Erfani, Li, Ma, Bailey. Detecting Backdoor Samples in Contrastive Language Image Pretraining.
ICLR 2025. https://arxiv.org/abs/2502.01385

SLOF: Schubert, Zimek, Kriegel. Local Outlier Detection Reconsidered. Data Mining and Knowledge
Discovery 28, 2014. https://doi.org/10.1007/s10618-012-0300-z

Differs from the authors' code: neighbors are counted differently (see `k`); equal features, at
distance 0, are the least suspicious, while in their code more than k of them are the most. Their
code also looks up half of the neighbors' own distances at an index that is off by one.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from clipbench.toolkit.outliers import Neighbors, simplified_lof
from clipbench_defenses._filters import NeighborFilter


@dataclass(frozen=True)
class SLOF(NeighborFilter):
    """Drop the pairs whose images have the highest simplified local outlier factor."""

    name = "slof"

    def outlierness(self, neighbors: Neighbors) -> Tensor:
        """Return the simplified local outlier factor of each image, ``(N,)``."""
        return simplified_lof(neighbors)


DEFENSE = SLOF
