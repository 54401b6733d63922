"""Where the names of marks go, so that none covers a mark or another name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

LETTER, LINE, GAP = 5.5, 10.0, 7.0  # width and height of a letter; from a mark to its name
MARK = 5.0  # half the width of a mark
LONGEST = 24  # letters of a name
_STEPS, _ASIDE = 9, (10.0, -10.0, 34.0, -34.0, 70.0, -70.0)  # of names that a line leads to
_APART = 11.0  # marks nearer than this to one another are told apart by such lines alone


class Box(NamedTuple):
    """A rectangle in pixels, y downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Return whether two rectangles have a point in common."""
        apart = self.left >= other.right or other.left >= self.right
        return not (apart or self.top >= other.bottom or other.top >= self.bottom)

    def inside(self, other: Box) -> bool:
        """Return whether this rectangle lies in another."""
        wide = other.left <= self.left and self.right <= other.right
        return wide and other.top <= self.top and self.bottom <= other.bottom


@dataclass(frozen=True)
class Placed:
    """A name that has found room.

    Args:
        text: the name, cut in its middle if it is long.
        x: where it is anchored.
        y: its base line.
        anchor: start, middle or end.
        leader: where the line from the mark to the name begins and ends; None: there is none.
    """

    text: str
    x: float
    y: float
    anchor: str
    leader: tuple[float, float, float, float] | None = None

    @property
    def box(self) -> Box:
        """The rectangle of its letters."""
        width = LETTER * len(self.text)
        left = self.x - {"start": 0.0, "middle": 0.5, "end": 1.0}[self.anchor] * width
        return Box(left, self.y - 0.8 * LINE, left + width, self.y + 0.2 * LINE)


def place(
    points: Sequence[tuple[float, float, str]],
    frame: Box,
    marks: Sequence[tuple[float, float]],
) -> list[Placed]:
    """Return the names that find room; the others are left to the legend.

    Args:
        points: place in pixels of each mark that has a name, and the name.
        frame: where names may be.
        marks: places of all marks.
    """
    squares = [Box(x - MARK, y - MARK, x + MARK, y + MARK) for x, y in marks]
    found: list[Placed] = []
    for x, y, name in sorted(points):
        crowded = sum(math.dist((x, y), mark) < _APART for mark in marks) > 1
        text = shortened(name)
        near = [] if crowded else _beside(x, y, text)
        for candidate in (*near, *_led(x, y, text)):
            if candidate.box.inside(frame) and _free(candidate, found, squares):
                found.append(candidate)
                break
    return found


def shortened(name: str) -> str:
    """Return a name cut in its middle: names often begin alike, and end alike more rarely."""
    if len(name) <= LONGEST:
        return name
    end = LONGEST // 2 - 1
    return f"{name[: LONGEST - 1 - end]}…{name[-end:]}"


def _free(candidate: Placed, found: Sequence[Placed], squares: Sequence[Box]) -> bool:
    names = [other.box for other in found]
    if any(candidate.box.meets(box) for box in (*squares, *names)):
        return False
    if any(point.meets(box) for point in _along(candidate) for box in names):
        return False
    return not any(point.meets(candidate.box) for other in found for point in _along(other))


def _along(placed: Placed) -> Iterable[Box]:
    """Yield small boxes along the line that leads to a name."""
    if placed.leader is not None:
        x0, y0, x1, y1 = placed.leader
        for step in range(11):
            x, y = x0 + step / 10 * (x1 - x0), y0 + step / 10 * (y1 - y0)
            yield Box(x - 1, y - 1, x + 1, y + 1)


def _beside(x: float, y: float, text: str) -> list[Placed]:
    middle, above, below = y + 0.35 * LINE, y - GAP, y + GAP + 0.7 * LINE
    return [
        Placed(text, x, above, "middle"),
        Placed(text, x, below, "middle"),
        Placed(text, x + GAP, middle, "start"),
        Placed(text, x - GAP, middle, "end"),
        Placed(text, x + GAP, above, "start"),
        Placed(text, x + GAP, below, "start"),
        Placed(text, x - GAP, above, "end"),
        Placed(text, x - GAP, below, "end"),
    ]


def _led(x: float, y: float, text: str) -> Iterable[Placed]:
    """Yield places further away, the nearest first, each with a line that leads there."""
    for step in range(1, _STEPS):
        for aside in _ASIDE:
            for down in (1, -1):
                to_x, to_y = x + aside, y + down * (GAP + (LINE + 1) * step)
                anchor = "start" if aside > 0 else "end"
                line = (x, y, to_x - math.copysign(1.5, aside), to_y - 0.3 * LINE)
                yield Placed(text, to_x, to_y, anchor, line)
