"""One chart of a board: security against accuracy against cost."""

from __future__ import annotations

import math

from clipbench.leaderboard.charts.axes import accuracies, percent
from clipbench.leaderboard.charts.by_attack import Looks
from clipbench.leaderboard.charts.chart import WIDE, Chart, Point, Series
from clipbench.leaderboard.ranking.findings import interval
from clipbench.leaderboard.ranking.findings import percent as shown
from clipbench.leaderboard.ranking.standing import Ranking, Standing

_ACROSS = "zero-shot top-1 after training on clean data (%)"
_LEAST, _MOST = 0.8, 2.2  # of a mark's size


def security(key: str, ranked: Ranking, looks: Looks) -> Chart | None:
    """Return success of the worst attack against clean accuracy; a mark's area is its cost.

    Marks of defenses that are given clean pairs have a ring, so that neither color nor shape is
    needed to tell them apart.

    Args:
        key: makes the ids of its elements unique in the page.
        ranked: defenses of a board.
        looks: how each defense is drawn, by its short label.

    Returns:
        None where fewer than two defenses have both numbers.
    """
    drawn = [one for one in ranked.all if one.worst is not None and one.top1 is not None]
    if len(drawn) < 2:
        return None
    points = [_point(one) for one in drawn]
    series = [Series(looks[one.name], (p,)) for one, p in zip(drawn, points, strict=True)]
    return Chart(
        key,
        "Success of the worst attack against clean accuracy; the larger a mark, the more training",
        accuracies(
            "zero-shot top-1 after training on clean data (%)", [point.x for point in points]
        ),
        percent("success of the worst attack (%)"),
        series,
        WIDE,
    )


def _point(one: Standing) -> Point:
    assert one.top1 is not None
    low, high = (100 * value for value in one.top1)
    cost = math.sqrt(math.prod(one.cost)) if one.cost else None  # of a range the middle ratio
    told = "" if cost is None else f" {cost:.1f}×"
    worst = one.worst.label if one.worst else ""
    words = (
        f"{one.name}: worst attack {worst} {shown(one.success)} {interval(one)},"
        f" top-1 {low:.1f} to {high:.1f}%, training time{told or ' not measured'},"
        f" {f'given {one.trusted:,}' if one.trusted else 'no'} clean pairs"
    )
    return Point(
        (low + high) / 2,
        100 * one.success,
        f"{one.name}{told}",
        words,
        (low, high) if high > low else None,
        (100 * one.low, 100 * one.high),
        hollow=False,
        scale=min(_MOST, max(_LEAST, math.sqrt(cost or 1.0))),
        ringed=one.trusted > 0,
    )
