"""Where the names of marks go, so that none covers a mark or another name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

LETTER, LINE, GAP = 5.3, 10.0, 7.0  # width and height of a letter; from a mark to its name
MARK = 5.0  # half the width of a mark
LONGEST = 20  # letters of a name


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
        text: the name, cut if it is long.
        x: where it is anchored.
        y: its base line.
        anchor: start, middle or end.
    """

    text: str
    x: float
    y: float
    anchor: str


def place(
    points: Sequence[tuple[float, float, str]],
    frame: Box,
    marks: Sequence[tuple[float, float]],
) -> list[Placed]:
    """Return the names that fit beside their marks; the others are left to the legend.

    Args:
        points: place in pixels of each mark that has a name, and the name.
        frame: where names may be.
        marks: places of all marks.
    """
    taken = [Box(x - MARK, y - MARK, x + MARK, y + MARK) for x, y in marks]
    found = []
    for x, y, name in points:
        text = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
        for candidate in _candidates(x, y, text):
            box = _box(candidate)
            if box.inside(frame) and not any(box.meets(other) for other in taken):
                taken.append(box)
                found.append(candidate)
                break
    return found


def _candidates(x: float, y: float, text: str) -> list[Placed]:
    middle = y + 0.35 * LINE
    return [
        Placed(text, x + GAP, middle, "start"),
        Placed(text, x - GAP, middle, "end"),
        Placed(text, x, y - GAP, "middle"),
        Placed(text, x, y + GAP + 0.7 * LINE, "middle"),
        Placed(text, x + GAP, y - GAP, "start"),
        Placed(text, x + GAP, y + GAP + 0.7 * LINE, "start"),
        Placed(text, x - GAP, y - GAP, "end"),
        Placed(text, x - GAP, y + GAP + 0.7 * LINE, "end"),
    ]


def _box(placed: Placed) -> Box:
    width = LETTER * len(placed.text)
    left = placed.x - {"start": 0.0, "middle": 0.5, "end": 1.0}[placed.anchor] * width
    return Box(left, placed.y - 0.8 * LINE, left + width, placed.y + 0.2 * LINE)
