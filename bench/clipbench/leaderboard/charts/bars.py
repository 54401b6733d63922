"""A share with its interval as a small drawing beside the numbers."""

from __future__ import annotations

from clipbench.text.markup import Markup, number, tag

WIDTH, HEIGHT = 78, 16
_LEFT, _SPAN, _MIDDLE = 4, 70, 8


def bar(value: float, low: float, high: float) -> Markup:
    """Return a track from 0 to 100% with the interval as a whisker and the share as a point.

    It says nothing that the numbers beside it do not, and is hidden from who has it read out.

    Args:
        value: the share, in [0, 1].
        low: lower end of its interval.
        high: upper end of its interval.
    """
    at, start, end = (_LEFT + _SPAN * share for share in (value, low, high))
    ticks = "".join(f"M{number(_LEFT + _SPAN * share)},5v6" for share in (0, 0.5, 1))
    whisker = f"M{number(start)},5v6M{number(start)},8H{number(end)}M{number(end)},5v6"
    return tag(
        "svg",
        tag("path", class_="track", d=f"M{_LEFT},{_MIDDLE}h{_SPAN}{ticks}"),
        tag("path", class_="whisker ink", d=whisker),
        tag("circle", class_="point", cx=at, cy=_MIDDLE, r=3),
        class_="bar",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        width=WIDTH,
        height=HEIGHT,
        aria_hidden="true",
        focusable="false",
    )
