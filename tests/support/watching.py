"""What a process opens, connects to and starts, by Python's audit hook."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

OPENING = frozenset({"open", "os.listdir", "os.scandir"})
STARTING = (
    "socket.",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "urllib.",
)


class Watch:
    """Collects events while it watches; a hook stays for good, and is idle when nobody does."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.started: list[tuple[str, str]] = []
        self._watching = False
        sys.addaudithook(self._look)

    def _look(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._watching:
            return
        if event in OPENING and arguments and isinstance(arguments[0], (str, bytes, Path)):
            self.opened.append(str(Path(os.fsdecode(arguments[0])).absolute()))
        elif event.startswith(STARTING) and event != "socket.gethostname":  # which opens none
            self.started.append((event, repr(arguments)))

    @contextmanager
    def watched(self) -> Iterator[Watch]:
        """Collect anew, and watch until the end."""
        self.opened, self.started, self._watching = [], [], True
        try:
            yield self
        finally:
            self._watching = False

    def outside(self, *inside: Path) -> list[str]:
        """Return what was opened that lies in none of these folders."""
        roots = tuple(os.path.realpath(path) for path in inside)  # as links lead
        opened = {os.path.realpath(path) for path in self.opened}
        return sorted(path for path in opened if not _lies_in(path, roots))


def _lies_in(path: str, roots: tuple[str, ...]) -> bool:
    return any(path == root or path.startswith(f"{root}{os.sep}") for root in roots)
