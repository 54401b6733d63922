"""The charts of the table: what defenses let through, what they cost, and what the rate does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from clipbench.leaderboard.cells import Record
from clipbench.leaderboard.charts.axes import Axis, linear, percent, rates
from clipbench.leaderboard.charts.looks import Look
from clipbench.leaderboard.charts.svg import LARGE, SMALL, Chart, Point, Series
from clipbench.leaderboard.curves import RatePanel, rate_panels
from clipbench.results.labels import rate_text
from clipbench.text.markup import Markup, tag

SUCCESS = "attack success (%)"
_FEWEST = 2  # marks that are worth a chart
_SQUEEZED = 3  # how much wider outliers may make the axis before there is a chart without them
Looks = Mapping[str, Look]


def figure(chart: Chart, caption: str) -> Markup:
    """Return a chart with its caption; a phone scrolls a large one, by the keyboard, too."""
    scrolls = None if chart.size == SMALL else "0"
    parts = tag("figcaption", caption), chart.drawn()
    return tag("figure", *parts, class_="chart", tabindex=scrolls)


def against_accuracy(records: Sequence[Record], looks: Looks) -> list[Markup]:
    """Return a chart of success against zero-shot accuracy for each attack with several rows.

    Whiskers are the 95% interval of success and one sample standard deviation of accuracy
    over seeds.

    Args:
        records: rows of the leaderboard.
        looks: how each defense is drawn, by its label.
    """
    drawn: list[Markup] = []
    for rows in _contexts(records, "zeroshot_top1_mean"):
        for part in (rows, _without_outliers(rows)):
            if part:
                about = f"{_title(rows[0])}{'' if part is rows else ', accurate rows alone'}"
                drawn.append(_trade(f"acc-{len(drawn)}", about, part, looks, "zeroshot_top1_mean"))
    return drawn


def against_cost(records: Sequence[Record], looks: Looks) -> list[Markup]:
    """Return a chart of success against training time for each attack with several rows.

    Args:
        records: rows of the leaderboard.
        looks: how each defense is drawn, by its label.
    """
    return [
        _trade(f"cost-{number}", _title(rows[0]), rows, looks, "cost")
        for number, rows in enumerate(_contexts(records, "cost"))
    ]


def against_rate(records: Sequence[Record], looks: Looks) -> list[Markup]:
    """Return a chart of success against the poison rate for each attack run at several.

    Args:
        records: rows of the leaderboard.
        looks: how each defense is drawn, by its label.
    """
    return [
        _by_rate(f"rate-{number}", panel, looks)
        for number, panel in enumerate(rate_panels(records))
    ]


def title(attack: str, rate: float, count: int, model: str, data: str) -> str:
    """Return what a chart of one attack at one rate is about; model and data may be empty."""
    return f"{attack}, {rate_text(rate)} ({count}){_where(model, data)}"


def _where(model: str, data: str) -> str:
    where = " on ".join(part for part in (model, data) if part)
    return f": {where}" if where else ""


def interval(row: Record, name: str = "attack_success") -> str:
    """Return a share of a row in words, with its interval."""
    low, high = 100 * row[f"{name}_low"], 100 * row[f"{name}_high"]
    return f"{100 * row[name]:.1f}% [{low:.1f}, {high:.1f}]"


def _contexts(records: Sequence[Record], column: str) -> list[list[Record]]:
    """Return the rows that have success and a column, by attack, where there are several."""
    found: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for row in records:
        if row["attack_success"] is not None and row[column] is not None:
            context = (row["attack"], row["rate"], row["count"], row["model"], row["data"])
            found[context].append(row)
    return [rows for rows in found.values() if len(rows) >= _FEWEST]


def _title(row: Record) -> str:
    return title(*(row[part] for part in ("attack", "rate", "count", "model", "data")))


def _without_outliers(rows: Sequence[Record]) -> list[Record]:
    """Return the upper three quarters by accuracy, where the others squeeze them; else nothing."""
    ranked = sorted(rows, key=lambda row: -row["zeroshot_top1_mean"])
    upper = ranked[: -(-3 * len(ranked) // 4)]
    best, middle, worst = (row["zeroshot_top1_mean"] for row in (ranked[0], upper[-1], ranked[-1]))
    squeezed = _SQUEEZED * (best - middle) < best - worst
    kept = [row for row in rows if row["zeroshot_top1_mean"] >= middle]
    return kept if squeezed and len(kept) >= _FEWEST else []


def _trade(key: str, about: str, rows: Sequence[Record], looks: Looks, column: str) -> Markup:
    accuracy = column != "cost"
    scale = 100.0 if accuracy else 1.0
    series = [
        Series(looks[row["defense"]], (_point(row, column, scale, spread=accuracy),))
        for row in rows
    ]
    values = [point.x for item in series for point in item.points]
    name = "zero-shot top-1 (%)" if accuracy else "training time, defense none = 1"
    axis = linear(name, values, zero=not accuracy)
    return figure(Chart(key, about, axis, percent(SUCCESS), series, LARGE), about)


def _point(row: Record, column: str, scale: float, *, spread: bool) -> Point:
    x = scale * row[column]
    deviation = row["zeroshot_top1_sd"] if spread else None
    around = None if deviation is None else scale * deviation
    what = f"top-1 {x:.1f}%" if spread else f"training time {x:.2f}×"
    verdict = "" if row["eligible"] == "yes" else ", row not eligible"
    return Point(
        x,
        100 * row["attack_success"],
        row["defense"],
        f"{row['defense']}: success {interval(row)}, {what}{verdict}",
        None if around is None else (x - around, x + around),
        _upwards(row),
        row["eligible"] != "yes",
    )


def _upwards(row: Record) -> tuple[float, float]:
    return 100 * row["attack_success_low"], 100 * row["attack_success_high"]


def _by_rate(key: str, panel: RatePanel, looks: Looks) -> Markup:
    series = [
        Series(looks[defense], tuple(_at_rate(row) for row in rows), joined=True)
        for defense, rows in panel.by_defense.items()
    ]
    axis: Axis = rates("poison rate", [p.x for item in series for p in item.points])
    about = f"{panel.attack}{_where(panel.model, panel.data)}"
    return figure(Chart(key, about, axis, percent(SUCCESS), series), about)


def _at_rate(row: Record) -> Point:
    told = f"{row['defense']} at {rate_text(row['rate'])}: success {interval(row)}"
    return Point(
        row["rate"],
        100 * row["attack_success"],
        row["defense"],
        told,
        None,
        _upwards(row),
        row["eligible"] != "yes",
    )
