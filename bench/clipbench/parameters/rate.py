"""The poison rate: an exact number, from the text a person writes to a count of pairs."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Context, Decimal, InvalidOperation
from fractions import Fraction
from math import ceil, floor
from typing import Literal

from clipbench.errors import BadSetting
from clipbench.parameters.values import brief

SMALLEST = Decimal("1e-15")  # one pair of a thousand times all pairs ever crawled
_HALF = Fraction(1, 2)
_Mode = Literal["replace", "insert"]


@dataclass(frozen=True, order=True)
class Rate:
    """Share of poisoned pairs among all pairs of the poisoned set; `Rate.of` makes it of text.

    It is the decimal that was written: 1e-6 is one in a million, not the binary fraction next to
    it. ``str`` is that decimal, ``0.014``, as configurations and hashes have it.

    Args:
        share: in (0, 1].
    """

    share: Decimal

    @classmethod
    def of(cls, value: str | float | Decimal | Rate) -> Rate:
        """Return the rate that a person or a file means.

        Args:
            value: a share such as ``"1e-6"`` or 0.01, or a percentage such as ``"0.0001%"``.

        Raises:
            BadSetting: it is no number, or not in (0, 1].
        """
        if isinstance(value, Rate):
            return value
        text = str(value).strip()
        percent = text.endswith("%")
        try:
            share = Decimal(text[:-1].strip() if percent else text) / (100 if percent else 1)
        except InvalidOperation:
            raise BadSetting(
                f"The rate must be a number such as 0.01, 1e-6 or 1%. Got {brief(value)}."
            ) from None
        if not share.is_finite() or not 0 < share <= 1:
            meant = share.is_finite() and 1 < share <= 100 and not percent
            hint = f" Write {text}% for a percentage." if meant else ""
            raise BadSetting(f"The rate must be in (0, 1]. Got {brief(value)}.{hint}")
        if share < SMALLEST:
            raise BadSetting(f"The rate must be at least {SMALLEST}. Got {brief(value)}.")
        return cls(share.normalize())

    def __str__(self) -> str:
        """Return the share in plain decimals: ``0.000001``."""
        return format(self.share, "f")

    def __float__(self) -> float:
        """Return the share as the nearest binary fraction."""
        return float(self.share)

    @property
    def percent(self) -> str:
        """The rate in percent, in plain decimals: ``1.4`` for 0.014."""
        return format((self.share * 100).normalize(), "f")

    @property
    def one_in(self) -> int:
        """The smallest number of pairs of which one is this share or less."""
        return ceil(1 / Fraction(self.share))

    def count(self, num_pairs: int, mode: _Mode = "replace") -> int:
        """Return how many poisoned pairs are this share of all pairs; halves round up.

        Args:
            num_pairs: pairs of the clean set, B.
            mode: ``replace``: the poisoned set has B pairs, count = r B. ``insert``: it has
                B + count, and count = r (B + count), that is r B / (1 - r).

        Raises:
            BadSetting: it is no pair at all, or an insertion that leaves no clean one.
        """
        share = Fraction(self.share)
        if mode == "insert" and share == 1:
            raise BadSetting("A poison rate of 1 leaves no clean pair; an insertion needs less.")
        exact = share * num_pairs if mode == "replace" else share * num_pairs / (1 - share)
        count = floor(exact + _HALF)
        if count < 1:
            raise BadSetting(
                f"A poison rate of {self} gives no poisoned pair among {num_pairs}: use at least"
                f" {Rate.smallest(num_pairs, mode)} here, or at least {self.smallest_set(mode)}"
                " pairs for this rate."
            )
        return count

    @classmethod
    def smallest(cls, num_pairs: int, mode: _Mode = "replace") -> Rate:
        """Return the smallest rate, in three digits, that gives one poisoned pair."""
        share = Fraction(1, 2 * num_pairs) if mode == "replace" else Fraction(1, 2 * num_pairs + 1)
        rounding = Context(prec=3, rounding=ROUND_CEILING)
        return cls(rounding.divide(Decimal(share.numerator), Decimal(share.denominator)))

    def smallest_set(self, mode: _Mode = "replace") -> int:
        """Return the smallest number of clean pairs in which this rate gives one poisoned pair."""
        share = Fraction(self.share)
        pairs = _HALF / share if mode == "replace" else _HALF * (1 - share) / share
        return max(1, ceil(pairs))
