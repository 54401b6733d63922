"""Tables for a terminal: as wide as they are, or made to fit without cutting a word.

Where there is a width, long names are broken into lines, then the columns that a reader misses
least are left out, and it is said which. Without one, as in a pipe, nothing is ever left out.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from clipbench.leaderboard.cells import COMPACT, MISSING, NAMES
from clipbench.leaderboard.record import Record
from clipbench.leaderboard.render import STATISTICS, layout

WIDE = 118  # columns that running text is broken at where there is no width
_GAP = 2
_EASY, _TIGHT = 24, 10  # letters of a line of a name: below the first, columns are left out before
_PARTS = re.compile(r"[^\s_/,=]*(?:[\s_/,=]|$)")  # of a name, each with what it ends with
_PIECES = re.compile(r'"(?:[^"\\]|\\.)*"|.', re.DOTALL)  # of a label: quoted text, or a character
_PARAMETERS = {"attack": "attack_name", "defense": "defense_name"}  # column, and its bare name
_LEAST = ("control", "R@1 i2t/t2i %", "cost", "seeds")  # columns of the leaderboard, least first


def to_text(frame: pd.DataFrame, width: int | None = None, *, legend: bool = False) -> str:
    """Return the leaderboard as an aligned table.

    Parameters that all rows of an attack or defense have in common stand above it, once.

    Args:
        frame: as `tables.leaderboard` returns it.
        width: columns of the terminal to fit into; None: as wide as it is.
        legend: whether what the columns mean stands below.
    """
    rows, common, columns = layout(frame, COMPACT)
    shared: list[str] = []
    for kind, bare in _PARAMETERS.items():
        names = [str(getattr(row, bare)) for row in rows]
        short, told = shorten(names, [str(getattr(row, kind)) for row in rows])
        shared += [f"{kind} {label}" for label in told]
        rows = [_with(row, kind, label) for row, label in zip(rows, short, strict=True)]
    body = [[cell(row) for cell in columns.values()] for row in rows]
    empty = [name for name, cell in columns.items() if {*map(cell, rows)} == {MISSING}]
    least = sorted(_LEAST, key=lambda name: name not in empty)  # what says nothing goes first
    text = fit([list(columns), *body], width, names=(*NAMES, "eligible"), least=least)
    head = "; ".join(part for part in (common.rstrip("."), ", ".join(shared)) if part)
    above = wrap(f"{head[:1].upper()}{head[1:]}.", width) if head else []
    below = ["", *wrap(STATISTICS, width)] if legend else []
    return "\n".join([*above, text.rstrip("\n"), *below, ""])


def _with(row: Record, kind: str, label: str) -> Record:
    return replace(row, attack=label) if kind == "attack" else replace(row, defense=label)


def shorten(names: Sequence[str], labels: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return labels without the parameters that all of a name have in common, and these.

    Args:
        names: bare name of each row, e.g. ``targeted``.
        labels: label of each row, e.g. ``targeted (targets=16)``.

    Returns:
        The labels, and a label with the common parameters of each name that has some.
    """
    parts = [_parameters(name, label) for name, label in zip(names, labels, strict=True)]
    common: dict[str, list[str]] = {}
    for name, own in zip(names, parts, strict=True):
        common[name] = [part for part in common.get(name, own) if part in own]
    short = [
        _label(name, [part for part in own if part not in common[name]])
        for name, own in zip(names, parts, strict=True)
    ]
    return short, [_label(name, told) for name, told in common.items() if told]


def _label(name: str, parts: Sequence[str]) -> str:
    return f"{name} ({', '.join(parts)})" if parts else name


def _parameters(name: str, label: str) -> list[str]:
    """Return ``a=1`` and ``b=[2, 3]`` of ``name (a=1, b=[2, 3])``; none of other texts."""
    if not (label.startswith(f"{name} (") and label.endswith(")")):
        return []
    parts, depth = [""], 0
    for piece in _PIECES.findall(label[len(name) + 2 : -1]):
        depth += (piece in "([{") - (piece in ")]}")
        if piece == "," and not depth:
            parts.append("")
        else:
            parts[-1] += piece
    return [part.strip() for part in parts]


@dataclass(frozen=True)
class _Fit:
    """How much a table gives way.

    Args:
        limit: columns that a line of a name may take; None: as many as it has.
        without: how many of the columns that are missed least are left out.
    """

    limit: int | None
    without: int


def fit(
    lines: Sequence[Sequence[str]],
    width: int | None,
    *,
    names: Collection[str],
    least: Sequence[str] = (),
) -> str:
    """Return a header and rows as aligned columns.

    Args:
        lines: the header, then the rows.
        width: columns to fit into; None: as many as it takes.
        names: columns whose texts may be broken into lines.
        least: columns that may be left out, the first of them first.
    """
    least = [name for name in least if name in lines[0]]
    for way in _ways(len(least)):
        left_out = least[: way.without]
        kept = [number for number, name in enumerate(lines[0]) if name not in left_out]
        limits = [way.limit if lines[0][number] in names else None for number in kept]
        rows = [
            [_broken(line[number], limit) for number, limit in zip(kept, limits, strict=True)]
            for line in lines
        ]
        widths = [
            max(text_width(text) for cell in column for text in cell)
            for column in zip(*rows, strict=True)
        ]
        if width is None or sum(widths) + _GAP * (len(widths) - 1) <= width:
            break
    rows.insert(1, [["-" * size] for size in widths])
    table = [line for row in rows for line in _aligned(row, widths)]
    told = ["", f"Left out at this width: {', '.join(left_out)}."] if left_out else []
    return "\n".join([*table, *told, ""])


def _ways(droppable: int) -> Iterator[_Fit]:
    """Yield how a table may give way, least first: two columns go before names become narrow."""
    easy, narrow = range(60, _EASY - 1, -2), range(_EASY - 1, _TIGHT - 1, -1)
    first = min(2, droppable)
    for without in range(first + 1):
        yield from (_Fit(limit, without) for limit in (None, *easy))
    yield from (_Fit(limit, first) for limit in narrow)
    for without in range(first + 1, droppable + 1):
        yield from (_Fit(limit, without) for limit in (None, *easy, *narrow))


def _broken(text: str, limit: int | None) -> list[str]:
    """Return a name as lines, broken where a word of it ends, or where there is no room for one."""
    if limit is None or text_width(text) <= limit:
        return [text]
    lines = [""]
    for part in _PARTS.findall(text):
        for piece in [part] if text_width(part.rstrip()) <= limit else part:
            if text_width((lines[-1] + piece).rstrip()) > limit:
                lines.append("")
            lines[-1] += piece if lines[-1] else piece.lstrip()
    return [line.rstrip() for line in lines]


def _aligned(cells: Sequence[Sequence[str]], widths: Sequence[int]) -> list[str]:
    """Return the lines of a row."""
    lines = []
    for number in range(max(map(len, cells))):
        texts = [cell[number] if number < len(cell) else "" for cell in cells]
        padded = (f"{t}{' ' * (w - text_width(t))}" for t, w in zip(texts, widths, strict=True))
        lines.append((" " * _GAP).join(padded).rstrip())
    return lines


def text_width(text: str) -> int:
    """Return how many columns of a terminal `text` takes."""
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )


def wrap(text: str, width: int | None) -> list[str]:
    """Return running text as lines."""
    return textwrap.wrap(
        text, min(width or WIDE, WIDE), break_on_hyphens=False, break_long_words=False
    )
