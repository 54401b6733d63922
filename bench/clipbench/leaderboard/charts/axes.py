"""Scales of charts: what range a number is drawn in, and where its ticks are."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from clipbench.results.labels import rate_text

_STEPS = (1, 2, 2.5, 5, 10)
_MOST_TICKS = 6
_ACCURACIES = (0.0, 20.0, 40.0, 60.0, 70.0, 80.0, 85.0, 90.0, *range(91, 100), 99.5, 100.0)
_NO_ERROR = 0.1  # percent, that no error at all is drawn as
_APART = 1.15  # least ratio of the errors of two ticks
_ROOM = 0.065  # of an axis, least between two of these: their texts do not touch


@dataclass(frozen=True)
class Axis:
    """One axis of a chart.

    Args:
        name: what it shows, with its unit.
        low: the value at its beginning.
        high: the value at its end, more than `low`.
        ticks: values with a line and a text.
        say: the text of a value.
        scale: what equal steps are equal differences of; it grows.
    """

    name: str
    low: float
    high: float
    ticks: tuple[float, ...]
    say: Callable[[float], str]
    scale: Callable[[float], float] = float

    def place(self, value: float) -> float:
        """Return where a value lies, 0 at the beginning and 1 at the end, never beyond."""
        low, high = self.scale(self.low), self.scale(self.high)
        at = self.scale(min(self.high, max(self.low, value)))
        return (at - low) / (high - low)


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


def accuracies(name: str, values: Sequence[float]) -> Axis:
    """Return an axis of accuracies in percent on which equal steps are equal ratios of errors.

    The best of many lie within a few points below 100%, and the worst far away.

    Args:
        name: what it shows.
        values: at least one, in percent.
    """
    low, high = (100 - value + _NO_ERROR for value in (max(values), min(values)))
    room = (high / low) ** 0.08 if high > low else 2.0
    ends = 100 + _NO_ERROR - high * room, 100 + _NO_ERROR - low / room
    axis = Axis(name, *ends, (), _plain, lambda value: -math.log(100 + _NO_ERROR - value))
    apart = max(_ROOM, math.log(_APART) / (axis.scale(axis.high) - axis.scale(axis.low)))
    ticks: list[float] = []
    for value in (tick for tick in _ACCURACIES if ends[0] <= tick <= ends[1]):
        if not ticks or axis.place(value) - axis.place(ticks[-1]) > apart:
            ticks.append(value)
    return replace(axis, ticks=tuple(ticks))


def rates(name: str, values: Sequence[float]) -> Axis:
    """Return a logarithmic axis of poison rates, with ticks at those that are there.

    Args:
        name: what it shows.
        values: rates above 0.
    """
    low, high = min(values), max(values)
    # A stranger's rate may be the least that there is, and then no float is their ratio.
    room = min(high / low, sys.float_info.max) ** 0.12 if high > low else 2.0
    low, high = max(math.ulp(0.0), low / room), high * room
    ticks: list[float] = []
    for value in sorted(set(values)):
        if not ticks or math.log(value / ticks[-1]) > 0.16 * math.log(high / low):
            ticks.append(value)
    return Axis(name, low, high, tuple(ticks), rate_text, scale=math.log)


def _step(span: float, *, whole: bool) -> float:
    """Return the smallest round step that takes few enough ticks."""
    power = 10.0 ** math.floor(math.log10(span / _MOST_TICKS))
    step = next(power * factor for factor in _STEPS if span / (power * factor) <= _MOST_TICKS)
    return max(1.0, float(math.ceil(step))) if whole else step


def _plain(value: float) -> str:
    return f"{value:.6g}"
