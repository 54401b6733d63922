"""What a chart shows, whoever draws it: `svg` for the page, `plots` for papers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clipbench.leaderboard.charts.axes import Axis
from clipbench.leaderboard.charts.looks import Look

SMALL, LARGE, WIDE = (340, 240), (480, 320), (620, 360)  # width and height


@dataclass(frozen=True)
class Point:
    """A mark with whiskers.

    Args:
        x: its value on the axis across.
        y: its value on the axis upwards.
        name: of the defense, for the direct label.
        told: all of it in words.
        across: low and high end of the whisker across; None: it has none.
        upwards: low and high end of the whisker upwards; None: it has none.
        hollow: whether the row is not eligible.
        scale: size of the mark.
        ringed: whether a ring is drawn around it.
    """

    x: float
    y: float
    name: str
    told: str
    across: tuple[float, float] | None = None
    upwards: tuple[float, float] | None = None
    hollow: bool = False
    scale: float = 1.0
    ringed: bool = False


@dataclass(frozen=True)
class Series:
    """Points of one look.

    Args:
        look: color and shape.
        points: in the order in which a line joins them.
        joined: whether a line does.
        dashed: whether that line is dashed, and without marks.
    """

    look: Look
    points: tuple[Point, ...]
    joined: bool = False
    dashed: bool = False


@dataclass(frozen=True)
class Chart:
    """A chart.

    Args:
        key: makes the ids of its elements unique in a page.
        title: what it shows.
        across: the axis across.
        upwards: the axis upwards.
        series: what is drawn, the first at the bottom.
        size: width and height in pixels of a style sheet.
    """

    key: str
    title: str
    across: Axis
    upwards: Axis
    series: Sequence[Series]
    size: tuple[int, int] = SMALL

    @property
    def words(self) -> str:
        """All that it shows, in words."""
        told = "; ".join(point.told for item in self.series for point in item.points)
        return f"{self.upwards.name} against {self.across.name}. {told}."
