"""SLOF filter: drop pairs whose images lie in sparser neighborhoods than their neighbors.

Huang, Erfani, Li, Ma, Bailey. Detecting Backdoor Samples in Contrastive Language Image Pretraining.
ICLR 2025. https://arxiv.org/abs/2502.01385

SLOF: Schubert, Zimek, Kriegel. Local Outlier Detection Reconsidered. Data Mining and Knowledge
Discovery 28, 2014. https://doi.org/10.1007/s10618-012-0300-z

Differs from the authors' code in the count of neighbors, see `k`, and in that equal features, which
are 0 apart, are the least suspicious ones; there more than k of them are the most.
There, neighbors' own distances are looked up by a number that is off by one for half of them; here
they are the neighbors'.
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
