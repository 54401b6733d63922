"""Tells a person how far the work is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from types import TracebackType
from typing import Any, TextIO

from clipbench.system.streams import Canvas, print_text
from clipbench.text.visible import visible

LINE_EVERY_S = 10.0
UNKNOWN_WIDTH, UNKNOWN_HEIGHT = 80, 24  # of a terminal that does not say


class Reporter:
    """Reports progress, notes and warnings on standard error, so that results have stdout alone.

    `progress` has the signature of `clipbench.contracts.Progress`. A new text of `what` starts a
    new bar; rate and time left count from the first call of it, so that a resumed job is not
    credited with what an earlier one did.

    Args:
        quiet: report warnings only.
        stream: where to write; None: standard error as it is at the time of writing.
        terminal: whether to draw bars; None: if the stream is a terminal or a notebook.
        every_s: least time between two progress lines, in seconds, where there is no terminal.
        clock: seconds since any fixed moment.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        stream: TextIO | None = None,
        terminal: bool | None = None,
        every_s: float = LINE_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.quiet = quiet
        self._given_stream = stream
        self._terminal = terminal
        self._every_s = every_s
        self._clock = clock
        self._what: str | None = None
        self._started = self._last_line = clock()
        self._first = 0
        self._announced = False
        self._bar: Any = None

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def progress(self, what: str, done: int, total: int) -> None:
        """Report that `done` of `total` of `what` are done; a total of 0 is unknown.

        Args:
            what: the work, e.g. ``"writing shards"``.
            done: how much of it is done.
            total: how much there is.
        """
        if self.quiet:
            return
        if what != self._what or done < self._first:
            self._begin(what, done, total)
        if self._on_terminal():
            self._draw(done, total)
        else:
            self._write_line(done, total)
        if total and done >= total:
            self.close()

    def note(self, text: str) -> None:
        """Print a line for people; nothing in quiet mode."""
        if not self.quiet:
            self._print(text)

    def resuming(self, text: str) -> None:
        """Say where work goes on that was stopped; a line as `note` prints it."""
        self.note(text)

    def warning(self, text: str) -> None:
        """Print a line that begins with ``warning:``, in quiet mode too."""
        self._print(f"warning: {text}")

    def close(self) -> None:
        """End the bar, if there is one; the next call of `progress` starts another."""
        if self._bar is not None:
            self._bar.close()
        self._bar = self._what = None

    def _stream(self) -> TextIO:
        return sys.stderr if self._given_stream is None else self._given_stream

    def _on_terminal(self) -> bool:
        if self._terminal is not None:
            return self._terminal
        return self._stream().isatty() or (self._given_stream is None and in_notebook())

    def _begin(self, what: str, done: int, total: int) -> None:
        self.close()
        self._what, self._first, self._started = what, done, self._clock()
        self._announced = False
        if self._on_terminal():
            self._bar = _bar(what, done, total, self._stream())

    def _draw(self, done: int, total: int) -> None:
        self._bar.total = total or None
        self._bar.update(done - self._bar.n)

    def _write_line(self, done: int, total: int) -> None:
        """Print a line if it is time for one, and the last line of work that has had others."""
        now = self._clock()
        last = bool(total) and done >= total and self._announced
        if now - self._last_line < self._every_s and not last:
            return
        self._last_line, self._announced = now, True
        elapsed = now - self._started
        speed = (done - self._first) / elapsed if elapsed > 0 else 0.0
        parts = [f"{self._what}: {done:,}"]
        if total:
            parts = [f"{self._what}: {done:,}/{total:,} ({100 * done / total:.0f}%)"]
        if speed > 0:
            parts.append(f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.2g}/s")
        if speed > 0 and total and done < total:
            parts.append(f"{duration((total - done) / speed)} left")
        self._print(", ".join(parts))

    def _print(self, text: str) -> None:
        if self._bar is not None:
            self._bar.clear()
        stream = self._stream()
        print_text(visible(text), stream)  # it may quote any file
        if self._bar is not None:
            self._bar.refresh()


def in_notebook() -> bool:
    """Whether output is shown in a notebook, which draws bars though it is no terminal."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return any(base.__name__ == "ZMQInteractiveShell" for base in type(shell).__mro__)


def _bar(what: str, done: int, total: int, stream: TextIO) -> object:
    with_widgets = stream is sys.stderr and in_notebook() and find_spec("ipywidgets") is not None
    tqdm = importlib.import_module("tqdm.notebook" if with_widgets else "tqdm").tqdm
    # Without tqdm's monitor thread, which would be forked into loader processes.
    bar = type("Bar", (tqdm,), {"monitor_interval": 0})
    name, _, unit = visible(what).partition(" (")  # "training (pairs)"
    unit = f" {unit.rstrip(')')}" if unit else "it"
    size = {"initial": done, "total": total or None, "unit_scale": True, "unit": unit}
    if with_widgets:
        return bar(desc=name, leave=False, **size)
    room = _size_of(stream)
    width: dict[str, object] = {"dynamic_ncols": True}
    if room is not None and 0 in room:  # of which tqdm takes 0 for no room at all
        width = {"ncols": room.columns or UNKNOWN_WIDTH, "nrows": room.lines or UNKNOWN_HEIGHT}
    return bar(desc=name, file=Canvas(stream), **width, **size)


def width_of(stream: TextIO) -> int:
    """Return the columns of the terminal that a stream is, at least 20."""
    asked = os.environ.get("COLUMNS", "")
    told = int(asked) if asked.isdecimal() else 0
    room = _size_of(stream)
    return max(20, told or (room and room.columns) or UNKNOWN_WIDTH)


def _size_of(stream: TextIO) -> os.terminal_size | None:
    """Return the size that a terminal says it has, 0 by 0 in some containers; None: it is none."""
    try:
        return os.get_terminal_size(stream.fileno())
    except (OSError, ValueError, AttributeError):  # no terminal, closed, or no real file
        return None


def duration(seconds: float) -> str:
    """Return a duration as people say it: ``8 s``, ``3 min``, ``2 h 05 min``.

    Args:
        seconds: how long, in seconds, at least 0.
    """
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"
