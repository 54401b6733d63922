"""Exact bounds on how many good pairs a threshold sets aside.

Learn then test: Angelopoulos, Bates, Candès, Jordan, Lei. Learn then Test: Calibrating Predictive
Algorithms to Achieve Risk Control. Annals of Applied Statistics 19(2), 2025.
https://arxiv.org/abs/2110.01052. Intervals: Clopper, Pearson. Biometrika 26, 1934.

A threshold sets aside, or *flags*, the first t pairs of the ranked list. Labels come in two ways.
The first T pairs are all judged, so that of them nothing is unknown. Beyond them, pairs were drawn
at random among the ranks up to R, each as likely as any other, and judged; those among ranks T + 1
to t are therefore a random sample of the pairs there, whatever t is, and the number of good ones
among them is hypergeometric. That is the test's distribution: the binomial one, which serves
samples of a stream without end, is its limit and never more powerful.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import beta, hypergeom

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
STEPS = 20  # thresholds that are tested at most
SPARED = 2  # good pairs among the labels that the first threshold tested may have and still hold


@dataclass(frozen=True)
class Review:
    """Judged pairs of a ranked list.

    Args:
        census: ``(T,)`` which of the first T pairs are bad; all of them are judged.
        ranks: ``(n,)`` of the pairs beyond them that were drawn at random and judged.
        bad: ``(n,)`` which of those are bad.
        region: R, the last rank among which was drawn.
    """

    census: BoolArray
    ranks: IntArray
    bad: BoolArray
    region: int

    def counts(self, first: int, last: int) -> tuple[int, int]:
        """Return how many drawn pairs of ranks `first` to `last` were judged, and how many bad."""
        inside = (self.ranks >= first) & (self.ranks <= last)
        return int(inside.sum()), int(self.bad[inside].sum())

    def good_known(self, flagged: int) -> int:
        """Return how many of the flagged pairs that are known one by one are good."""
        return int((~self.census[:flagged]).sum())


def clopper_pearson(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a share of which k of n were seen; (0, 1) where n is 0.

    Example:
        >>> [round(bound, 3) for bound in clopper_pearson(0, 10)]
        [0.0, 0.308]
    """
    tail = (1 - confidence) / 2
    low = 0.0 if k == 0 else float(beta.ppf(tail, k, n - k + 1))
    high = 1.0 if k == n else float(beta.ppf(1 - tail, k + 1, n - k))
    return low, high


def p_value(review: Review, flagged: int, alpha: float) -> float:
    """Return the p-value of "of the flagged pairs, more than a share alpha is good".

    It is the largest probability, over all sets of which that is so, of as few good pairs among the
    labels, or fewer; 0 where the labels rule it out, 1 where they prove it.

    Args:
        review: judged pairs.
        flagged: t, pairs that the threshold flags.
        alpha: share of good pairs that is allowed.
    """
    judged, bad = review.counts(len(review.census) + 1, flagged)
    return _p_value(review, flagged, alpha, judged, judged - bad)


def _p_value(review: Review, flagged: int, alpha: float, judged: int, good: int) -> float:
    """Return the p-value with so many good pairs among the judged ones that were drawn."""
    hidden = max(0, flagged - len(review.census))
    # Good ones among the hidden, for more than a share alpha of all flagged to be good.
    needed = _allowed(alpha, flagged) + 1 - review.good_known(flagged)
    if needed <= 0:
        return 1.0
    if needed > hidden:
        return 0.0
    return float(hypergeom.cdf(good, hidden, needed, judged))


def _allowed(alpha: float, flagged: int) -> int:
    """Return how many of the flagged pairs may be good; a hair is rounding."""
    return math.floor(alpha * flagged + 1e-9)


def thresholds(review: Review) -> list[int]:
    """Return the thresholds that are looked at, rising: T, and equal steps up to R."""
    known = min(len(review.census), review.region)
    steps = np.linspace(known, review.region, STEPS + 1).round().astype(int)
    return sorted({int(step) for step in steps if step > 0})


def learn_then_test(
    review: Review, alpha: float, delta: float, steps: Sequence[int] | None = None
) -> int | None:
    """Return the largest threshold that holds: at most a share alpha of what it flags is good.

    With probability 1 - delta over the draw of the sample, whatever it returns does hold. It tests
    thresholds in a fixed order, from the strictest, and stops at the first that fails, so that each
    is tested at delta. Where it starts depends on how many labels there are, not on what they say:
    it is the first threshold that may hold with `SPARED` good pairs among its labels, for one that
    a single good pair fails would mostly end the sequence before it begins.

    Args:
        review: judged pairs.
        alpha: share of good pairs that is allowed.
        delta: probability with which the answer may be wrong.
        steps: the order; None: `thresholds`.

    Returns:
        How many pairs it flags; None: no threshold is known to hold.
    """
    good = np.cumsum(~review.census)
    found = max(
        (t for t, count in enumerate(good.tolist(), 1) if count <= _allowed(alpha, t)), default=None
    )
    for flagged in _sequence(review, alpha, delta, steps or thresholds(review)):
        if p_value(review, flagged, alpha) > delta:
            break
        found = flagged
    return found


def _sequence(review: Review, alpha: float, delta: float, steps: Sequence[int]) -> list[int]:
    """Return the thresholds beyond the pairs that are known, from where the test starts."""
    known = len(review.census)
    beyond = [flagged for flagged in steps if flagged > known]
    judged = [review.counts(known + 1, flagged)[0] for flagged in beyond]
    for spared in range(SPARED, -1, -1):
        for place, (flagged, count) in enumerate(zip(beyond, judged, strict=True)):
            enough = count >= spared
            if enough and _p_value(review, flagged, alpha, count, spared) <= delta:
                return beyond[place:]
    return []
