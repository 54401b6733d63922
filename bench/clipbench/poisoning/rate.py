"""From a poison rate to an exact number of poisoned pairs."""

from __future__ import annotations

from decimal import ROUND_CEILING, Context, Decimal
from fractions import Fraction
from math import ceil, floor

from clipbench.contracts import Mode
from clipbench.errors import BadSetting

_HALF = Fraction(1, 2)


def poison_count(rate: float | str | Decimal, num_pairs: int, mode: Mode = "replace") -> int:
    """Return how many poisoned pairs make `rate` of all pairs of the poisoned set.

    The rate is taken as the decimal that is written: 1e-6 is one in a million, not the binary
    fraction next to it. Halves round up.

    Args:
        rate: share of poisoned pairs among all, in (0, 1].
        num_pairs: pairs of the clean set, B.
        mode: ``replace``: the poisoned set has B pairs, count = r B. ``insert``: it has B + count,
            and count = r (B + count), that is r B / (1 - r).

    Raises:
        BadSetting: the rate is out of range, or gives no pair at all.
    """
    exact = _fraction(rate)
    if not 0 < exact <= 1:
        raise BadSetting(f"The poison rate must be above 0 and at most 1, not {rate}.")
    if mode == "insert" and exact == 1:
        raise BadSetting("A poison rate of 1 leaves no clean pair; an insertion needs less.")
    share = exact * num_pairs if mode == "replace" else exact * num_pairs / (1 - exact)
    count = floor(share + _HALF)
    if count < 1:
        raise BadSetting(
            f"A poison rate of {rate} gives no poisoned pair among {num_pairs}: use at least "
            f"{smallest_rate(num_pairs, mode)} here, or at least "
            f"{smallest_num_pairs(rate, mode)} pairs for this rate."
        )
    return count


def smallest_rate(num_pairs: int, mode: Mode = "replace") -> str:
    """Return the smallest rate, in three digits, that gives one poisoned pair."""
    share = Fraction(1, 2 * num_pairs) if mode == "replace" else Fraction(1, 2 * num_pairs + 1)
    rounding = Context(prec=3, rounding=ROUND_CEILING)
    return str(float(rounding.divide(Decimal(share.numerator), Decimal(share.denominator))))


def smallest_num_pairs(rate: float | str | Decimal, mode: Mode = "replace") -> int:
    """Return the smallest number of clean pairs in which `rate` gives one poisoned pair."""
    exact = _fraction(rate)
    pairs = _HALF / exact if mode == "replace" else _HALF * (1 - exact) / exact
    return max(1, ceil(pairs))


def _fraction(rate: float | str | Decimal) -> Fraction:
    try:
        return Fraction(str(rate))
    except (ValueError, ZeroDivisionError) as error:
        raise BadSetting(f"The poison rate must be a number, not {rate!r}.") from error
