"""N50 of cells: the number of poisoned pairs at which an attack succeeds half of the time.

All cells of an attack and defense have curves of one slope in log2(count). Every share weighs the
same, of a dose or of a backdoor's test images. The interval of a cell holds the numbers at which a
score test does not say that success is another than one half. The variance is that of trials of
which those of one run are correlated. This correlation is one number of all cells, not below 0, so
that a cell of two runs, or of one, need not say alone how much runs vary; and Student's degrees of
freedom are those of all cells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from curves import Cell, Estimate, Floats, Shares, logistic, quantile, sums
from scipy.optimize import brentq
from scipy.special import expit

LEAST_FREEDOM = 1  # degrees of it, for an interval: of fewer, Student's would be of any length


@dataclass(frozen=True)
class Dispersion:
    """How much runs vary more than their trials would.

    Args:
        correlation: of the trials of one run, from 0 to 1.
        freedom: degrees of freedom of it; 0: no two runs can be compared.
        own: degrees of freedom of each cell's variance, by its place.
    """

    correlation: float
    freedom: float
    own: tuple[float, ...] = ()


def half_points(shares: Shares) -> tuple[dict[Cell, Estimate], Dispersion]:
    """Return N50 of each cell of one attack and defense, and what their intervals rest on.

    N50 is infinite where nothing succeeded at all, 0 where everything did, and NaN where success
    does not rise with the count. An interval ends at the smallest and largest count of its cell: an
    end beyond them is 0 or infinite.
    """
    nothing = Dispersion(0, 0)
    if shares.share.max() == 0 or shares.share.min() == 1:
        value = 0.0 if shares.share.min() == 1 else math.inf
        return {cell: Estimate(value) for cell in shares.cells}, nothing
    design = np.column_stack([shares.logs[:, 0], shares.levels])
    slope, *levels = logistic(design, shares.share).tolist()
    if slope <= 0:
        return {cell: Estimate(math.nan) for cell in shares.cells}, nothing
    dispersion = dispersed(shares, design, np.array([slope, *levels]))
    found = {}
    for place, (cell, level) in enumerate(zip(shares.cells, levels, strict=True)):
        low, high = _ends(shares, place, -level / slope, dispersion)
        with np.errstate(over="ignore"):
            found[cell] = Estimate(*np.exp2([-level / slope, low, high]).tolist())
    return found, dispersion


def dispersed(shares: Shares, design: Floats, coefficients: Floats) -> Dispersion:
    """Return the correlation within runs, from the squares of how far runs lie from the curves.

    A run whose cell has no other lies on its curve and counts for nothing.

    Args:
        shares: N of them.
        design: that of the curves, ``(N, p)``.
        coefficients: of the curves ``(p,)``.
    """
    fitted = expit(design @ coefficients)
    variance = fitted * (1 - fitted)
    alone = sums(variance / shares.trials, shares.run)  # of a run's sum of shares: trials apart,
    together = sums(np.sqrt(variance), shares.run) ** 2  # and trials that all end alike
    weight = sums(variance, shares.run)
    moved = sums(variance[:, None] * design, shares.run)
    spread = np.linalg.pinv(design.T @ (variance[:, None] * design), hermitian=True)
    leverage = np.einsum("rp,pq,rq->r", moved, spread, moved) / np.maximum(weight, 1e-12)
    left = np.clip(1 - leverage, 0, 1)
    if left.sum() < 0.5:
        return Dispersion(0, 0)
    squares = (sums(shares.share - fitted, shares.run) ** 2).sum()
    least, most = left @ alone, left @ together
    correlation = float(np.clip((squares - least) / max(most - least, 1e-12), 0, 1))
    scale = alone + correlation * (together - alone)
    freedom = (left @ scale) ** 2 / max(left @ scale**2, 1e-300)
    expected = least + correlation * (most - least)
    error = math.sqrt(2 / max(freedom, 1e-12)) * expected / max(most - least, 1e-12)
    of_run = np.zeros(len(alone), dtype=np.int64)
    of_run[shares.run] = shares.cell
    spread_of = sums(alone + correlation * (together - alone), of_run)
    unsure = np.maximum(np.abs(sums(together - alone, of_run)) * error, 1e-300)
    own = np.minimum(freedom, np.maximum(1.0, 2 * (spread_of / unsure) ** 2))
    return Dispersion(correlation, float(freedom), tuple(own.tolist()))


def score(shares: Shares, place: int, point: float, dispersion: Dispersion) -> float:
    """Return the score statistic of a cell for its N50 being 2 to the power of `point`.

    It is below 0 where the cell has fewer successes than that would give, and above where more;
    and it is divided by Student's quantile, so that 1 and -1 are the ends of what a 95% interval
    holds. Curves do not fall: the lowest slope is 0.
    Where the variance is from the correlation more than in other cells, as in a run of many
    targets, it is less well known, and there are fewer degrees of freedom (Satterthwaite).
    """
    levels = shares.levels
    own = levels[:, place]
    others = np.column_stack(
        [shares.logs[:, 0] - point * own, np.delete(levels, place, axis=1)],
    )
    coefficients = logistic(others, shares.share)
    if coefficients[0] < 0:  # a curve that falls would make any N50 fit where nothing succeeds
        others = others[:, 1:]
        coefficients = logistic(others, shares.share)
    fitted = expit(others @ coefficients)
    variance = fitted * (1 - fitted)
    root = np.sqrt(variance)
    rest = np.linalg.lstsq(root[:, None] * others, root * own, rcond=None)[0]
    effect = own - others @ rest
    apart = (effect**2 * variance / shares.trials).sum()
    together = (sums(effect * root, shares.run) ** 2).sum()
    spread = max(apart + dispersion.correlation * (together - apart), 1e-300)
    reach = quantile(dispersion.own[place]) * math.sqrt(spread)
    return float(effect @ (shares.share - fitted) / reach)


def _ends(shares: Shares, place: int, best: float, dispersion: Dispersion) -> tuple[float, float]:
    """Return the ends of the interval of log2(N50), infinite beyond the counts of the cell."""
    if dispersion.freedom < LEAST_FREEDOM:
        return math.nan, math.nan
    counts = shares.logs[shares.cell == place, 0]
    first, last = float(counts.min()), float(counts.max())

    def distance(point: float, side: int) -> float:
        return score(shares, place, point, dispersion) - side

    def end(side: int) -> float:
        at_first, at_last = distance(first, side), distance(last, side)
        if at_first >= 0:
            return -math.inf
        if at_last <= 0:
            return math.inf
        return float(brentq(distance, first, last, args=(side,), xtol=1e-3))

    low, high = end(-1), end(1)
    return (low, high) if low <= best <= high else (min(low, best), max(high, best))
