"""Slopes of the dose study and their ratios, as far as cells identify them.

Intervals are of a jackknife that leaves out one draw of poison after another (a poison seed with
its counts) in every cell, because all cells have the same draws. Its variance is the cluster-robust
CV3 (MacKinnon, Nielsen, Webb. Fast and reliable jackknife and bootstrap methods for cluster-robust
inference. Journal of Applied Econometrics 38, 2023). Student's degrees of freedom are the effective
number of draws, less one: where few draws say most, they count as few (Carter, Schnepel,
Steigerwald. Asymptotic behavior of a t-test robust to cluster heterogeneity. Review of Economics
and Statistics 99, 2017). Ratios have the interval of Fieller (Some problems in interval estimation.
Journal of the Royal Statistical Society B 16, 1954).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from curves import Estimate, Floats, Integers, Shares, logistic, quantile, sums
from scipy.special import expit

LEAST_INFORMATION = 1e-3  # on a direction of the slopes, in shares: below it, the ridge decides
LEAST_DRAWS = 3  # of poison, for an interval of a slope
# Of a logit in log2(count), log2(pairs) and log2(epochs).
CONTRASTS = {"b": (1, 0, 0), "c": (0, 1, 0), "d": (0, 0, 1), "c − d": (0, 1, -1)}
RATIOS = {"c/b": "c", "d/b": "d", "(c − d)/b": "c − d"}
SLOPES = (*CONTRASTS, *RATIOS)


@dataclass(frozen=True)
class Fitted:
    """Slopes b, c and d as far as they are identified.

    Args:
        slopes: those of least length ``(3,)``.
        known: projection onto the directions in which the shares vary ``(3, 3)``.
        influence: of each share on the slopes, for one unit of it ``(N, 3)``.
        variance: p (1 - p) of each share ``(N,)``.
    """

    slopes: Floats
    known: Floats
    influence: Floats
    variance: Floats


def fitted_slopes(shares: Shares) -> Fitted | None:
    """Return the slopes; None: there is next to no information on some that vary."""
    centered = shares.logs - shares.logs.mean(axis=0)
    _, lengths, directions = np.linalg.svd(centered, full_matrices=False)
    basis = directions[lengths > 1e-6 * max(lengths.max(), 1)]
    if not len(basis) or shares.share.max() == 0 or shares.share.min() == 1:
        return None
    design = np.column_stack([np.ones(len(centered)), centered @ basis.T])
    coefficients = logistic(design, shares.share)
    fitted = expit(design @ coefficients)
    variance = fitted * (1 - fitted)
    information = design.T @ (variance[:, None] * design)
    if np.linalg.eigvalsh(information).min() < LEAST_INFORMATION:
        return None
    influence = design @ np.linalg.inv(information)[:, 1:] @ basis
    return Fitted(coefficients[1:] @ basis, basis.T @ basis, influence, variance)


def slopes(shares: Shares) -> dict[str, Estimate]:
    """Return slopes and their ratios, by `SLOPES`; NaN: not identified.

    Without an interval are slopes of fewer than `LEAST_DRAWS` draws of poison, and those that
    cannot be estimated without one of the draws.
    """
    nothing = dict.fromkeys(SLOPES, Estimate(math.nan))
    best = fitted_slopes(shares)
    if best is None:
        return nothing
    draws = np.unique(shares.draw)
    enough = len(draws) >= LEAST_DRAWS
    again = [fitted_slopes(shares.without(draw)) for draw in draws] if enough else []
    whole = enough and all(
        one is not None and np.allclose(one.known, best.known, atol=1e-6) for one in again
    )
    moved = np.array([one.slopes - best.slopes for one in again if one is not None])
    spread = (len(draws) - 1) / len(draws) * moved.T @ moved if whole else np.full((3, 3), np.nan)
    found = dict(nothing)
    for name, weights in CONTRASTS.items():
        along = np.array(weights, dtype=np.float64)
        if np.allclose(best.known @ along, along, atol=1e-6):
            value, error = float(along @ best.slopes), math.sqrt(abs(float(along @ spread @ along)))
            reach = _quantile(best, along, shares.draw) * error
            found[name] = Estimate(value, value - reach, value + reach)
    for name, above in RATIOS.items():
        if not (math.isnan(found[above].value) or math.isnan(found["b"].value)):
            found[name] = _ratio(best, spread, CONTRASTS[above], shares.draw)
    return found


def _quantile(best: Fitted, along: Floats, draw: Integers) -> float:
    """Return Student's quantile for a contrast: of the effective number of draws, less one."""
    by_draw = sums((best.influence @ along) ** 2 * best.variance, draw)
    return quantile(by_draw.sum() ** 2 / (by_draw**2).sum() - 1)


def _ratio(best: Fitted, spread: Floats, weights: Sequence[float], draw: Integers) -> Estimate:
    """Return a contrast over b with Fieller's interval; it is the line where b may be 0."""
    above, below = np.array(weights, dtype=np.float64), np.array(CONTRASTS["b"], dtype=np.float64)
    a, b = above @ best.slopes, below @ best.slopes
    value = float(a / b)
    if np.isnan(spread).any():
        return Estimate(value)
    squared = _quantile(best, above - value * below, draw) ** 2
    lead = b**2 - squared * below @ spread @ below
    if lead <= 0:
        return Estimate(value, -math.inf, math.inf)
    middle = a * b - squared * above @ spread @ below
    inside = float(middle**2 - lead * (a**2 - squared * above @ spread @ above))
    root = math.sqrt(max(0.0, inside))
    return Estimate(value, float((middle - root) / lead), float((middle + root) / lead))
