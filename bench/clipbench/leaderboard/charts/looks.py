"""Color and shape by which a defense is told from the others, the same in every chart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from clipbench.leaderboard.rows import FIRST
from clipbench.text.markup import Markup, number, tag

# Classes of the style sheet, which has a light and a dark value of each. As many shapes as share no
# factor with the number of colors: only after 35 defenses do two look the same.
_FIXED = {"none": "ink", "clip": "amber"}
_COLORS = ("blue", "vermilion", "green", "purple", "brown")
_SHAPES = (
    "M-4,0A4,4 0 1,0 4,0A4,4 0 1,0 -4,0Z",  # circle
    "M-3.6,-3.6H3.6V3.6H-3.6Z",  # square
    "M0,-5L5,0L0,5L-5,0Z",  # diamond
    "M0,-4.8L4.6,3.6H-4.6Z",  # triangle
    "M0,4.8L4.6,-3.6H-4.6Z",  # triangle upside down
    "M-1.6,-4.8H1.6V-1.6H4.8V1.6H1.6V4.8H-1.6V1.6H-4.8V-1.6H-1.6Z",  # plus
    "M0,-5L4.8,-1.5L3,4.2H-3L-4.8,-1.5Z",  # pentagon
)


@dataclass(frozen=True)
class Look:
    """How a defense is drawn.

    Args:
        color: class of the style sheet.
        shape: path of its mark, around the origin.
    """

    color: str
    shape: str

    def mark(
        self, x: float, y: float, told: str = "", *, hollow: bool = False, scale: float = 1.0
    ) -> Markup:
        """Return the mark at a point, with what a pointer that rests on it is told."""
        larger = "" if scale == 1.0 else f" scale({scale:.2f})"
        return tag(
            "path",
            tag("title", told) if told else None,
            class_=f"mark {self.color}{' hollow' if hollow else ''}",
            d=self.shape,
            transform=f"translate({number(x)},{number(y)}){larger}",
        )


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
        found[label] = Look(color, _SHAPES[position % len(_SHAPES)])
    return found


def legend(looks: dict[str, Look], *, hollow: bool) -> Markup:
    """Return the list of defenses with their marks; `hollow`: also what a hollow mark says."""
    entries = [_entry(look, label) for label, look in looks.items()]
    if hollow:
        entries.append(_entry(Look("soft", _SHAPES[0]), "hollow: row not eligible", hollow=True))
    return tag("ul", *entries, class_="legend", aria_label="Defenses in the charts")


def _entry(look: Look, label: str, *, hollow: bool = False) -> Markup:
    drawn = tag(
        "svg",
        look.mark(7, 7, hollow=hollow),
        class_="key",
        viewBox="0 0 14 14",
        width="14",
        height="14",
        aria_hidden="true",
    )
    return tag("li", drawn, " ", label)
