"""The charts of the table: what defenses let through, what they cost, and what the rate does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from clipbench.leaderboard.cells import Record
from clipbench.leaderboard.charts.axes import accuracies, linear, percent, rates
from clipbench.leaderboard.charts.chart import LARGE, Chart, Point, Series
from clipbench.leaderboard.charts.looks import Look
from clipbench.leaderboard.curves import RatePanel, rate_panels
from clipbench.results.labels import rate_text
from clipbench.text.words import counted

SUCCESS = "attack success (%)"
_FEWEST = 2  # marks that are worth a chart
Looks = Mapping[str, Look]


def against_accuracy(records: Sequence[Record], looks: Looks) -> list[Chart]:
    """Return a chart of success against zero-shot accuracy for each attack with several rows.

    Whiskers are the 95% interval of success and one sample standard deviation of accuracy
    over seeds.

    Args:
        records: rows of the leaderboard.
        looks: how each defense is drawn, by its label.
    """
    return [
        _trade(f"acc-{number}", rows, looks, "zeroshot_top1_mean")
        for number, rows in enumerate(_contexts(records, "zeroshot_top1_mean"))
    ]


def against_cost(records: Sequence[Record], looks: Looks) -> list[Chart]:
    """Return a chart of success against training time for each attack with several rows.

    Args:
        records: rows of the leaderboard.
        looks: how each defense is drawn, by its label.
    """
    return [
        _trade(f"cost-{number}", rows, looks, "cost")
        for number, rows in enumerate(_contexts(records, "cost"))
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


def _trade(key: str, rows: Sequence[Record], looks: Looks, column: str) -> Chart:
    accuracy = column != "cost"
    scale = 100.0 if accuracy else 1.0
    series = [
        Series(looks[row["defense"]], (_point(row, column, scale, spread=accuracy),))
        for row in rows
    ]
    values = [point.x for item in series for point in item.points]
    axis = (
        accuracies("zero-shot top-1 (%)", values)
        if accuracy
        else linear("training time, defense none = 1", values, zero=True)
    )
    return Chart(key, _title(rows[0]), axis, percent(SUCCESS), series, LARGE)


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


def _by_rate(key: str, panel: RatePanel, looks: Looks) -> Chart:
    series = [
        Series(looks[defense], tuple(_at_rate(row) for row in rows), joined=True)
        for defense, rows in panel.by_defense.items()
    ]
    axis = rates("poison rate", [p.x for item in series for p in item.points])
    about = f"{panel.attack}{_where(panel.model, panel.data)}"
    return Chart(key, about, axis, percent(SUCCESS), series)


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
