"""DAO filter: drop pairs whose images are dimensionality-aware outliers.

Huang, Erfani, Li, Ma, Bailey. Detecting Backdoor Samples in Contrastive Language Image Pretraining.
ICLR 2025. https://arxiv.org/abs/2502.01385

DAO: Anderberg, Bailey, Campello, Houle, Marques, Radovanović, Zimek. Dimensionality-Aware Outlier
Detection. SDM 2024. https://arxiv.org/abs/2401.05453

As in the code of Huang et al., the mean over neighbors is of logarithms, ``lid * log(ratio)``;
Anderberg et al. take it of the powers, ``ratio ** lid``, where a single neighbor can decide.

Differs from that code: neighbors are counted differently (see `k`); of more than k equal features
in a block each gets 0, as any point that lies as dense as its neighbors, while in the code they are
the most suspicious. The code also looks up half of the neighbors' own distances at an index that is
off by one, and counts the point itself in their dimension; here they are the neighbors'.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from clipbench.toolkit.outliers import Neighbors, dimensionality_aware_outlierness
from clipbench_defenses._filters import NeighborFilter


@dataclass(frozen=True)
class DAO(NeighborFilter):
    """Drop the pairs whose images have the highest dimensionality-aware outlierness."""

    name = "dao"

    def outlierness(self, neighbors: Neighbors) -> Tensor:
        """Return the dimensionality-aware outlierness of each image, ``(N,)``."""
        return dimensionality_aware_outlierness(neighbors)


DEFENSE = DAO
