"""What an icon's drawing may hold, so that drawing it reads no file and takes bounded time.

A drawing is a stranger's SVG. It may hold outlines, groups, gradients and masks, and refer to its
own parts alone: no file, no address, no text (whose look depends on the machine's fonts), no image,
no script, and no filter (the pinned version has 3,163 icons with one; resvg 0.48 fails on some).
Parts that refer to parts can double at each step; what a drawing comes to with all of them in place
is counted, not drawn. So the same drawings are left out on every machine, which a limit of seconds
would not give.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from clipbench_datasets._icons_sets import Icon

_MOST_DEPTH = 64  # of elements in elements
_MOST_COST = 1 << 18  # characters of attributes, with what is referred to in place of references
_PLAIN = frozenset(
    (
        *("path", "g", "circle", "ellipse", "rect", "line", "polyline", "polygon", "defs", "use"),
        *("symbol", "mask", "clipPath", "pattern", "marker", "linearGradient", "radialGradient"),
        *("stop", "title", "desc"),
    )
)
_REFERENCE = re.compile(r"(?i)url\(\s*['\"]?\s*([^)'\"\s]*)")
_SPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
_HREF = ("href", "{http://www.w3.org/1999/xlink}href")


class Undrawable(ValueError):
    """An icon can't be drawn; the message says why, in the same words for all of a kind."""


def svg(icon: Icon, side: int, ink: str, margin: float) -> str:
    """Return the SVG of an icon.

    Args:
        icon: the icon.
        side: height and width in pixels; the drawing keeps its shape and is centered.
        ink: a color, ``#rrggbb``, for all that has no color of its own.
        margin: share of the longer side of the drawing that is left free on each side.
    """
    left, top, width, height = icon.box
    free = margin * max(width, height)
    box = f"{left - free} {top - free} {width + 2 * free} {height + 2 * free}"
    return (
        f'<svg {_SPACES} viewBox="{box}" width="{side}" height="{side}" color="{ink}">'
        f"{icon.body}</svg>"
    )


def check_body(body: str) -> None:
    """Refuse a drawing that is not bounded, or not by itself.

    Raises:
        Undrawable: naming the kind of fault.
    """
    if "<!" in body or "<?" in body:  # entities are none of an icon's business
        raise Undrawable("not plain")
    try:
        root = ElementTree.fromstring(f"<svg {_SPACES}>{body}</svg>")  # noqa: S314 - no entities
    except ElementTree.ParseError as error:
        raise Undrawable("no XML") from error
    _check_depth(root)
    parts: dict[str, ElementTree.Element] = {}
    for element in root.iter():
        name = element.tag.rpartition("}")[2]
        if element is not root and name not in _PLAIN:
            raise Undrawable(f"with <{name}>" if name.isalnum() else "not plain")
        if "id" in element.attrib:
            parts.setdefault(element.attrib["id"], element)
    if _cost(root, parts, {}, 0) > _MOST_COST:
        raise Undrawable("intricate")


def _check_depth(root: ElementTree.Element) -> None:
    level = [root]
    for _ in range(_MOST_DEPTH):
        level = [inner for outer in level for inner in outer]
        if not level:
            return
    raise Undrawable("intricate")


def _cost(
    element: ElementTree.Element,
    parts: dict[str, ElementTree.Element],
    known: dict[ElementTree.Element, int],
    depth: int,
) -> int:
    """Return the characters of an element with all that it refers to in place.

    Raises:
        Undrawable: it refers to something outside, or to itself.
    """
    if element in known:
        if known[element] < 0:
            raise Undrawable("circular")
        return known[element]
    if depth > 4 * _MOST_DEPTH:
        raise Undrawable("intricate")
    known[element] = -1
    cost = 1
    for name, value in element.attrib.items():
        cost += len(value)
        for target in _targets(name, value):
            if target in parts:
                cost += _cost(parts[target], parts, known, depth + 1)
    for inner in element:
        cost += _cost(inner, parts, known, depth + 1)
    known[element] = min(cost, _MOST_COST + 1)
    return known[element]


def _targets(name: str, value: str) -> list[str]:
    """Return the parts that an attribute refers to.

    Raises:
        Undrawable: it refers to something that is no part of the drawing.
    """
    found = [value.strip()] if name in _HREF else _REFERENCE.findall(value)
    if any(not target.startswith("#") for target in found):
        raise Undrawable("refers outside")
    return [target[1:] for target in found]
