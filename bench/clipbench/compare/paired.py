"""Two defenses compared trial by trial: the same poisoned set, the same probes, one model each.

What both got alike says nothing of which is better; the discordant trials do.

McNemar. Note on the Sampling Error of the Difference Between Correlated Proportions or Percentages.
Psychometrika 12, 1947. Tango. Equivalence Test and Confidence Interval for the Difference in
Proportions for the Paired-Sample Design. Statistics in Medicine 17, 1998.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from clipbench.errors import BadSetting
from clipbench.evaluation.clustered import student_quantile

if TYPE_CHECKING:
    from clipbench.evaluation.outcomes import BoolArray

HALVINGS = 60  # of an interval no longer than 2: finer than a double


@dataclass(frozen=True)
class PairedCounts:
    """How many trials of one seed succeeded on both sides, on either alone, and on neither.

    Raises:
        BadSetting: a count is negative, or there are no trials.
    """

    both: int
    only_first: int
    only_second: int
    neither: int

    def __post_init__(self) -> None:
        if min(self.both, self.only_first, self.only_second, self.neither) < 0 or self.n < 1:
            raise BadSetting(f"Pairs of trials need counts from 0 and at least one; got {self}.")

    @classmethod
    def of(cls, first: BoolArray, second: BoolArray) -> PairedCounts:
        """Return the counts of two outcomes of the same trials, both ``(n,)``.

        Raises:
            BadSetting: there are no trials, or not as many on both sides.
        """
        if first.shape != second.shape:
            raise BadSetting(
                f"Outcomes of {len(first)} and {len(second)} trials cannot be paired; both sides"
                " need the same probes."
            )
        cells = (first & second, first & ~second, ~first & second, ~first & ~second)
        return cls(*(int(cell.sum()) for cell in cells))

    @property
    def n(self) -> int:
        """The number of trials."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def first(self) -> int:
        """The successes of the first side."""
        return self.both + self.only_first

    @property
    def second(self) -> int:
        """The successes of the second side."""
        return self.both + self.only_second

    @property
    def excess(self) -> int:
        """By how many successes the first side has more."""
        return self.only_first - self.only_second


@dataclass(frozen=True)
class Comparison:
    """What paired trials say of the difference of two shares, first less second.

    Args:
        counts: over all seeds.
        seeds: number of seeds.
        difference: of the pooled shares, in [-1, 1].
        low: lower bound of the interval to quote, the wider of the two below.
        high: its upper bound.
        by_trials: Tango's 95% interval, trials taken as independent.
        by_seeds: Student's 95% interval over seeds; None of one seed.
        mcnemar: two-sided p of the exact McNemar test, trials taken as independent.
        sign_flip: two-sided p of the exact permutation test over seeds; None of one seed.
    """

    counts: PairedCounts
    seeds: int
    difference: float
    low: float
    high: float
    by_trials: tuple[float, float]
    by_seeds: tuple[float, float] | None
    mcnemar: float
    sign_flip: float | None

    def to_json(self) -> dict[str, object]:
        """Return every number under its name, with n and the successes of both sides."""
        sums = {name: getattr(self.counts, name) for name in ("n", "first", "second")}
        return {**sums, **asdict(self)}


def compare(seeds: Sequence[PairedCounts], confidence: float = 0.95) -> Comparison:
    """Return what the paired trials of one or more seeds say.

    Raises:
        BadSetting: there are no seeds, or confidence is not in (0, 1).
    """
    if not seeds:
        raise BadSetting("A comparison needs at least one seed that both sides have.")
    whole = pool_pairs(seeds)
    by_trials = tango_interval(whole.only_first, whole.only_second, whole.n, confidence)
    several = len(seeds) > 1
    by_seeds = seeds_interval(seeds, confidence) if several else None
    quoted = max(by_trials, by_seeds or by_trials, key=lambda bounds: bounds[1] - bounds[0])
    return Comparison(
        counts=whole,
        seeds=len(seeds),
        difference=whole.excess / whole.n,
        low=quoted[0],
        high=quoted[1],
        by_trials=by_trials,
        by_seeds=by_seeds,
        mcnemar=mcnemar(whole.only_first, whole.only_second),
        sign_flip=sign_flip([seed.excess for seed in seeds]) if several else None,
    )


def pool_pairs(seeds: Sequence[PairedCounts]) -> PairedCounts:
    """Return the sums over seeds."""
    rows = [(seed.both, seed.only_first, seed.only_second, seed.neither) for seed in seeds]
    return PairedCounts(*map(sum, zip(*rows, strict=True)))


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided p of the exact McNemar test: discordant trials fall evenly to the sides.

    It is 1 where no trial is discordant.
    """
    from scipy.stats import binomtest  # noqa: PLC0415 - heavy

    discordant = only_first + only_second
    return float(binomtest(only_first, discordant, 0.5).pvalue) if discordant else 1.0


def tango_interval(
    only_first: int, only_second: int, n: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Return Tango's score interval of the difference of two paired shares, first less second.

    It holds every difference D that a score test does not reject: with b and c discordant trials,
    ``|b - c - n D| <= z sqrt(n (2 q + D (1 - D)))``, where q is the most likely chance, given D,
    of a trial that only the second side has.

    Args:
        only_first: trials that succeeded on the first side alone, b.
        only_second: trials that succeeded on the second side alone, c.
        n: all trials.
        confidence: in (0, 1).

    Returns:
        The lower and the upper bound, both in [-1, 1].

    Raises:
        BadSetting: the counts are none of n trials, or confidence is not in (0, 1).
    """
    if min(only_first, only_second) < 0 or n < max(1, only_first + only_second):
        raise BadSetting(f"{only_first} and {only_second} are no discordant trials among {n}.")
    if not 0.0 < confidence < 1.0:
        raise BadSetting(f"Confidence is {confidence}; it must lie strictly between 0 and 1.")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)

    def rejected(difference: float) -> bool:
        chance = _only_second_given(difference, only_first, only_second, n)
        variance = n * (2 * chance + difference * (1 - difference))
        return abs(only_first - only_second - n * difference) > z * math.sqrt(max(0.0, variance))

    observed = (only_first - only_second) / n
    return _border(rejected, observed, -1.0), _border(rejected, observed, 1.0)


def seeds_interval(seeds: Sequence[PairedCounts], confidence: float = 0.95) -> tuple[float, float]:
    """Return Student's t interval of the pooled difference, with seeds as what is independent.

    The variance is that of a ratio estimate; with as many trials at every seed this is the t
    interval of the mean of the seeds' differences.

    Args:
        seeds: at least two.
        confidence: in (0, 1).

    Returns:
        The lower and the upper bound, cut to [-1, 1].
    """
    whole, number = pool_pairs(seeds), len(seeds)
    squares = sum((seed.excess * whole.n - seed.n * whole.excess) ** 2 for seed in seeds)
    error = math.sqrt(number / (number - 1) * squares) / whole.n**2
    half = student_quantile(number - 1, confidence) * error
    difference = whole.excess / whole.n
    return max(-1.0, difference - half), min(1.0, difference + half)


def sign_flip(excesses: Sequence[int]) -> float:
    """Return the two-sided p of the exact permutation test that exchanges the sides seed by seed.

    It is the share of the 2^S exchanges whose summed excess is as far from 0 as the one observed,
    so that S seeds give no less than 2^(1 - S).

    Args:
        excesses: of each seed, by how many successes the first side has more.
    """
    ways = Counter({0: 1})
    for excess in excesses:
        flipped: Counter[int] = Counter()
        for total, number in ways.items():
            flipped[total + excess] += number
            flipped[total - excess] += number
        ways = flipped
    observed = abs(sum(excesses))
    extreme = sum(number for total, number in ways.items() if abs(total) >= observed)
    return float(extreme / 2 ** len(excesses))  # of whole numbers, which may be beyond floats


def _only_second_given(difference: float, only_first: int, only_second: int, n: int) -> float:
    """Return the most likely chance that only the second side succeeds, given the difference."""
    b = (2 * n - only_first + only_second) * difference - only_first - only_second
    c = -only_second * difference * (1 - difference)
    return (math.sqrt(max(0.0, b * b - 8 * n * c)) - b) / (4 * n)


def _border(rejected: Callable[[float], bool], inside: float, outside: float) -> float:
    """Return where between two differences a test begins to reject."""
    if not rejected(outside):
        return outside
    for _ in range(HALVINGS):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if rejected(middle) else (middle, outside)
    return inside
