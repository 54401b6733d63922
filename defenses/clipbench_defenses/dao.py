"""DAO filter: drop pairs whose images lie sparser than their neighbors, as dimension has it.

Huang, Erfani, Li, Ma, Bailey. Detecting Backdoor Samples in Contrastive Language Image Pretraining.
ICLR 2025. https://arxiv.org/abs/2502.01385

DAO: Anderberg, Bailey, Campello, Houle, Marques, Radovanović, Zimek. Dimensionality-Aware Outlier
Detection. SDM 2024. https://arxiv.org/abs/2401.05453

Differs from the authors' code in the count of neighbors, see `k`, and in that equal features, which
are 0 apart, are the least suspicious ones; there more than k of them are the most.
There, neighbors' own distances are looked up by a number that is off by one for half of them, and
their dimension counts the point itself; here it is the definition.
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
