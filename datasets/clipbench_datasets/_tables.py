"""Rows of a CSV or TSV, one by one: a row that is wrongly quoted is named, and takes no other.

In CSV a field that begins with a quotation mark goes on to the next one, over the ends of lines.
A caption that merely begins with one would so swallow all rows up to the next such caption, without
a word. Here such a row is a problem of its own, and the line behind it is a row again.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from clipbench.errors import CorruptData

Quotes = Literal["csv", "plain"]
_MOST_LINES = 1_000  # of one field; no caption has more
_BEFORE_ITS_END = "a quotation mark ends a field before its end"
_MOST = 1 << 24  # characters of one field


class Row(NamedTuple):
    """A row as it stands in the file.

    Args:
        line: number of its first line, from 1.
        cells: its fields; empty: the line is blank.
        problem: why they can't be told apart; None: they can.
    """

    line: int
    cells: list[str]
    problem: str | None = None


def rows(
    lines: Iterable[str],
    separator: str,
    quotes: Quotes = "csv",
    *,
    first: int = 1,
    width: int | None = None,
    is_row: Callable[[Sequence[str]], bool] = lambda cells: False,  # noqa: ARG005
) -> Iterator[Row]:
    """Yield the rows of a table.

    Args:
        lines: its lines with their ends, none of them translated.
        separator: one character between fields.
        quotes: csv, a field in quotation marks may hold separators, line ends and doubled marks;
            plain, they are characters like any other.
        first: number of the first line.
        width: fields of every row, where known. A row that has as many where its marks are text,
            and that can't be quoted as it stands, such as ``"Best friends" at the beach``, is
            taken as text.
        is_row: tells, of what one line of a quoted field holds, whether it is a row by itself; the
            field was then never meant to reach so far.
    """
    csv.field_size_limit(_MOST)
    waiting: deque[str] = deque()
    source = iter(lines)

    def following() -> Iterator[str]:
        while (line := waiting.popleft() if waiting else next(source, None)) is not None:
            yield line.replace("\0", "\N{REPLACEMENT CHARACTER}")  # which 3.10's csv refuses

    number = first
    for line in following():
        if quotes == "plain" or '"' not in line:
            yield Row(number, _plain(line, separator))
            number += 1
            continue
        taken: list[str] = []
        cells, problem = _quoted(line, following(), taken, separator)
        if problem is None and taken and any(map(is_row, _lines_within(cells, separator))):
            problem = "a quotation mark opens a field that holds the rows behind it"
        if problem == _BEFORE_ITS_END and not taken and len(_plain(line, separator)) == width:
            cells, problem = _plain(line, separator), None
        if problem is not None:
            waiting.extendleft(reversed(taken))
            cells, taken = [], []
            problem += "; double the marks within a field, or read them as text with quotes=plain"
        yield Row(number, cells, problem)
        number += 1 + len(taken)


def not_utf8(path: Path) -> CorruptData:
    """Return the error of a table that is no UTF-8, with the first line that is none."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                what = f"line {number} has the byte 0x{line[error.start]:02x}"
                break
        else:
            what = "it has changed since"
    return CorruptData(f"{path} is not UTF-8: {what}. Convert the file, for instance with iconv.")


def _plain(line: str, separator: str) -> list[str]:
    bare = line.rstrip("\r\n")
    return bare.split(separator) if bare else []


def _lines_within(cells: Sequence[str], separator: str) -> Iterator[list[str]]:
    """Yield the fields that the lines of a field would have if they were rows."""
    for cell in cells:
        if "\n" in cell or "\r" in cell:
            for line in re.split(r"[\r\n]+", cell):
                yield _plain(line, separator)


def _quoted(
    line: str, further: Iterator[str], taken: list[str], separator: str
) -> tuple[list[str], str | None]:
    """Return the fields of a record that begins with `line`, or what is wrong with it.

    Args:
        line: its first line.
        further: the lines behind.
        taken: is given those of them that were read.
        separator: one character between fields.
    """

    def record() -> Iterator[str]:
        yield line
        while len(taken) < _MOST_LINES and (one := next(further, None)) is not None:
            taken.append(one)
            yield one

    try:
        return next(csv.reader(record(), delimiter=separator, strict=True)), None
    except csv.Error as error:
        if taken or "end of data" in str(error):
            return [], "a quotation mark opens a field that none ends"
        if "expected after" in str(error):
            return [], _BEFORE_ITS_END
        return [], str(error)
