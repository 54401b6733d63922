"""The charts of the table: what defenses let through, what they cost, and what the rate does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from clipbench.leaderboard.charts.axes import accuracies, linear, percent, rates
from clipbench.leaderboard.charts.chart import LARGE, Chart, Point, Series
from clipbench.leaderboard.charts.looks import Look
from clipbench.leaderboard.curves import RatePanel, rate_panels
from clipbench.leaderboard.record import Pooled, Record
from clipbench.results.labels import rate_text
from clipbench.text.words import counted

SUCCESS = "attack success (%)"
_FEWEST = 2  # marks that are worth a chart
Looks = Mapping[str, Look]
Across = Callable[[Record], float | None]  # what a chart shows from left to right


def against_accuracy(records: Sequence[Record], looks: Looks) -> list[Chart]:
    """Return a chart of success against zero-shot accuracy for each attack with several rows.

    Whiskers are the 95% interval of success and one sample standard deviation of accuracy
    over seeds.

    Args:
        records: rows of the leaderboard.
        looks: how each defense is drawn, by its label.
    """
    return [
        _trade(f"acc-{number}", rows, looks, _accuracy)
        for number, rows in enumerate(_contexts(records, _accuracy))
    ]


def against_cost(records: Sequence[Record], looks: Looks) -> list[Chart]:
    """Return a chart of success against training time for each attack with several rows.

    Args:
        records: rows of the leaderboard.
        looks: how each defense is drawn, by its label.
    """
    return [
        _trade(f"cost-{number}", rows, looks, _cost)
        for number, rows in enumerate(_contexts(records, _cost))
    ]


def against_rate(records: Sequence[Record], looks: Looks) -> list[Chart]:
    """Return a chart of success against the poison rate for each attack run at several.

    Args:
        records: rows of the leaderboard.
        looks: how each defense is drawn, by its label.
    """
    return [
        _by_rate(f"rate-{number}", panel, looks)
        for number, panel in enumerate(rate_panels(records))
    ]


def title(attack: str, rate: float, count: int, model: str, data: str, seeds: int = 0) -> str:
    """Return what a chart of one attack at one rate is about.

    Args:
        attack: its label.
        rate: share of all pairs that are poisoned.
        count: number of these.
        model: its label; empty: the page says it.
        data: label of the data set; empty: the page says it.
        seeds: the most that a curve is of; 0: that is not said.
    """
    told = f", {counted(seeds, 'seed')}" if seeds else ""
    return f"{attack}, {rate_text(rate)} ({count}){told}{_where(model, data)}"


def _where(model: str, data: str) -> str:
    where = " on ".join(part for part in (model, data) if part)
    return f": {where}" if where else ""


def interval(share: Pooled) -> str:
    """Return a share in words, with its interval."""
    return f"{100 * share.value:.1f}% [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def _accuracy(row: Record) -> float | None:
    return row.top1.mean


def _cost(row: Record) -> float | None:
    return row.cost


def _contexts(records: Sequence[Record], across: Across) -> list[list[Record]]:
    """Return the rows that have success and what is across, by attack, where there are several."""
    found: dict[tuple[str, float, int, str, str], list[Record]] = defaultdict(list)
    for row in records:
        if row.success is not None and across(row) is not None:
            found[row.attack, row.rate, row.count, row.model, row.data].append(row)
    return [rows for rows in found.values() if len(rows) >= _FEWEST]


def _trade(key: str, rows: Sequence[Record], looks: Looks, across: Across) -> Chart:
    series = [Series(looks[row.defense], (_point(row, across),)) for row in rows]
    values = [point.x for item in series for point in item.points]
    axis = (
        accuracies("zero-shot top-1 (%)", values)
        if across is _accuracy
        else linear("training time, defense none = 1", values, zero=True)
    )
    first = rows[0]
    about = title(first.attack, first.rate, first.count, first.model, first.data)
    return Chart(key, about, axis, percent(SUCCESS), series, LARGE)


def _point(row: Record, across: Across) -> Point:
    accuracy, value = across is _accuracy, across(row)
    assert value is not None, "a row without it is in no chart"
    x = 100.0 * value if accuracy else value
    deviation = row.top1.sd if accuracy else None
    around = None if deviation is None else 100.0 * deviation
    what = f"top-1 {x:.1f}%" if accuracy else f"training time {x:.2f}×"
    verdict = "" if row.eligible == "yes" else ", row not eligible"
    return _marked(
        row,
        x,
        lambda success: f"{row.defense}: success {interval(success)}, {what}{verdict}",
        None if around is None else (x - around, x + around),
    )


def _marked(
    row: Record, x: float, tell: Callable[[Pooled], str], around: tuple[float, float] | None = None
) -> Point:
    """Return the mark of a row, at its success."""
    success = row.success
    assert success is not None, "a row without success is in no chart"
    bounds = 100 * success.low, 100 * success.high
    hollow = row.eligible != "yes"
    return Point(x, 100 * success.value, row.defense, tell(success), around, bounds, hollow)


def _by_rate(key: str, panel: RatePanel, looks: Looks) -> Chart:
    series = [
        Series(looks[defense], tuple(_at_rate(row) for row in rows), joined=True)
        for defense, rows in panel.by_defense.items()
    ]
    axis = rates("poison rate", [p.x for item in series for p in item.points])
    about = f"{panel.attack}{_where(panel.model, panel.data)}"
    return Chart(key, about, axis, percent(SUCCESS), series)


def _at_rate(row: Record) -> Point:
    where = f"{row.defense} at {rate_text(row.rate)}"
    return _marked(row, row.rate, lambda success: f"{where}: success {interval(success)}")
