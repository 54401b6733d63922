"""Plots of results: what a defense lets through while it trains, by the rate, and for what cost."""

from __future__ import annotations

import io
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.style
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clipbench.files.named_files import NO_METADATA
from clipbench.leaderboard.curves import Panel, RatePanel, panels, rate_panels
from clipbench.leaderboard.rows import FIRST
from clipbench.results.files import write_atomic
from clipbench.results.labels import Defaults, rate_text
from clipbench.results.store import Result
from clipbench.text.sinks import mathtext

# Okabe and Ito's palette, told apart by color-blind readers; its yellow is too faint on white.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9")
_FIXED = {"none": "#000000", "clip": "#E69F00"}
_MARKERS = "osD^vP*X"
_WIDTH = 44  # letters of a label that are drawn
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
    """Draw what happened epoch by epoch, a row of two panels for each attack, rate, model and data.

    Left: the share of all poisons that the defense took for safe, and, dashed, the share of all
    pairs; a split that knew nothing would have the two on one line. Right: attack success with its
    95% Wilson band. Runs of several seeds are pooled, epoch by epoch, where all of them have one.

    Returns:
        The files written; none if no result has a history to draw.

    Raises:
        ClipbenchError: if the file system refuses.
    """
    drawn = panels(results, defaults)
    if not drawn:
        return []
    with matplotlib.style.context(["default", _STYLE]):
        figure = Figure(figsize=(9.6, 3.1 * len(drawn) + 0.3), layout="constrained")
        rows = figure.subplots(len(drawn), 2, squeeze=False)
        looks = _looks(curve.defense for panel in drawn for curve in panel.curves)
        for (left, right), panel in zip(rows, drawn, strict=True):
            _draw_safe_set(left, panel, looks)
            _draw_success(right, panel, looks)
        _legend(figure, looks, hollow=False)
        return _save(figure, path_without_suffix, formats)


def plot_success_vs_accuracy(
    frame: pd.DataFrame, path_without_suffix: Path, formats: Sequence[str] = ("png",)
) -> list[Path]:
    """Draw attack success against clean accuracy, a panel for each attack, rate, model and data.

    Bars are the 95% interval of success, see `clustered_interval`, and one sample standard
    deviation of accuracy over seeds. A hollow mark is a row whose attack does not succeed without a
    defense, or where that is not known.

    Args:
        frame: as `tables.leaderboard` returns it.
        path_without_suffix: where to; each format adds its suffix.
        formats: "png", "svg", "pdf".

    Returns:
        The files written; none if no row has both numbers.

    Raises:
        ClipbenchError: if the file system refuses.
    """
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = defaultdict(list)
    for row in frame.to_dict("records"):
        if row["attack_success"] is not None and row["zeroshot_top1_mean"] is not None:
            context = (row["attack"], row["rate"], row["count"], row["model"], row["data"])
            groups[context].append(row)  # type: ignore[arg-type]
    if not groups:
        return []
    with matplotlib.style.context(["default", _STYLE]):
        figure, axes = _grid(len(groups))
        looks = _looks(str(row["defense"]) for rows in groups.values() for row in rows)
        for axis, (context, rows) in zip(axes, groups.items(), strict=True):
            _draw_trade(axis, rows, looks)
            axis.set_title(_title(*context))
        _legend(
            figure, looks, hollow=any(r["eligible"] != "yes" for g in groups.values() for r in g)
        )
        return _save(figure, path_without_suffix, formats)


def plot_success_vs_rate(
    frame: pd.DataFrame, path_without_suffix: Path, formats: Sequence[str] = ("png",)
) -> list[Path]:
    """Draw attack success against the poison rate, a panel for each attack, model and data.

    The rate is on a logarithmic scale. Bars are the 95% interval, see `clustered_interval`. A
    hollow mark is a row whose attack does not succeed without a defense at this rate, or where that
    is not known.

    Args:
        frame: as `tables.leaderboard` returns it.
        path_without_suffix: where to; each format adds its suffix.
        formats: "png", "svg", "pdf".

    Returns:
        The files written; none if no attack was run at several rates.

    Raises:
        ClipbenchError: if the file system refuses.
    """
    drawn = rate_panels(frame.to_dict("records"))  # type: ignore[arg-type]
    if not drawn:
        return []
    with matplotlib.style.context(["default", _STYLE]):
        figure, axes = _grid(len(drawn))
        looks = _looks(defense for panel in drawn for defense in panel.by_defense)
        for axis, panel in zip(axes, drawn, strict=True):
            _draw_rates(axis, panel, looks)
        rows = [row for panel in drawn for rows in panel.by_defense.values() for row in rows]
        _legend(figure, looks, hollow=any(row["eligible"] != "yes" for row in rows))
        return _save(figure, path_without_suffix, formats)


def _grid(panels: int) -> tuple[Figure, list[Any]]:
    """Return a figure of small panels and the axes of those that are drawn."""
    across = min(3, panels)
    down = math.ceil(panels / across)
    figure = Figure(figsize=(3.6 * across + 1.2, 3.3 * down + 0.3), layout="constrained")
    axes = list(figure.subplots(down, across, squeeze=False).flat)
    for axis in axes[panels:]:
        axis.set_axis_off()
    return figure, axes[:panels]


def _looks(defenses: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return color and marker of each defense; none and clip look the same in every plot."""

    def place(name: str) -> tuple[int, str]:
        plain = name.partition(" (")[0]
        return FIRST.index(plain) if plain in FIRST else len(FIRST), name

    looks: dict[str, dict[str, str]] = {}
    others = 0
    for number, name in enumerate(sorted(set(defenses), key=place)):
        color = _FIXED.get(name) or _COLORS[others % len(_COLORS)]
        others += name not in _FIXED
        looks[name] = {"color": color, "marker": _MARKERS[number % len(_MARKERS)]}
    return looks


def _draw_safe_set(axis: Any, panel: Panel, looks: Mapping[str, Mapping[str, str]]) -> None:
    curves = [curve for curve in panel.curves if curve.poisons_kept]
    for curve in curves:
        color = looks[curve.defense]["color"]
        axis.plot(*_percent(curve.poisons_kept), **looks[curve.defense], markersize=4)
        axis.plot(*_percent(curve.safe_share), "--", color=color, linewidth=1)
    axis.plot([], [], color="0.35", marker="o", markersize=4, label="of the poisons")
    axis.plot([], [], "--", color="0.35", linewidth=1, label="of all pairs")
    if curves:
        axis.legend(loc="best")
    else:
        _say(axis, "no defense here\nhas a safe set")
    _finish(axis, panel, "share in the safe set (%)")


def _draw_success(axis: Any, panel: Panel, looks: Mapping[str, Mapping[str, str]]) -> None:
    for number, curve in enumerate(panel.curves):
        look = looks[curve.defense]
        epochs = list(curve.success)
        shares = list(curve.success.values())
        axis.plot(
            epochs,
            [100 * share.value for share in shares],
            **look,
            # Earlier curves are wider: where two coincide, both are seen.
            linewidth=max(1.4, 3.2 - 0.9 * number),
            markersize=max(3.5, 6.5 - 1.5 * number),
        )
        axis.fill_between(
            epochs,
            [100 * curve.bounds[epoch][0] for epoch in epochs],
            [100 * curve.bounds[epoch][1] for epoch in epochs],
            color=look["color"],
            alpha=min(0.15, 0.6 / len(panel.curves)),
            linewidth=0,
        )
    if not any(curve.success for curve in panel.curves):
        _say(axis, "not measured by epoch:\ntrain with save_frequency=1")
    _finish(axis, panel, "attack success (%)")


def _say(axis: Any, text: str) -> None:
    """Write in the middle of an empty panel why it is empty."""
    axis.text(0.5, 0.5, text, ha="center", va="center", color="0.4", transform=axis.transAxes)


def _finish(axis: Any, panel: Panel, what: str) -> None:
    axis.set(xlabel="epoch", ylabel=what, ylim=(-4, 104), xlim=panel.span)
    axis.xaxis.get_major_locator().set_params(integer=True)
    title = _title(panel.attack, panel.rate, panel.count, panel.model, panel.data)
    seeds = sorted({curve.seeds for curve in panel.curves})
    plural = "" if seeds == [1] else "s"
    axis.set_title(f"{title}, {'-'.join(map(str, seeds[:1] + seeds[1:][-1:]))} seed{plural}")


def _draw_trade(
    axis: Any, rows: Sequence[Mapping[str, Any]], looks: Mapping[str, Mapping[str, str]]
) -> None:
    for row in rows:
        spread = row["zeroshot_top1_sd"]
        error = None if spread is None else 100 * spread
        _mark(axis, row, 100 * row["zeroshot_top1_mean"], looks[str(row["defense"])], xerr=error)
    axis.set(xlabel="zero-shot top-1 (%)", ylabel="attack success (%)", ylim=(-4, 104))
    axis.margins(x=0.15)


def _draw_rates(axis: Any, panel: RatePanel, looks: Mapping[str, Mapping[str, str]]) -> None:
    for defense, rows in panel.by_defense.items():
        look = looks[defense]
        points = [(row["rate"], 100 * row["attack_success"]) for row in rows]
        axis.plot(*zip(*points, strict=True), color=look["color"], linewidth=1.4)
        for row in rows:
            _mark(axis, row, row["rate"], look)
    rates = sorted({row["rate"] for rows in panel.by_defense.values() for row in rows})
    axis.set(xscale="log", xlabel="poison rate", ylabel="attack success (%)", ylim=(-4, 104))
    axis.set_xticks(rates, [rate_text(rate) for rate in rates])
    axis.minorticks_off()
    axis.set_title(f"{_safe(panel.attack)}\n{_safe(f'{panel.model} on {panel.data}')}")


def _mark(
    axis: Any,
    row: Mapping[str, Any],
    x: float,
    look: Mapping[str, str],
    *,
    xerr: float | None = None,
) -> None:
    """Draw a row's attack success and its interval; hollow if the row is not eligible."""
    share = 100 * row["attack_success"]
    axis.errorbar(
        x,
        share,
        xerr=xerr,
        yerr=[
            [max(0.0, share - 100 * row["attack_success_low"])],
            [max(0.0, 100 * row["attack_success_high"] - share)],
        ],
        fmt=look["marker"],
        color=look["color"],
        markerfacecolor=look["color"] if row["eligible"] == "yes" else "white",
        markersize=7,
        elinewidth=1.2,
        capsize=2.5,
    )


def _percent(curve: Mapping[int, float]) -> tuple[list[int], list[float]]:
    return list(curve), [100 * value for value in curve.values()]


def _title(attack: str, rate: float, count: int, model: str, data: str) -> str:
    return f"{_safe(attack)}, {rate_text(rate)} ({count})\n{_safe(f'{model} on {data}')}"


def _safe(text: str) -> str:
    """Return `text`, cut where there is no room for it, as matplotlib draws it literally."""
    short = text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."
    return mathtext(short)


def _legend(figure: Figure, looks: Mapping[str, Mapping[str, str]], *, hollow: bool) -> None:
    """Name the defenses below all panels, in as many columns as there is room for."""
    labels = [_safe(name) for name in looks]
    handles = [
        Line2D([], [], color=look["color"], marker=look["marker"]) for look in looks.values()
    ]
    if hollow:
        labels.append("hollow: not eligible")
        handles.append(Line2D([], [], color="0.35", marker="o", markerfacecolor="w", linestyle=""))
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
