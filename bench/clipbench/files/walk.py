"""Folders below a folder, each once, whatever links lead to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def walk_once(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield a folder and those below it as `os.walk` does: links are followed, but not in circles.

    Hidden folders are left out. Who takes away names of folders below keeps the walk out of them.
    """
    seen: set[str] = set()
    for where, below, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(where)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield where, below, sorted(names)
