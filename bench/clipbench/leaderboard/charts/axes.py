"""Scales of charts: what range a number is drawn in, and where its ticks are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clipbench.results.labels import rate_text

_STEPS = (1, 2, 2.5, 5, 10)
_MOST_TICKS = 6


@dataclass(frozen=True)
class Axis:
    """One axis of a chart.

    Args:
        name: what it shows, with its unit.
        low: the value at its beginning.
        high: the value at its end, more than `low`.
        ticks: values with a line and a text.
        say: the text of a value.
        logarithmic: whether equal steps are equal ratios; then `low` is above 0.
    """

    name: str
    low: float
    high: float
    ticks: tuple[float, ...]
    say: Callable[[float], str]
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Return where a value lies, 0 at the beginning and 1 at the end, never beyond."""
        low, high, at = self.low, self.high, value
        if self.logarithmic:
            low, high, at = math.log(low), math.log(high), math.log(max(value, self.low))
        return min(1.0, max(0.0, (at - low) / (high - low)))


def percent(name: str) -> Axis:
    """Return an axis of all shares, in percent, with room at both ends for marks and names."""
    return Axis(name, -10, 110, (0, 25, 50, 75, 100), _plain)


def linear(name: str, values: Sequence[float], *, zero: bool = False, whole: bool = False) -> Axis:
    """Return an axis with room for some numbers.

    Args:
        name: what it shows.
        values: at least one finite number.
        zero: whether it begins at 0.
        whole: whether ticks are at whole numbers alone.
    """
    low, high = (0.0 if zero else min(values)), max(values)
    room = 0.08 * (high - low) or 0.08 * abs(high) or 1.0
    low, high = (0.0 if zero else low - room), high + room
    step = _step(high - low, whole=whole)
    first = math.ceil(low / step - 1e-9)
    ticks = tuple(n * step for n in range(first, math.floor(high / step + 1e-9) + 1))
    return Axis(name, low, high, ticks, _plain)


def rates(name: str, values: Sequence[float]) -> Axis:
    """Return a logarithmic axis of poison rates, with ticks at those that are there.

    Args:
        name: what it shows.
        values: rates above 0.
    """
    low, high = min(values), max(values)
    room = (high / low) ** 0.12 if high > low else 2.0
    low, high = low / room, high * room
    ticks: list[float] = []
    for value in sorted(set(values)):
        if not ticks or math.log(value / ticks[-1]) > 0.16 * math.log(high / low):
            ticks.append(value)
    return Axis(name, low, high, tuple(ticks), rate_text, logarithmic=True)


def _step(span: float, *, whole: bool) -> float:
    """Return the smallest round step that takes few enough ticks."""
    power = 10.0 ** math.floor(math.log10(span / _MOST_TICKS))
    step = next(power * factor for factor in _STEPS if span / (power * factor) <= _MOST_TICKS)
    return max(1.0, float(math.ceil(step))) if whole else step


def _plain(value: float) -> str:
    return f"{value:.6g}"
