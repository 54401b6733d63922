"""LID filter: drop pairs whose images have the highest local intrinsic dimension.

Huang, Erfani, Li, Ma, Bailey. Detecting Backdoor Samples in Contrastive Language Image Pretraining.
ICLR 2025. https://arxiv.org/abs/2502.01385

LID: Amsaleg et al. Estimating Local Intrinsic Dimensionality. KDD 2015.
https://doi.org/10.1145/2783258.2783405

Differs from the authors' code: neighbors are counted differently (see `k`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from clipbench.contracts import Ge
from clipbench.toolkit.outliers import Neighbors, local_intrinsic_dimension
from clipbench_defenses._filters import NeighborFilter


@dataclass(frozen=True)
class LID(NeighborFilter):
    """Drop the pairs whose images have the highest local intrinsic dimension."""

    name = "lid"

    k: Annotated[int, Ge(1)] = 64

    def outlierness(self, neighbors: Neighbors) -> Tensor:
        """Return the local intrinsic dimension of each image, ``(N,)``."""
        return local_intrinsic_dimension(neighbors)


DEFENSE = LID
