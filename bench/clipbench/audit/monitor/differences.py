"""Ways in which a delivery may differ from earlier pairs, each as one number.

The number is computed for any division of the same pairs into new and earlier ones; the higher, the
more the new ones differ. What it means is for `clipbench.audit.monitor.permutation` to say, which
divides them at random many times.

Letters in shapes: ``N`` pairs, new and earlier together; ``B`` divisions of them; ``T`` traits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.special import xlogy
from scipy.stats import rankdata

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_PRIOR = 10.0  # pairs of ordinary fit by which the mean of a small group is held near all others'
_NOTHING = -1.0  # of a group with too few new pairs to say anything
_TINY = 1e-300  # in place of 0 where nothing is divided


class Difference(Protocol):
    """One way in which new pairs may differ."""

    def of(self, new: Bools) -> Floats:
        """Return how much the new pairs differ, in each division.

        Args:
            new: ``(B, N)``; there need not be as many new pairs in each row, nor any.

        Returns:
            ``(B,)``.
        """


@dataclass(frozen=True)
class Distribution:
    """The largest distance of two distribution functions (Kolmogorov-Smirnov).

    It is multiplied by ``sqrt(n m / (n + m))``, of n new and m earlier pairs, by which distances
    of different divisions can be compared where these have not as many new pairs.

    Args:
        values: ``(N,)``.
    """

    values: Floats

    def of(self, new: Bools) -> Floats:
        """Return the distance; 0 where no pair is new, or every one."""
        if not len(self.values):
            return np.zeros(len(new))
        order, ends = self._sorted
        counts = np.cumsum(new[:, order], axis=1, dtype=np.int32)[:, ends].astype(np.float64)
        earlier = (ends + 1.0) - counts
        n, m = counts[:, -1:], earlier[:, -1:]
        apart = np.abs(counts / np.maximum(n, 1) - earlier / np.maximum(m, 1)).max(axis=1)
        return _rounded(apart * np.sqrt(n * m / len(order)).reshape(-1))

    @cached_property
    def _sorted(self) -> tuple[Ints, Ints]:
        """The order of the values, and the last place of each distinct one."""
        order = np.argsort(self.values, kind="stable").astype(np.int64)
        ordered = self.values[order]
        return order, np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)).astype(np.int64)


@dataclass(frozen=True)
class Count:
    """How many of the new pairs have a trait that has nothing to do with the others.

    Args:
        has: ``(N,)``.
    """

    has: Bools

    def of(self, new: Bools) -> Floats:
        """Return the count."""
        counts: Floats = new[:, self.has].sum(axis=1, dtype=np.float64)
        return counts


@dataclass(frozen=True)
class Repeated:
    """How many of the new pairs repeat another new pair.

    Args:
        group: ``(N,)``, equal for pairs that repeat each other.
    """

    group: Ints

    def of(self, new: Bools) -> Floats:
        """Return the count."""
        members, groups = _shared(self.group)
        counts = _per_trait(groups, new[:, members])
        copies: Floats = np.where(counts > 1, counts, 0.0).sum(axis=1)
        return copies


@dataclass(frozen=True)
class SeenBefore:
    """How many of the new pairs repeat an earlier pair.

    Args:
        group: ``(N,)``, equal for pairs that repeat each other.
        known: ``(N,)``, which of them repeat a pair outside of the N, one that came earlier.
    """

    group: Ints
    known: Bools

    def of(self, new: Bools) -> Floats:
        """Return the count."""
        members, groups = _shared(self.group)
        unknown = ~self.known[members]
        counts = _per_trait(groups[unknown], new[:, members[unknown]])
        sizes = _per_trait(groups, np.ones((1, len(members)), bool))
        earlier = sizes - _per_trait(groups, new[:, members])
        among: Floats = np.where(earlier > 0, counts, 0.0).sum(axis=1)
        return Count(self.known).of(new) + among


@dataclass(frozen=True)
class MeanFeatures:
    """The distance of the new pairs' mean from that of all, squared.

    Of random Fourier features this is the maximum mean discrepancy under a Gaussian kernel
    (Gretton et al., JMLR 2012; Rahimi and Recht, NIPS 2007).

    Args:
        features: ``(N, F)`` float32.
    """

    features: npt.NDArray[np.float32]

    def of(self, new: Bools) -> Floats:
        """Return the squared distance."""
        centered = self.features - self.features.mean(axis=0)
        count = np.maximum(new.sum(axis=1, dtype=np.float32), 1)
        means = new.astype(np.float32) @ centered / count[:, None]
        return _rounded(np.square(means.astype(np.float64)).sum(axis=1) * len(self.features))


@dataclass(frozen=True)
class Concentration:
    """How unlikely it is that pairs with one trait are new so often; of all traits, the highest.

    A scan over traits (Kulldorff, Communications in Statistics 1997): the score of a trait is the
    logarithm of a likelihood ratio, times two, and 0 where new pairs have it as seldom as others.

    Args:
        traits: ``(N, T)``, 1 where a pair has a trait.
    """

    traits: csr_array

    def of(self, new: Bools) -> Floats:
        """Return the score of the trait with the highest."""
        if not self.traits.shape[1]:
            return np.zeros(len(new))
        highest: Floats = self.scores(new).max(axis=1)
        return highest

    def scores(self, new: Bools) -> Floats:
        """Return the score of every trait, ``(B, T)``."""
        share = new.mean(axis=1, dtype=np.float64)[:, None]
        count = _per_trait(self.traits, new)
        total = np.asarray(self.traits.sum(axis=0), np.float64)
        expected = total * share
        score = 2 * (
            xlogy(count, count / np.maximum(expected, _TINY))
            + xlogy(total - count, (total - count) / np.maximum(total - expected, _TINY))
        )
        return _rounded(np.where(count > expected, score, 0.0))


@dataclass(frozen=True)
class GroupShift:
    """How much lower a group's new values are than its earlier ones; of all groups, the most.

    In standard errors. A group without earlier values is compared with all others.

    Args:
        values: ``(N,)``; their ranks are compared.
        groups: ``(N, T)``, 1 where a pair is of a group.
        least: new pairs that a group must have.
    """

    values: Floats
    groups: csr_array
    least: int = 5

    def of(self, new: Bools) -> Floats:
        """Return the shift of the group with the largest."""
        if not self.groups.shape[1]:
            return np.zeros(len(new))
        largest: Floats = self.shifts(new).max(axis=1)
        return largest

    def shifts(self, new: Bools) -> Floats:
        """Return the shift of every group, ``(B, T)``."""
        # Mean 0, variance 1/12; equal values have one rank, whatever order they stand in.
        rank = (rankdata(self.values) - 0.5) / len(self.values) - 0.5
        weighted = csr_array(self.groups.multiply(rank[:, None]))
        count, value = _per_trait(self.groups, new), _per_trait(weighted, new)
        total = np.asarray(self.groups.sum(axis=0), np.float64)
        earlier = total - count + _PRIOR
        before = (np.asarray(weighted.sum(axis=0), np.float64) - value) / earlier
        enough = np.maximum(count, 1)
        error = np.sqrt((1 / enough + 1 / earlier) / 12)
        shift = (before - value / enough) / error
        return _rounded(np.where(count >= self.least, shift, _NOTHING))


@dataclass(frozen=True)
class Among:
    """A difference that is asked of some of the pairs only.

    Args:
        difference: asked of them; it must not grow with how many of them are new.
        rows: ``(M,)`` their numbers among all pairs.
    """

    difference: Difference
    rows: Ints

    def of(self, new: Bools) -> Floats:
        """Return how much the new ones of them differ."""
        return self.difference.of(new[:, self.rows])


def fourier_features(
    features: npt.NDArray[np.float32], rng: np.random.Generator, count: int = 128
) -> npt.NDArray[np.float32]:
    """Return random Fourier features of a Gaussian kernel as wide as the median distance.

    Args:
        features: ``(N, D)``.
        rng: draws them.
        count: cosines and sines, half of the features each.

    Returns:
        ``(N, 2 * count)``.
    """
    some = features[rng.permutation(len(features))[:500]]
    lengths = np.square(some).sum(axis=1)
    squares = np.maximum(lengths[:, None] + lengths - 2 * some @ some.T, 0)
    between = squares[np.triu_indices(len(some), 1)]
    width = (float(np.sqrt(np.median(between))) if len(between) else 0.0) or 1.0  # all are equal
    directions = rng.standard_normal((features.shape[1], count)).astype(np.float32) / width
    angles = features @ directions
    both = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    return np.asarray(both / np.sqrt(count), np.float32)


def _shared(group: Ints) -> tuple[Ints, csr_array]:
    """Return the pairs that are not alone in their group, and the group of each as a matrix."""
    _, number, sizes = np.unique(group, return_inverse=True, return_counts=True)
    members = np.flatnonzero(sizes[number.reshape(-1)] > 1).astype(np.int64)
    _, number = np.unique(group[members], return_inverse=True)
    ones = np.ones(len(members))
    shape = (len(members), int(number.max(initial=-1)) + 1)
    return members, csr_array((ones, (np.arange(len(members)), number.reshape(-1))), shape=shape)


def _per_trait(traits: csr_array, new: Bools) -> Floats:
    """Return how many new pairs have each trait, ``(B, T)``."""
    counts: Floats = (traits.T @ new.T.astype(np.float64)).T
    return counts


def _rounded(values: Floats) -> Floats:
    """Return values without digits that depend on the order of a sum: ties must stay ties."""
    return np.round(values, 6)
