"""The charts of the page as files for papers: the same descriptions, drawn by matplotlib."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.style
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clipbench.files.named_files import NO_METADATA
from clipbench.leaderboard.charts import by_attack, epochs
from clipbench.leaderboard.charts.axes import Axis
from clipbench.leaderboard.charts.chart import Chart, Point, Series
from clipbench.leaderboard.charts.looks import PALETTE, SHAPES, Look, looks_of
from clipbench.leaderboard.curves import panels
from clipbench.leaderboard.record import Record, records_of
from clipbench.results.files import write_atomic
from clipbench.results.labels import Defaults
from clipbench.results.model import Result
from clipbench.text.sinks import mathtext

_WIDTH = 44  # characters of a label that are drawn
_ACROSS = 3  # charts beside each other
_NO_SAFE_SET = "no defense here\nhas a safe set"
_NO_SUCCESS = "not measured by epoch:\ntrain with save_frequency=1"
_STYLE = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "font.size": 9,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "savefig.dpi": 150,
    "svg.hashsalt": "clipbench",  # ids inside an SVG depend on nothing else
}


def plot_history(
    results: Iterable[Result],
    path_without_suffix: Path,
    formats: Sequence[str] = ("png",),
    *,
    defaults: Defaults | None = None,
) -> list[Path]:
    """Draw what happened epoch by epoch, two charts for each attack, rate, model and data.

    Left: the share of all poisons that the defense took for safe, and, dashed, the share of all
    pairs; a split that knew nothing would have the two on one line. Right: attack success with its
    95% interval. Runs of several seeds are pooled, epoch by epoch, where all of them have one.

    Returns:
        The files written; none if no result has a history to draw.

    Raises:
        ClipbenchError: if the file system refuses.
    """
    drawn = panels(results, defaults)
    looks = looks_of(curve.defense for panel in drawn for curve in panel.curves)
    rows = [
        (
            epochs.safe_set("safe", panel, looks) or _NO_SAFE_SET,
            epochs.success("epoch", panel, looks) or _NO_SUCCESS,
        )
        for panel in drawn
    ]
    return _draw(rows, looks, path_without_suffix, formats)


def plot_success_vs_accuracy(
    frame: pd.DataFrame, path_without_suffix: Path, formats: Sequence[str] = ("png",)
) -> list[Path]:
    """Draw attack success against clean accuracy, see `by_attack.against_accuracy`.

    A hollow mark is a row whose attack does not succeed without a defense, or where that is not
    known.

    Args:
        frame: as `tables.leaderboard` returns it.
        path_without_suffix: where to; each format adds its suffix.
        formats: "png", "svg", "pdf".

    Returns:
        The files written; none if no attack has two rows with both numbers.

    Raises:
        ClipbenchError: if the file system refuses.
    """
    records, looks = _rows(frame)
    charts = by_attack.against_accuracy(records, looks)
    return _draw(_grid(charts), looks, path_without_suffix, formats)


def plot_success_vs_rate(
    frame: pd.DataFrame, path_without_suffix: Path, formats: Sequence[str] = ("png",)
) -> list[Path]:
    """Draw attack success against the poison rate, see `by_attack.against_rate`.

    A hollow mark is a row whose attack does not succeed without a defense at this rate, or where
    that is not known.

    Args:
        frame: as `tables.leaderboard` returns it.
        path_without_suffix: where to; each format adds its suffix.
        formats: "png", "svg", "pdf".

    Returns:
        The files written; none if no attack was run at several rates.

    Raises:
        ClipbenchError: if the file system refuses.
    """
    records, looks = _rows(frame)
    charts = by_attack.against_rate(records, looks)
    return _draw(_grid(charts), looks, path_without_suffix, formats)


def _rows(frame: pd.DataFrame) -> tuple[list[Record], dict[str, Look]]:
    records = records_of(frame)
    return records, looks_of(row.defense for row in records)


def _grid(charts: Sequence[Chart]) -> list[Sequence[Chart]]:
    across = min(_ACROSS, len(charts))
    return [charts[start : start + across] for start in range(0, len(charts), max(1, across))]


def _draw(
    rows: Sequence[Sequence[Chart | str]],
    looks: Mapping[str, Look],
    path: Path,
    formats: Sequence[str],
) -> list[Path]:
    """Draw charts in rows, and the legend of what is in them below.

    Args:
        rows: charts, or why there is none.
        looks: of defenses, by the label that is in the legend.
        path: without its suffix.
        formats: see `plot_success_vs_rate`.
    """
    if not rows:
        return []
    with matplotlib.style.context(["default", _STYLE]):
        across = len(rows[0])
        size = (4.0 * across + 1.2, 3.2 * len(rows) + 0.3)
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(len(rows), across, squeeze=False)
        for axes, row in zip(grid, rows, strict=True):
            for axis, chart in zip(axes, [*row, *[""] * (across - len(row))], strict=True):
                if isinstance(chart, Chart):
                    _chart(axis, chart)
                else:
                    axis.set_axis_off()
                    axis.text(0.5, 0.5, chart, ha="center", va="center", transform=axis.transAxes)
        charts = [chart for row in rows for chart in row if isinstance(chart, Chart)]
        _legend(figure, looks, [item for chart in charts for item in chart.series])
        return _save(figure, path, formats)


def _chart(axis: Any, chart: Chart) -> None:
    """Draw a chart in units of its axes, whatever their scales: 0 to 1 across and upwards."""
    across, upwards = chart.across, chart.upwards
    for item in chart.series:
        color = PALETTE[item.look.color]
        points = [(across.place(point.x), upwards.place(point.y)) for point in item.points]
        if item.joined:
            style = {"linestyle": "--", "linewidth": 1.0} if item.dashed else {"linewidth": 1.4}
            axis.plot(*zip(*points, strict=True), color=color, **style)
        if not item.dashed:
            for point in item.points:
                _mark(axis, chart, point, item.look)
    axis.set(xlabel=across.name, ylabel=upwards.name, xlim=(0, 1), ylim=(0, 1))
    for scale, put in ((across, axis.set_xticks), (upwards, axis.set_yticks)):
        put([scale.place(tick) for tick in scale.ticks], [*map(scale.say, scale.ticks)])
    axis.set_title("\n".join(map(_safe, chart.title.split(": ", 1))))


def _mark(axis: Any, chart: Chart, point: Point, look: Look) -> None:
    """Draw a point and its whiskers; hollow if its row is not eligible."""
    color = PALETTE[look.color]
    axis.errorbar(
        chart.across.place(point.x),
        chart.upwards.place(point.y),
        xerr=_whisker(chart.across, point.x, point.across),
        yerr=_whisker(chart.upwards, point.y, point.upwards),
        fmt=look.shape.marker,
        color=color,
        markerfacecolor="white" if point.hollow else color,
        markersize=6,
        elinewidth=1.2,
        capsize=2.5,
    )


def _whisker(scale: Axis, at: float, ends: tuple[float, float] | None) -> list[list[float]] | None:
    """Return how far a whisker reaches to both sides; rounding may leave less than nothing."""
    if ends is None:
        return None
    low, middle, high = (scale.place(value) for value in (ends[0], at, ends[1]))
    return [[max(0.0, middle - low)], [max(0.0, high - middle)]]


def _safe(text: str) -> str:
    """Return `text`, cut where there is no room for it, as matplotlib draws it literally."""
    short = text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."
    return mathtext(short)


def _legend(figure: Figure, looks: Mapping[str, Look], drawn: Sequence[Series]) -> None:
    """Name the defenses below all charts, in as many columns as there is room for."""
    entries = [
        (_safe(name), Line2D([], [], color=PALETTE[look.color], marker=look.shape.marker))
        for name, look in looks.items()
        if any(item.look == look for item in drawn)
    ]
    gray = PALETTE["soft"]
    if any(item.dashed for item in drawn):
        entries.append(("dashed: of all pairs", Line2D([], [], color=gray, linestyle="--")))
    if any(point.hollow for item in drawn for point in item.points):
        hollow = Line2D([], [], color=gray, marker=SHAPES[0].marker, markerfacecolor="w", ls="")
        entries.append(("hollow: not eligible", hollow))
    labels, handles = zip(*entries, strict=True)
    inches = 0.7 + 0.075 * max(map(len, labels))
    columns = max(1, min(len(labels), int(figure.get_figwidth() / inches)))
    figure.set_figheight(figure.get_figheight() + 0.2 * math.ceil(len(labels) / columns))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def _save(figure: Figure, path: Path, formats: Sequence[str]) -> list[Path]:
    paths = []
    for name in formats:
        content = io.BytesIO()
        figure.savefig(content, format=name, metadata=NO_METADATA.get(name))
        paths.append(write_atomic(path.with_name(f"{path.name}.{name}"), content.getvalue()))
    return paths
