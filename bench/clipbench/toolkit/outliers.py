"""How sparse the neighborhood of each feature is: scores by which outliers are found.

Huang, Erfani, Li, Ma, Bailey. Detecting Backdoor Samples in Contrastive Language Image Pretraining.
ICLR 2025. https://arxiv.org/abs/2502.01385, with
k-distance: Ramaswamy et al., SIGMOD 2000; LID: Amsaleg et al., KDD 2015; SLOF: Schubert et al.,
DMKD 2014; DAO: Anderberg et al., SDM 2024.

All take distances to the k nearest neighbors, ``(N, k)`` in rising order, and, where they look at
the neighbors' own neighborhoods, which rows those are, ``(N, k)``. High values are outliers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from clipbench.errors import BadSetting
from clipbench.rng import generator

SMALLEST = 1e-8  # a distance that is none, of equal features
LID_OFFSET = 1e-4  # as the authors' code has it
ROWS = 1024  # of a distance matrix that is computed at once
SPARE = 8  # neighbors beyond k among which the nearest are made sure of


class Neighbors(NamedTuple):
    """The nearest neighbors of each feature.

    Args:
        distances: ``(N, k)`` Euclidean, rising.
        rows: ``(N, k)`` int64, which features they are.
    """

    distances: Tensor
    rows: Tensor


def nearest(features: Tensor, k: int) -> Neighbors:
    """Return the exact k nearest neighbors of each feature among all others.

    Memory is that of `ROWS` rows of the distance matrix.

    Args:
        features: ``(N, D)``.
        k: neighbors, fewer than N.

    Raises:
        BadSetting: there are not as many others.
    """
    if not 1 <= k < len(features):
        raise BadSetting(f"{len(features)} features have no {k} neighbors each; k must be lower.")
    distances = features.new_empty(len(features), k)
    rows = torch.empty(len(features), k, dtype=torch.int64, device=features.device)
    # By a product of matrices, which is fast and loses the digits of small distances; so a few more
    # than k are taken, and their distances computed again. In float64: a model that has learned
    # little gives features far from zero and close to each other, of whose distances float32 would
    # lose every digit.
    wide = features.double()
    squares = wide.square().sum(dim=1)
    many = min(len(features) - 1, k + SPARE)
    for start in range(0, len(features), ROWS):
        part = features[start : start + ROWS]
        rough = torch.addmm(squares, wide[start : start + ROWS], wide.T, alpha=-2)
        own = torch.arange(len(part), device=features.device)
        rough[own, own + start] = torch.inf
        candidates = rough.topk(many, largest=False).indices
        exact = (features[candidates] - part[:, None]).norm(dim=2)
        best = exact.topk(k, largest=False)
        distances[start : start + len(part)] = best.values
        rows[start : start + len(part)] = candidates.gather(1, best.indices)
    return Neighbors(distances, rows)


def blocks(count: int, size: int, seed: int) -> Iterator[Tensor]:
    """Yield the members of random blocks, ``(B,)`` int64 each: every feature is in one.

    Poison is rare in a block, whereas the whole set may hold more than k poisons that lie close to
    each other; that is what makes sparse neighborhoods of poisons. Blocks are the fewest of at
    most `size` features, equal in size up to one.

    Args:
        count: features.
        size: features in a block, at most.
        seed: decides the blocks.
    """
    order = torch.from_numpy(generator(seed, "blocks").permutation(count))
    yield from order.tensor_split(-(-count // size))


def k_distance(neighbors: Neighbors) -> Tensor:
    """Return the distance to the k-th neighbor, ``(N,)``."""
    return neighbors.distances[:, -1]


def local_intrinsic_dimension(neighbors: Neighbors) -> Tensor:
    """Return the maximum-likelihood local intrinsic dimension, ``(N,)``, at most 1 / LID_OFFSET.

    Neighbors that are all equally far, such as copies of one image, have an infinite one; the
    offset in the logarithm would make it negative, and the most suspicious the least.
    """
    distances = neighbors.distances
    ratios = distances / distances[:, -1:].clamp_min(SMALLEST)
    k = distances.shape[1]
    return -k / (ratios + LID_OFFSET).log().sum(dim=1).clamp_max(-k * LID_OFFSET)


def simplified_lof(neighbors: Neighbors) -> Tensor:
    """Return SLOF: the k-distance over those of the neighbors, averaged, ``(N,)``."""
    own = k_distance(neighbors)
    return (own[:, None] / own[neighbors.rows].clamp_min(SMALLEST)).mean(dim=1)


def dimensionality_aware_outlierness(neighbors: Neighbors) -> Tensor:
    """Return DAO: SLOF's ratios in logarithm, each times its neighbor's dimension, ``(N,)``.

    So it is in the code of Huang et al.; Anderberg et al. average the ratios to the power of the
    dimensions, which a single neighbor can decide.
    """
    own = k_distance(neighbors).clamp_min(SMALLEST)
    ratios = (own[:, None] / own[neighbors.rows]).log()
    return (local_intrinsic_dimension(neighbors)[neighbors.rows] * ratios).mean(dim=1)
