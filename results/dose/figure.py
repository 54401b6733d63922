"""The figure of the dose study: N50 along each arm, a row of panels per attack."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from curves import ARMS, Arm, Cell, Estimate

from clipbench.files.named_files import write_picture
from clipbench.leaderboard.charts.looks import PALETTE, Look, looks_of

ASIDE = 1.07  # by which defenses stand beside one another, where they have the same cell


@dataclass(frozen=True)
class Point:
    """N50 of a cell.

    Args:
        estimate: of N50, with its interval.
        low: smallest count that was tried.
        high: largest.
        weak: whether the cell is under-trained.
    """

    estimate: Estimate
    low: int
    high: int
    weak: bool

    @property
    def inside(self) -> bool:
        """Whether N50 is among the counts that were tried."""
        return self.low <= self.estimate.value <= self.high


def draw(points: Mapping[Cell, Point], folder: Path) -> None:
    """Write ``n50.png`` and ``n50.pdf``: a row of panels per attack, a column per arm.

    Args:
        points: of all cells.
        folder: that exists.
    """
    import matplotlib as mpl  # noqa: PLC0415 - the tables do without

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    attacks = list(dict.fromkeys(cell.attack for cell in points))
    looks = looks_of({cell.defense for cell in points})
    size = (3.7 * len(ARMS), 3.2 * len(attacks) + 0.6)
    figure, axes = plt.subplots(
        len(attacks), len(ARMS), figsize=size, sharey="row", squeeze=False, layout="constrained"
    )
    for row, attack in zip(axes, attacks, strict=True):
        for axis, arm in zip(row, ARMS.values(), strict=True):
            own = {c: point for c, point in points.items() if c.attack == attack and arm.holds(c)}
            _panel(axis, arm, own, looks)
        counts = [n for c, p in points.items() if c.attack == attack for n in (p.low, p.high)]
        ticks = 2 ** np.arange(math.floor(math.log2(min(counts))), math.log2(max(counts)) + 1)
        row[0].set(yscale="log", ylim=(min(counts) / 1.5, max(counts) * 1.5))
        row[0].set_yticks(ticks, [f"{tick:g}" for tick in ticks], minor=False)
        row[0].set_yticks([], minor=True)
        row[0].set_ylabel(f"{attack}: N50, poisoned pairs")
    figure.legend(handles=_legend(looks), loc="outside lower center", ncols=4, fontsize=9)
    for end in ("png", "pdf"):
        write_picture(figure, folder / f"n50.{end}", dpi=150)
    plt.close(figure)


def _panel(axis: Any, arm: Arm, own: Mapping[Cell, Point], looks: Mapping[str, Look]) -> None:
    """Draw an attack's cells of an arm."""
    places = sorted({arm.place(cell) for cell in own})
    axis.set_title(f"{arm.title}\ndotted: {arm.dotted}", fontsize=9)
    axis.set(xscale="log", xlabel=arm.along)
    if places:
        axis.set_xlim(places[0] / 1.5, places[-1] * 1.5)
    axis.set_xticks(places, [_short(place) for place in places])
    axis.set_xticks([], minor=True)
    axis.grid(color="0.9", linewidth=0.6)
    axis.set_axisbelow(True)
    for cell, point in own.items():
        if cell.defense == "none" and (cell.pairs, cell.epochs) == arm.through and point.inside:
            across = np.array([places[0], places[-1]], dtype=np.float64)
            line = point.estimate.value * (across / arm.place(cell)) ** arm.power
            axis.plot(across, line, ":", color="0.5", linewidth=1, scaley=False)
    for number, (defense, look) in enumerate(looks.items()):
        aside = ASIDE ** (number - (len(looks) - 1) / 2)
        line = sorted((c for c in own if c.defense == defense), key=arm.place)
        _draw_line(axis, [(arm.place(cell) * aside, own[cell]) for cell in line], look)


def _draw_line(axis: Any, line: Sequence[tuple[float, Point]], look: Look) -> None:
    """Draw the cells of a defense; N50 beyond the counts that were tried is an arrow."""
    color = PALETTE[look.color]
    for place, point in line:
        best = point.estimate
        if math.isnan(best.value):
            continue
        ends = np.clip([best.low, best.high], point.low, point.high)
        axis.plot([place] * 2, ends, color=color, linewidth=1)
        if point.inside:
            fill = "none" if point.weak else "full"
            style = {"color": color, "fillstyle": fill, "markersize": 6}
            axis.plot(place, best.value, look.shape.marker, **style)
        else:
            edge, arrow = (point.low, "down") if best.value < point.low else (point.high, "up")
            axis.plot(place, edge, marker=rf"$\{arrow}arrow$", color=color, markersize=10)
    inside = [(place, point.estimate.value) for place, point in line if point.inside]
    axis.plot(*zip(*inside, strict=True) if inside else ((), ()), color=color, linewidth=1)


def _short(number: float) -> str:
    """Return a number of pairs or epochs for an axis."""
    if number >= 1_000_000:
        return f"{number / 1_000_000:g}M"
    return f"{number / 1000:g}k" if number >= 1000 else f"{number:g}"


def _legend(looks: Mapping[str, Look]) -> list[Any]:
    """Return what the legend shows: defenses, and marks of every defense."""
    from matplotlib.lines import Line2D  # noqa: PLC0415

    handles = [
        Line2D([], [], color=PALETTE[look.color], marker=look.shape.marker, label=defense)
        for defense, look in looks.items()
    ]
    plain = {"color": "0.3", "linestyle": "none"}
    handles.append(Line2D([], [], marker="o", fillstyle="none", label="under-trained", **plain))
    beyond = "beyond the counts that were tried"
    handles.append(Line2D([], [], marker=r"$\uparrow$", markersize=10, label=beyond, **plain))
    return handles
