"""Charts as inline SVG: axes, lines and marks, and the same in words for who can't see it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from clipbench.leaderboard.charts.chart import SMALL, Chart, Point, Series
from clipbench.leaderboard.charts.looks import SHAPES, Look
from clipbench.leaderboard.charts.placing import Box, place
from clipbench.text.markup import Content, Markup, number, tag

_RING = 7.0  # radius of the ring around a mark
_CAP = 2.5  # half the length of a whisker's end


def drawn(chart: Chart) -> Markup:
    """Return a chart."""
    return _Drawing(chart).drawn()


def figure(chart: Chart) -> Markup:
    """Return a chart with its title; a phone scrolls a large one, by the keyboard, too."""
    scrolls = None if chart.size == SMALL else "0"
    parts = tag("figcaption", chart.title), drawn(chart)
    return tag("figure", *parts, class_="chart", tabindex=scrolls)


def legend(looks: Mapping[str, Look], *, hollow: bool) -> Markup:
    """Return the list of defenses with their marks; `hollow`: also what a hollow mark says."""
    entries = [_entry(look, label) for label, look in looks.items()]
    if hollow:
        entries.append(_entry(Look("soft", SHAPES[0]), "hollow: row not eligible", hollow=True))
    return tag("ul", *entries, class_="legend", aria_label="Defenses in the charts")


def _entry(look: Look, label: str, *, hollow: bool = False) -> Markup:
    drawn = tag(
        "svg",
        _mark(look, 7, 7, hollow=hollow),
        class_="key",
        viewBox="0 0 14 14",
        width="14",
        height="14",
        aria_hidden="true",
    )
    return tag("li", drawn, " ", label)


def _mark(
    look: Look, x: float, y: float, told: str = "", *, hollow: bool = False, scale: float = 1.0
) -> Markup:
    """Return the mark at a point, with what a pointer that rests on it is told."""
    larger = "" if scale == 1.0 else f" scale({scale:.2f})"
    return tag(
        "path",
        tag("title", told) if told else None,
        class_=f"mark {look.color}{' hollow' if hollow else ''}",
        d=look.shape.path,
        transform=f"translate({number(x)},{number(y)}){larger}",
    )


@dataclass(frozen=True)
class _Drawing:
    """A chart with the places of its values in pixels."""

    chart: Chart

    @property
    def _area(self) -> Box:
        return Box(44, 10, self.chart.size[0] - 12, self.chart.size[1] - 40)

    def drawn(self) -> Markup:
        return tag(
            "svg",
            tag("title", self.chart.title, id=f"{self.chart.key}-t"),
            tag("desc", self.chart.words, id=f"{self.chart.key}-d"),
            *self._grid(),
            *(part for item in self.chart.series for part in self._series(item)),
            *self._names(),
            class_="plot",
            role="img",
            viewBox=f"0 0 {self.chart.size[0]} {self.chart.size[1]}",
            aria_labelledby=f"{self.chart.key}-t",
            aria_describedby=f"{self.chart.key}-d",
        )  # fmt: skip

    def _x(self, value: float) -> float:
        left, _, right, _ = self._area
        return left + self.chart.across.place(value) * (right - left)

    def _y(self, value: float) -> float:
        _, top, _, bottom = self._area
        return bottom - self.chart.upwards.place(value) * (bottom - top)

    def _grid(self) -> Iterable[Markup]:
        for value in self.chart.upwards.ticks:
            y = self._y(value)
            yield tag("line", class_="grid", x1=self._area.left, x2=self._area.right, y1=y, y2=y)
            yield _text(self.chart.upwards.say(value), self._area.left - 6, y + 3.5, "end")
        for value in self.chart.across.ticks:
            x = self._x(value)
            yield tag("line", class_="grid", x1=x, x2=x, y1=self._area.top, y2=self._area.bottom)
            yield _text(self.chart.across.say(value), x, self._area.bottom + 14, "middle")
        yield tag(
            "path",
            class_="axis",
            d=f"M{self._area.left},{self._area.top}V{self._area.bottom}H{self._area.right}",
        )
        middle = (self._area.left + self._area.right) / 2
        yield _text(self.chart.across.name, middle, self.chart.size[1] - 8, "middle", "name")
        turned = f"translate(11,{number((self._area.top + self._area.bottom) / 2)}) rotate(-90)"
        yield tag("text", self.chart.upwards.name, class_="name middle", transform=turned)

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
            yield _mark(series.look, x, y, point.told, hollow=point.hollow, scale=point.scale)

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
        drawn = [series for series in self.chart.series if not series.dashed]
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
