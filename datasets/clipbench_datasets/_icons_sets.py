"""Icon sets as Iconify writes them: which of their icons can be used, and what they are called.

Iconify, https://iconify.design/docs/types/iconify-json.html

A set has a title, an author, a license, and icons: of each its name, its drawing (what an ``<svg>``
holds) and the box it lies in. Further names, categories and marks of variants stand apart.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

_MOST_TEXT = 200  # characters of a title, a name or a category
_MOST_BODY = 1 << 16
_MOST_RATIO = 8  # of width and height, or the other way
_FAR = 1e6  # from the origin
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_ANIMATED = ("<animate", "<set")
_DEFAULT_SIDE = 16  # of the box of an icon that says nothing of it


class Icon(NamedTuple):
    """A drawing with the names that it has.

    Args:
        prefix: the icon set it is of.
        name: its name there, words joined by hyphens.
        base: the name without what marks a variant, such as ``-outline``; words joined by blanks.
        body: what the SVG holds.
        box: left, top, width and height of the SVG.
        others: further names of the same drawing, words joined by blanks.
        categories: what the set files it under.
        title: the set's title.
    """

    prefix: str
    name: str
    base: str
    body: str
    box: tuple[float, float, float, float]
    others: tuple[str, ...]
    categories: tuple[str, ...]
    title: str

    @property
    def key(self) -> str:
        """A name that no other icon has."""
        return f"{self.prefix}:{self.name}"


@dataclass(frozen=True)
class IconSet:
    """The icons of one set.

    Args:
        prefix: the set's short name, that of its file.
        title: its title.
        author: who drew it; sets of one author are taken for one family.
        license: SPDX identifier of its license, or else the title of that.
        icons: its icons, those that can't be used left out.
        left_out: how many were left out, by reason.
    """

    prefix: str
    title: str
    author: str
    license: str
    icons: tuple[Icon, ...]
    left_out: Counter[str]

    @property
    def is_noncommercial(self) -> bool:
        """Whether the license forbids commercial use: Creative Commons marks that with ``NC``."""
        words = re.split(r"[-\s]", self.license.upper())
        return "NC" in words or any("NONCOMMERCIAL" in word for word in words)


def icon_set(prefix: str, found: dict[str, Any]) -> IconSet:
    """Return the icons of a set.

    Args:
        prefix: the set's short name.
        found: what its file holds.

    Raises:
        ValueError: it is no icon set.
    """
    try:
        info = found["info"]
        title, author, license_ = (
            _text(info["name"]),
            _text(info["author"]["name"]),
            _text(info["license"].get("spdx") or info["license"]["title"]),
        )
        base_of = _without_variant(found)
        left_out: Counter[str] = Counter()
        others, filed = _others(found), _categories(found)
        icons = []
        for name, icon in found["icons"].items():
            box = _box(icon, found)
            reason = _unusable(name, icon, box)
            if reason:
                left_out[reason] += 1
                continue
            rest = (tuple(others.get(name, ())), tuple(filed.get(name, ())), title)
            icons.append(Icon(prefix, name, base_of(name), icon["body"], box, *rest))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{type(error).__name__}, {error}") from error
    return IconSet(prefix, title, author, license_, tuple(icons), left_out)


def _text(value: object) -> str:
    """Return a text in one line, of bounded length and without what can't be seen.

    Raises:
        TypeError: it is no text.
        ValueError: nothing of it can be seen.
    """
    if not isinstance(value, str):
        raise TypeError(f"{str(value)[:60]!r} is no text")
    shown = "".join(character if character.isprintable() else " " for character in value)
    text = " ".join(shown.split())[:_MOST_TEXT]
    if not text:
        raise ValueError("a text is empty")
    return text


def _unusable(name: str, icon: Any, box: tuple[float, ...]) -> str | None:
    """Return why an icon is left out before it is drawn; None: it is not."""
    body = icon["body"]
    if icon.get("hidden"):
        return "hidden"
    if not _NAME.fullmatch(name) or len(name) > _MOST_TEXT:
        return "odd name"
    if len(body) > _MOST_BODY:
        return "large"
    if any(mark in body for mark in _ANIMATED):
        return "animated"
    if not all(map(math.isfinite, box)) or max(map(abs, box)) > _FAR or min(box[2:]) <= 0:
        return "odd box"
    return "narrow" if max(box[2:]) > _MOST_RATIO * min(box[2:]) else None


def _box(icon: dict[str, Any], found: dict[str, object]) -> tuple[float, float, float, float]:
    """Return where an icon lies; the set says it where the icon does not."""
    fields = (("left", 0), ("top", 0), ("width", _DEFAULT_SIDE), ("height", _DEFAULT_SIDE))
    left, top, width, height = (
        float(icon.get(field, found.get(field, default))) for field, default in fields
    )
    return left, top, width, height


def _without_variant(found: dict[str, Any]) -> Callable[[str], str]:
    """Return what takes from a name the mark of a variant that the set says it has."""
    ends = sorted((f"-{end}" for end in found.get("suffixes", {}) if end), key=len, reverse=True)
    starts = sorted((f"{one}-" for one in found.get("prefixes", {}) if one), key=len, reverse=True)

    def base(name: str) -> str:
        for end in ends:
            if name.endswith(end):
                name = name[: -len(end)]
                break
        for start in starts:
            if name.startswith(start):
                name = name[len(start) :]
                break
        return name.replace("-", " ")

    return base


def _others(found: dict[str, Any]) -> dict[str, list[str]]:
    """Return further names of icons; one that turns or mirrors is another drawing."""
    names: dict[str, list[str]] = {}
    for name, alias in found.get("aliases", {}).items():
        if set(alias) == {"parent"} and _NAME.fullmatch(name) and len(name) <= _MOST_TEXT:
            names.setdefault(alias["parent"], []).append(name.replace("-", " "))
    return names


def _categories(found: dict[str, Any]) -> dict[str, list[str]]:
    filed: dict[str, list[str]] = {}
    for category, names in found.get("categories", {}).items():
        for name in names if category else ():
            filed.setdefault(name, []).append(_text(category))
    return filed
