"""Statistics of counted outcomes: a share is never reported without its k, its n and its interval.

Wilson. Probable Inference, the Law of Succession, and Statistical Inference. JASA 22, 1927.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

from clipbench.errors import BadSetting, CorruptData

_LARGEST_SQUARED = 500  # exponent of two of numbers of which squares can be summed
TOLERANCE = 1e-9  # how far a recorded share or bound may lie from the one its k and n give


@lru_cache(maxsize=1 << 14)  # results say most of their shares twice, and each is checked
def wilson(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of k successes in n trials.

    It holds every share p that a two-sided score test at level ``1 - confidence`` does not reject:
    ``|k/n - p| <= z * sqrt(p * (1 - p) / n)``. Unlike k/n plus or minus a standard error it is
    meaningful for 0 of n and n of n, which is where attacks and defenses mostly lie.

    Args:
        k: successes, 0 .. n.
        n: trials, at least 1.
        confidence: in (0, 1).

    Returns:
        The lower and the upper bound, both in [0, 1].

    Raises:
        BadSetting: if there are no trials, k is not in 0 .. n, or confidence not in (0, 1).

    Example:
        >>> [round(bound, 3) for bound in wilson(15, 16)]
        [0.717, 0.989]
    """
    if n < 1:
        raise BadSetting(f"A share needs at least one trial, but n is {n}.")
    if not 0 <= k <= n:
        raise BadSetting(f"There are {k} successes in {n} trials; k must lie in 0..{n}.")
    if not 0.0 < confidence < 1.0:
        raise BadSetting(f"Confidence is {confidence}; it must lie strictly between 0 and 1.")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, weight = k / n, z * z / n
    center = (share + weight / 2) / (1 + weight)
    half = math.sqrt(weight * share * (1 - share) + weight * weight / 4) / (1 + weight)
    # At the ends a bound is exactly 0 or 1; rounding must not put the share outside its interval.
    low = 0.0 if k == 0 else max(0.0, center - half)
    high = 1.0 if k == n else min(1.0, center + half)
    return low, high


@dataclass(frozen=True)
class Proportion:
    """A share k of n with its 95% Wilson interval.

    Args:
        k: successes, 0 .. n.
        n: trials, at least 1.

    Raises:
        BadSetting: if k or n are out of range.
    """

    k: int
    n: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", operator.index(self.k))  # counts of numpy and torch, too
        object.__setattr__(self, "n", operator.index(self.n))
        wilson(self.k, self.n)

    @property
    def value(self) -> float:
        """The share k/n."""
        return self.k / self.n

    @property
    def low(self) -> float:
        """The lower bound of the 95% Wilson interval."""
        return wilson(self.k, self.n)[0]

    @property
    def high(self) -> float:
        """The upper bound of the 95% Wilson interval."""
        return wilson(self.k, self.n)[1]

    def to_json(self) -> dict[str, object]:
        """Return the share as it stands in a result: value, k, n, low and high."""
        low, high = wilson(self.k, self.n)
        return {"value": self.value, "k": self.k, "n": self.n, "low": low, "high": high}

    @classmethod
    def from_json(cls, record: Mapping[str, object]) -> Proportion:
        """Return the share that `to_json` wrote.

        Raises:
            CorruptData: if k and n are no counts, or value or bounds are not the ones they give.
        """
        k, n = record.get("k"), record.get("n")
        if type(k) is not int or type(n) is not int:
            raise CorruptData(f"A share needs whole numbers k and n, but has k={k!r} and n={n!r}.")
        try:
            share = cls(k, n)
            expectations = share.value, *wilson(k, n)
        except (BadSetting, OverflowError) as error:
            raise CorruptData(f"k and n of a share are wrong: {error}") from error
        for name, expected in zip(("value", "low", "high"), expectations, strict=True):
            found = record.get(name)
            if isinstance(found, bool) or not isinstance(found, int | float):
                raise CorruptData(f"{name} of a share must be a number, but is {found!r}.")
            if not expected - TOLERANCE <= found <= expected + TOLERANCE:
                raise CorruptData(f"{name} is {found!r}, but {k}/{n} gives {expected!r}.")
        return share


def pool(proportions: Iterable[Proportion]) -> Proportion:
    """Return all successes of all trials: the sums of k and of n.

    Raises:
        BadSetting: if there is nothing to pool.
    """
    parts = list(proportions)
    return Proportion(sum(part.k for part in parts), sum(part.n for part in parts))


def mean_and_spread(values: Iterable[float]) -> tuple[float, float | None]:
    """Return mean and sample standard deviation (n - 1 in the denominator).

    The result does not depend on the order of the values, of which a stranger's may be as large as
    a float gets.

    Args:
        values: at least one finite number.

    Returns:
        The mean, and the standard deviation, at most the largest float; None for a single value,
        which has no spread.

    Raises:
        BadSetting: if there are no values or one is not finite.
    """
    numbers = [float(value) for value in values]
    if not numbers or not all(map(math.isfinite, numbers)):
        raise BadSetting(f"A mean needs one or more finite values, but got {numbers}.")
    # By a power of two, which rounds nothing, so that no sum or square is too large.
    shift = max(0, math.frexp(max(map(abs, numbers)))[1] - _LARGEST_SQUARED)
    scaled = [math.ldexp(number, -shift) for number in numbers]
    mean = math.fsum(scaled) / len(scaled)
    if len(scaled) == 1:
        return math.ldexp(mean, shift), None
    squares = math.fsum((number - mean) ** 2 for number in scaled)
    spread = math.sqrt(squares / (len(scaled) - 1))
    most = math.ldexp(sys.float_info.max, -shift)
    return math.ldexp(mean, shift), math.ldexp(min(spread, most), shift)


def measured_cutoffs(ks: Sequence[int], candidates: int) -> list[int]:
    """Return the cut-offs that measure something: fewer than there are candidates.

    Among the five best of five classes is every class, whatever the model.
    """
    return [k for k in ks if k == 1 or k < candidates]
