"""One chart as inline SVG: axes, lines and marks, and the same in words for who can't see it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from clipbench.leaderboard.charts.axes import Axis
from clipbench.leaderboard.charts.looks import Look
from clipbench.leaderboard.charts.placing import Box, place
from clipbench.text.markup import Content, Markup, number, tag

SMALL, LARGE, WIDE = (340, 240), (480, 320), (620, 360)  # width and height
_RING = 7.0  # radius of the ring around a mark
_CAP = 2.5  # half the length of a whisker's end


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


@dataclass
class Chart:
    """A chart, drawn by `drawn`.

    Args:
        key: makes the ids of its elements unique in the page.
        title: what it shows.
        across: the axis across.
        upwards: the axis upwards.
        series: what is drawn, the first at the bottom.
        size: width and height in pixels of the style sheet.
    """

    key: str
    title: str
    across: Axis
    upwards: Axis
    series: Sequence[Series] = field(default_factory=list)
    size: tuple[int, int] = SMALL

    @property
    def _area(self) -> Box:
        return Box(44, 10, self.size[0] - 12, self.size[1] - 40)

    def drawn(self) -> Markup:
        """Return the chart."""
        words = "; ".join(point.told for item in self.series for point in item.points)
        return tag(
            "svg",
            tag("title", self.title, id=f"{self.key}-t"),
            tag("desc", f"{self.upwards.name} against {self.across.name}. {words}.",
                id=f"{self.key}-d"),
            *self._grid(),
            *(part for item in self.series for part in self._series(item)),
            *self._names(),
            class_="plot",
            role="img",
            viewBox=f"0 0 {self.size[0]} {self.size[1]}",
            aria_labelledby=f"{self.key}-t",
            aria_describedby=f"{self.key}-d",
        )  # fmt: skip

    def _x(self, value: float) -> float:
        return self._area.left + self.across.place(value) * (self._area.right - self._area.left)

    def _y(self, value: float) -> float:
        return self._area.bottom - self.upwards.place(value) * (self._area.bottom - self._area.top)

    def _grid(self) -> Iterable[Markup]:
        for value in self.upwards.ticks:
            y = self._y(value)
            yield tag("line", class_="grid", x1=self._area.left, x2=self._area.right, y1=y, y2=y)
            yield _text(self.upwards.say(value), self._area.left - 6, y + 3.5, "end")
        for value in self.across.ticks:
            x = self._x(value)
            yield tag("line", class_="grid", x1=x, x2=x, y1=self._area.top, y2=self._area.bottom)
            yield _text(self.across.say(value), x, self._area.bottom + 14, "middle")
        yield tag(
            "path",
            class_="axis",
            d=f"M{self._area.left},{self._area.top}V{self._area.bottom}H{self._area.right}",
        )
        middle = (self._area.left + self._area.right) / 2
        yield _text(self.across.name, middle, self.size[1] - 8, "middle", "name")
        turned = f"translate(11,{number((self._area.top + self._area.bottom) / 2)}) rotate(-90)"
        yield tag("text", self.upwards.name, class_="name middle", transform=turned)

    def _series(self, series: Series) -> Iterable[Markup]:
        color = series.look.color
        places = [(self._x(point.x), self._y(point.y)) for point in series.points]
        if series.joined and len(places) > 1:
            path = " ".join(f"{number(x)},{number(y)}" for x, y in places)
            look = f"curve {color}{' dashed' if series.dashed else ''}"
            yield tag("polyline", class_=look, points=path)
        if series.dashed:
            return
        for point, (x, y) in zip(series.points, places, strict=True):
            yield from self._whiskers(point, x, y, color)
            if point.ringed:
                radius = _RING * point.scale
                yield tag("circle", class_=f"ring {color}", cx=x, cy=y, r=radius)
            yield series.look.mark(x, y, point.told, hollow=point.hollow, scale=point.scale)

    def _whiskers(self, point: Point, x: float, y: float, color: str) -> Iterable[Markup]:
        path = ""
        if point.upwards:
            for end in map(self._y, point.upwards):
                path += f"M{number(x)},{number(y)}V{number(end)}m{-_CAP},0h{2 * _CAP}"
        if point.across:
            for end in map(self._x, point.across):
                path += f"M{number(x)},{number(y)}H{number(end)}m0,{-_CAP}v{2 * _CAP}"
        if path:
            yield tag("path", class_=f"whisker {color}", d=path)

    def _names(self) -> Iterable[Markup]:
        drawn = [series for series in self.series if not series.dashed]
        marks = [(self._x(p.x), self._y(p.y)) for series in drawn for p in series.points]
        named = [
            (self._x(point.x), self._y(point.y), point.name)
            for series in drawn  # a line is named once, at its end
            for point in (series.points[-1:] if series.joined else series.points)
        ]
        for label in place(named, self._area, marks):
            if label.leader is not None:
                x0, y0, x1, y1 = label.leader
                yield tag("line", class_="leader", x1=x0, y1=y0, x2=x1, y2=y1)
            yield _text(label.text, label.x, label.y, label.anchor, "direct")


def _text(content: Content, x: float, y: float, anchor: str, kind: str = "tick") -> Markup:
    return tag("text", content, class_=f"{kind} {anchor}", x=x, y=y)
