"""Color and shape by which a defense is told from the others, the same in every chart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from clipbench.leaderboard.rows import FIRST

# Okabe and Ito's palette, darkened until each color stands out from white paper. The style sheet
# of the page has the same values, and others for a dark screen.
PALETTE = {
    "ink": "#1b1b1b",
    "amber": "#b37700",
    "blue": "#0072b2",
    "vermilion": "#d55e00",
    "green": "#00875f",
    "purple": "#b0568a",
    "brown": "#7a5230",
    "soft": "#5c5c5c",
}
_FIXED = {"none": "ink", "clip": "amber"}
# As many shapes as share no factor with the number of colors: only after 35 defenses do two look
# the same.
_COLORS = ("blue", "vermilion", "green", "purple", "brown")


class Shape(NamedTuple):
    """A mark.

    Args:
        path: in SVG, around the origin.
        marker: matplotlib's name of it.
    """

    path: str
    marker: str


SHAPES = (
    Shape("M-4,0A4,4 0 1,0 4,0A4,4 0 1,0 -4,0Z", "o"),
    Shape("M-3.6,-3.6H3.6V3.6H-3.6Z", "s"),
    Shape("M0,-5L5,0L0,5L-5,0Z", "D"),
    Shape("M0,-4.8L4.6,3.6H-4.6Z", "^"),
    Shape("M0,4.8L4.6,-3.6H-4.6Z", "v"),
    Shape("M-1.6,-4.8H1.6V-1.6H4.8V1.6H1.6V4.8H-1.6V1.6H-4.8V-1.6H-1.6Z", "P"),
    Shape("M0,-5L4.8,-1.5L3,4.2H-3L-4.8,-1.5Z", "p"),
)


@dataclass(frozen=True)
class Look:
    """How a defense is drawn.

    Args:
        color: one of `PALETTE`, and a class of the style sheet.
        shape: of its mark.
    """

    color: str
    shape: Shape


def looks_of(defenses: Iterable[str]) -> dict[str, Look]:
    """Return the look of each defense by its label: ``none`` and ``clip`` first and always alike.

    Args:
        defenses: labels, in any order and number.
    """

    def place(label: str) -> tuple[int, str]:
        name = label.partition(" (")[0]
        return (FIRST.index(name) if name in FIRST else len(FIRST)), label

    found: dict[str, Look] = {}
    others = 0
    for position, label in enumerate(sorted(set(defenses), key=place)):
        color = _FIXED.get(label) or _COLORS[others % len(_COLORS)]
        others += label not in _FIXED
        found[label] = Look(color, SHAPES[position % len(SHAPES)])
    return found
