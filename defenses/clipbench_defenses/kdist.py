"""k-distance filter: drop pairs whose images are far from their k-th neighbor.

Huang, Erfani, Li, Ma, Bailey. Detecting Backdoor Samples in Contrastive Language Image Pretraining.
ICLR 2025. https://arxiv.org/abs/2502.01385

k-distance: Ramaswamy, Rastogi, Shim. Efficient Algorithms for Mining Outliers from Large Data Sets.
SIGMOD 2000. https://doi.org/10.1145/342009.335437

Differs from the authors' code: neighbors are counted differently (see `k`).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from clipbench.toolkit.outliers import Neighbors, k_distance
from clipbench_defenses._filters import NeighborFilter


@dataclass(frozen=True)
class KDistance(NeighborFilter):
    """Drop the pairs whose images have the most distant k-th neighbor."""

    name = "kdist"

    def outlierness(self, neighbors: Neighbors) -> Tensor:
        """Return the distance to the k-th neighbor of each image, ``(N,)``."""
        return k_distance(neighbors)


DEFENSE = KDistance
