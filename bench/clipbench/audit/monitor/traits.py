"""Traits of pairs by which new ones may stand together: words, suppliers, sizes, neighborhoods."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from scipy.sparse import csr_array

from clipbench.audit.monitor.differences import Bools, Ints
from clipbench.audit.monitor.pairs import Features, Hashes, Pairs
from clipbench.rng import generator
from clipbench.toolkit.outliers import ROWS

LEAST = 5  # pairs that must have a trait
MOST_WORDS = 20  # of a caption of which every two make a trait
MOST_CENTERS = 2_000  # pairs that have a neighborhood
ALL = 0.5  # share of the pairs from which on a trait says nothing


def matrix(
    rows: Ints, values: Hashes, count: int, least: int = LEAST, most: float = ALL
) -> tuple[csr_array, Hashes]:
    """Return which pairs have which trait, without traits that hardly any or most of them have.

    Args:
        rows: ``(M,)`` numbers of pairs.
        values: ``(M,)`` a trait that the pair has; a pair has it once, however often it is named.
        count: pairs.
        least: pairs that must have a trait.
        most: share of the pairs that may have it.

    Returns:
        ``(count, T)`` ones, and the traits ``(T,)``.
    """
    traits, column = np.unique(values, return_inverse=True)
    found = csr_array((np.ones(len(rows)), (rows, column.reshape(-1))), shape=(count, len(traits)))
    found.sum_duplicates()
    found.data[:] = 1.0
    total = np.asarray(found.sum(axis=0))
    keep = np.flatnonzero((total >= least) & (total <= max(most * count, least)))
    return csr_array(found[:, keep]), traits[keep]


def words(pairs: Pairs, most: float = ALL) -> tuple[csr_array, Hashes]:
    """Return which pairs have which word, if at most the share `most` of them has it."""
    rows = np.repeat(np.arange(len(pairs)), np.diff(pairs.starts))
    return matrix(rows, pairs.words, len(pairs), most=most)


def word_pairs(pairs: Pairs, among: Bools) -> tuple[csr_array, list[tuple[int, int]]]:
    """Return which of some pairs have which two words, each of which several of them have.

    Args:
        pairs: the pairs.
        among: ``(N,)`` those that count; the others have no trait.

    Returns:
        ``(N, T)`` ones, and the hashes of both words of each trait; of a single word, twice that.
    """
    here = np.flatnonzero(among)
    single, names = words(pairs.take(here), most=1.0)
    rows, traits = list[int](), list[tuple[int, int]]()
    for row in range(len(here)):
        own = single.indices[single.indptr[row] : single.indptr[row + 1]][:MOST_WORDS].tolist()
        both = [*combinations(sorted(own), 2), *((one, one) for one in own)]
        rows += [int(here[row])] * len(both)
        traits += both
    code = np.array([first << 32 | second for first, second in traits], np.uint64)
    found, kept = matrix(np.array(rows, np.int64), code, len(pairs))
    return found, [
        (int(names[trait >> 32]), int(names[trait & 0xFFFFFFFF])) for trait in kept.tolist()
    ]


def neighborhoods(features: Features, size: int, seed: int) -> csr_array:
    """Return which pairs are in the neighborhood of each of some pairs: itself and its nearest.

    Args:
        features: ``(N, D)`` unit features.
        size: pairs of a neighborhood.
        seed: decides which pairs have one.

    Returns:
        ``(N, T)``, a column for each neighborhood.
    """
    count = len(features)
    if count <= size:
        return csr_array((count, 0))
    centers = generator(seed, "neighborhoods").permutation(count)[:MOST_CENTERS]
    every, members = torch.from_numpy(features), list[torch.Tensor]()
    for part in torch.split(torch.from_numpy(centers), ROWS):
        members.append((every[part] @ every.T).topk(size, dim=1).indices)
    rows = torch.cat(members).numpy()
    columns = np.repeat(np.arange(len(centers)), size)
    ones = np.ones(rows.size)
    return csr_array((ones, (rows.reshape(-1), columns)), shape=(count, len(centers)))


def clusters(features: Features, count: int, seed: int) -> Hashes:
    """Return the number of each pair's cluster, ``(N,)``.

    Args:
        features: ``(N, D)``.
        count: clusters, at most one for ten pairs.
        seed: of the first centers.
    """
    from sklearn.cluster import KMeans  # noqa: PLC0415 - heavy

    many = max(1, min(count, len(features) // 10))
    fitted = KMeans(many, n_init=1, random_state=seed % 2**32, max_iter=50).fit(features)
    return np.asarray(fitted.labels_, np.uint64)
