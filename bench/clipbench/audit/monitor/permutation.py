"""Whether new pairs could be earlier ones, by dividing all of them at random many times.

If a delivery comes from where the earlier pairs came from, then which pairs are new says nothing,
and the actual division is one of many that are equally likely. Each difference is ranked among
those of random divisions; the smallest rank of all differences is ranked once more, so that the
probability that *any* of them gives an alarm is at most the one that was asked for, however many
there are and however they depend on each other.

Westfall and Young. Resampling-Based Multiple Testing. Wiley, 1993, algorithm 2.5 (min P).
Hemerik and Goeman. Exact testing with random permutations. TEST 27, 2018.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clipbench.audit.monitor.differences import Bools, Difference, Floats
from clipbench.rng import generator

LEAST = 999  # random divisions
_PER_ALARM = 3.0  # see `divisions`
_AT_ONCE = 1 << 21  # entries of divisions that are held


@dataclass(frozen=True)
class Outcome:
    """What came of one difference.

    Args:
        value: how much the new pairs differ.
        p: share of the divisions, the actual one among them, that differ as much.
        p_family: share of the divisions in which any difference is as rare as this one; at most
            the rate of false alarms where the alarm is right.
        usual: what all but one in twenty random divisions stay below.
    """

    value: float
    p: float
    p_family: float
    usual: float


def divisions(tests: int, alpha: float) -> int:
    """Return how many random divisions are needed.

    The rarest value of a difference has rank ``1 / (B + 1)``, and as many divisions as there are
    differences may have that rank; these must be fewer than ``alpha`` of all.
    """
    return max(LEAST, math.ceil(_PER_ALARM * tests / alpha))


def compare(
    differences: Mapping[str, Difference], new: Bools, count: int, seed: int
) -> dict[str, Outcome]:
    """Return how unusual each difference is.

    Args:
        differences: by name.
        new: ``(N,)``, which pairs are new.
        count: random divisions.
        seed: decides them.

    Raises:
        ValueError: no pair is new, or every one, so that there is nothing to divide.
    """
    if bool(new.all()) or not bool(new.any()):
        raise ValueError("some pairs must be new and some earlier")
    if not differences:
        return {}
    values = _values(list(differences.values()), new, count, seed)
    p = np.stack([_ranks(row) for row in values])
    rarest = np.sort(p.min(axis=0))
    usual = np.quantile(values[:, 1:], 0.95, axis=1)
    found = {}
    for number, name in enumerate(differences):
        own = float(p[number, 0])
        family = float(np.searchsorted(rarest, own, side="right")) / (count + 1)
        found[name] = Outcome(float(values[number, 0]), own, family, float(usual[number]))
    return found


def _values(differences: Sequence[Difference], new: Bools, count: int, seed: int) -> Floats:
    """Return each difference in the actual division, and then in each random one."""
    rng = generator(seed, "divisions")
    values = np.empty((len(differences), count + 1))
    step = max(1, _AT_ONCE // len(new))
    for start in range(0, count + 1, step):
        stop = min(count + 1, start + step)
        drawn = np.stack([new if row == 0 else rng.permutation(new) for row in range(start, stop)])
        for number, difference in enumerate(differences):
            values[number, start:stop] = difference.of(drawn)
    return values


def _ranks(values: Floats) -> Floats:
    """Return for each division the share of all that differ as much or more."""
    ordered = np.sort(values)
    below = np.searchsorted(ordered, values, side="left")
    return (len(values) - below) / len(values)
