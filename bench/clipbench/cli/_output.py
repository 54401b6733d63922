"""What commands print: results on standard output, by the first process of a distributed run."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from clipbench.api.work import is_first_process
from clipbench.system.streams import print_path, print_text
from clipbench.text.sinks import json_text
from clipbench.text.visible import visible

GAP = "  "
UNKNOWN_WIDTH = 140  # of a terminal that does not say
MINIMUM_WIDTH = 30  # of a last column that is broken into lines


def print_result(text: str) -> None:
    """Print `text` on standard output, once for all processes; names in it must be `visible`."""
    if is_first_process():
        print_text(text)


def print_place(path: Path | str) -> None:
    """Print a path that is the result, once for all processes; programs get its very bytes."""
    if is_first_process():
        print_path(path)


def print_json(value: object) -> None:
    """Print a value as JSON on standard output, once for all processes."""
    print_result(json_text(value))


def terminal_width() -> int | None:
    """Return the columns of the terminal that standard output is; None where it is none."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    return shutil.get_terminal_size(fallback=(UNKNOWN_WIDTH, 24)).columns


def columns(rows: Iterable[Sequence[str]], width: int | None = None) -> str:
    """Return rows as left-aligned columns, each cell on one line and fit for a terminal.

    Args:
        rows: texts, as many in every row.
        width: where given, the last column is broken into lines that end there.
    """
    cells = [[*map(visible, row[:-1]), row[-1]] for row in rows]
    if width is None:
        cells = [[*row[:-1], visible(row[-1])] for row in cells]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    indent = sum(widths[:-1]) + len(GAP) * (len(widths) - 1)
    room = None if width is None else max(MINIMUM_WIDTH, width - indent)
    lines = []
    for row in cells:
        last = [row[-1]] if room is None else [*map(visible, textwrap.wrap(row[-1], room))] or [""]
        padded = [cell.ljust(size) for cell, size in zip(row[:-1], widths[:-1], strict=True)]
        lines.append(GAP.join([*padded, last[0]]).rstrip())
        lines += [" " * indent + more for more in last[1:]]
    return "\n".join(lines)
