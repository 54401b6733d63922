"""Shares pooled over seeds, with an interval that knows that trials of one seed go together.

Probes of one run are read by one model, so a seed's trials succeed or fail together more often than
independent ones would. What is independent is the seed.

Effective number of trials: Korn, Graubard. Confidence Intervals for Proportions With Small Expected
Number of Positive Counts Estimated From Survey Data. Survey Methodology 24, 1998. Wilson's interval
of it: Dean, Pagano. Evaluating Confidence Interval Methods for Binomial Proportions in Clustered
Surveys. Journal of Survey Statistics and Methodology 3, 2015. Interval of a difference: Newcombe.
Interval Estimation for the Difference Between Independent Proportions. Statistics in Medicine 17,
1998, method 10.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from clipbench.evaluation.statistics import Proportion, pool, wilson


def design_effect(shares: Sequence[Proportion]) -> float | None:
    """Return by how much seeds vary more than independent trials would make them.

    It is the variance of the pooled share p = k/n as a ratio estimate of S seeds,
    ``S / (S - 1) * sum((k_s - n_s p)^2) / n^2``, over the binomial ``p (1 - p) / (n - 1)``. With
    n - 1 rather than n a single success (or failure) among seeds of one size gives exactly 1: it
    cannot say whether successes gather in one seed.

    Args:
        shares: one a seed, of one quantity.

    Returns:
        About 1 where trials are independent; None where nothing can be said: of one seed, and where
        all trials of all seeds ended alike.

    Raises:
        BadSetting: there are no shares.
    """
    whole, seeds = pool(shares), len(shares)
    if seeds < 2 or whole.k in (0, whole.n):
        return None
    # In whole numbers: an effect of exactly 0 or 1 is not missed by rounding.
    squares = sum((share.k * whole.n - share.n * whole.k) ** 2 for share in shares)
    chance = (seeds - 1) * whole.n**2 * whole.k * (whole.n - whole.k)
    return seeds * (whole.n - 1) * squares / chance


def clustered_interval(
    shares: Sequence[Proportion], confidence: float = 0.95
) -> tuple[float, float]:
    """Return the interval of a share that is pooled over seeds.

    Where the seeds vary more than independent trials would make them (a design effect above 1), it
    is Wilson's interval of n / effect trials, with Student's quantile of S - 1 degrees of freedom;
    elsewhere it is Wilson's of the pooled counts, and it never leaves any of that out. Measured
    coverage stands in ``docs/statistics.md``.

    Args:
        shares: one a seed, of one quantity.
        confidence: in (0, 1).

    Returns:
        The lower and the upper bound, both in [0, 1].

    Raises:
        BadSetting: there are no shares, or confidence is not in (0, 1).
    """
    whole, effect = pool(shares), design_effect(shares)
    low, high = wilson(whole.k, whole.n, confidence)
    if effect is None or effect <= 1:
        return low, high
    wide = _score_interval(
        whole.value, whole.n / effect, student_quantile(len(shares) - 1, confidence)
    )
    return max(0.0, min(low, wide[0])), min(1.0, max(high, wide[1]))


def unpaired_difference(
    first: Sequence[Proportion], second: Sequence[Proportion], confidence: float = 0.95
) -> tuple[float, float, float]:
    """Return the difference of two pooled shares whose trials have nothing to do with each other.

    The interval puts together those of both shares (see `clustered_interval`) as Newcombe's method
    10 does: each bound is as far from the difference as the root of the sum of the squares of how
    far the bounds of the shares lie from these.

    Args:
        first: shares of one side, one a seed.
        second: those of the other.
        confidence: in (0, 1).

    Returns:
        First less second, its lower and its upper bound, in [-1, 1].

    Raises:
        BadSetting: a side has no shares, or confidence is not in (0, 1).
    """
    a, b = pool(first).value, pool(second).value
    (a_low, a_high), (b_low, b_high) = (
        clustered_interval(side, confidence) for side in (first, second)
    )
    low = a - b - math.hypot(a - a_low, b_high - b)
    high = a - b + math.hypot(a_high - a, b - b_low)
    return a - b, max(-1.0, low), min(1.0, high)


def student_quantile(freedom: int, confidence: float) -> float:
    """Return how many standard errors a two-sided t interval reaches to each side.

    Args:
        freedom: degrees of freedom, at least 1.
        confidence: in (0, 1).
    """
    from scipy.special import stdtrit  # noqa: PLC0415 - a single seed does without

    return float(stdtrit(freedom, 0.5 + confidence / 2))


def _score_interval(share: float, trials: float, quantile: float) -> tuple[float, float]:
    """Return Wilson's interval of any number of trials, whole or not, at a given quantile."""
    weight = quantile * quantile / trials
    center = (share + weight / 2) / (1 + weight)
    half = math.sqrt(weight * share * (1 - share) + weight * weight / 4) / (1 + weight)
    return center - half, center + half
