"""Progress: bars on terminals, sparse lines elsewhere, silence when asked for."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import select
import struct
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, TextIO

import pytest

from clipbench.system.progress import Reporter, duration, in_notebook, width_of

if TYPE_CHECKING:
    from clipbench.contracts import Progress


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the moment."""
        return self.now


def test_lines_come_at_most_every_ten_seconds() -> None:
    """Without a terminal a line with rate and time left is printed every ten seconds, not more."""
    stream, clock = io.StringIO(), Clock()
    reporter = Reporter(stream=stream, clock=clock)
    for done in range(0, 1001, 10):
        reporter.progress("writing shards", done, 1000)
        clock.now += 0.5
    lines = stream.getvalue().splitlines()
    assert lines[0] == "writing shards: 200/1,000 (20%), 20/s, 40 s left"
    assert len(lines) == 5
    assert lines[-1] == "writing shards: 1,000/1,000 (100%), 20/s"


def test_quick_work_prints_nothing() -> None:
    """Work that ends before the first line was due leaves no line."""
    stream = io.StringIO()
    reporter = Reporter(stream=stream, clock=Clock())
    reporter.progress("quick", 0, 2)
    reporter.progress("quick", 2, 2)
    assert stream.getvalue() == ""


def test_a_resumed_job_is_not_credited_with_earlier_work() -> None:
    """Rate and time left count from the first report."""
    stream, clock = io.StringIO(), Clock()
    reporter = Reporter(stream=stream, clock=clock)
    reporter.progress("training", 900, 1000)
    clock.now += 10
    reporter.progress("training", 910, 1000)
    assert stream.getvalue() == "training: 910/1,000 (91%), 1/s, 90 s left\n"


def test_an_unknown_total_is_left_out() -> None:
    """With a total of 0 there is a count and a rate, and no time left."""
    stream, clock = io.StringIO(), Clock()
    reporter = Reporter(stream=stream, clock=clock)
    reporter.progress("reading", 0, 0)
    clock.now += 20
    reporter.progress("reading", 5, 0)
    assert stream.getvalue() == "reading: 5, 0.25/s\n"


def test_notes_and_warnings_are_lines() -> None:
    """Notes are printed as they are, warnings as warnings."""
    stream = io.StringIO()
    with Reporter(stream=stream) as reporter:
        reporter.note("a plan")
        reporter.warning("a problem")
    assert stream.getvalue() == "a plan\nwarning: a problem\n"


def test_quiet_leaves_warnings_alone() -> None:
    """In quiet mode only warnings are printed."""
    stream, clock = io.StringIO(), Clock()
    reporter = Reporter(stream=stream, quiet=True, clock=clock)
    reporter.note("a plan")
    reporter.progress("work", 0, 10)
    clock.now += 100
    reporter.progress("work", 5, 10)
    reporter.warning("a problem")
    assert stream.getvalue() == "warning: a problem\n"


def test_a_terminal_gets_a_bar_for_each_work() -> None:
    """On a terminal each work has its bar, which notes do not break, and no thread stays behind."""
    stream = io.StringIO()
    before = threading.active_count()
    with Reporter(stream=stream, terminal=True) as reporter:
        reporter.progress("first", 0, 10)
        reporter.note("in between")
        reporter.progress("first", 10, 10)
        reporter.progress("second", 3, 0)
    text = stream.getvalue()
    assert "first: 100%" in text
    assert "10.0/10.0" in text
    assert "in between\n" in text
    assert "second: 3.00" in text
    assert threading.active_count() == before


def test_a_bar_counts_what_is_counted() -> None:
    """Pairs a second, and not iterations."""
    stream = io.StringIO()
    with Reporter(stream=stream, terminal=True) as reporter:
        reporter.progress("training (pairs)", 0, 10)
        reporter.progress("training (pairs)", 10, 10)
    assert "training: 100%" in stream.getvalue()
    assert " pairs/s" in stream.getvalue()


def test_progress_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing of a reporter reaches standard output, which belongs to results."""
    clock = Clock()
    reporter = Reporter(clock=clock)
    progress: Progress = reporter.progress
    progress("work", 0, 10)
    clock.now += 60
    progress("work", 5, 10)
    reporter.note("note")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "work: 5/10 (50%), 0.083/s, 60 s left\nnote\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (3540, "59 min"), (3600 * 2 + 290, "2 h 05 min")],
)
def test_durations(seconds: float, text: str) -> None:
    """Durations are said in the unit that fits."""
    assert duration(seconds) == text


@contextmanager
def terminal(columns: int) -> Iterator[tuple[TextIO, Callable[[], str]]]:
    """A real terminal of some width, and what gives what was written to it."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 0, columns, 0, 0))
    with os.fdopen(theirs, "w") as stream:

        def written() -> str:
            stream.flush()
            found = b""
            while select.select([ours], [], [], 0.2)[0]:
                found += os.read(ours, 1 << 16)
            return found.decode()

        yield stream, written
    os.close(ours)


@pytest.mark.parametrize(("columns", "wanted"), [(0, 80), (132, 132)])
def test_a_bar_fits_a_terminal_also_one_without_a_width(
    monkeypatch: pytest.MonkeyPatch, columns: int, wanted: int
) -> None:
    """Containers have terminals of 0 columns; a bar there is not empty, and ends at 100%."""
    monkeypatch.delenv("COLUMNS", raising=False)
    with terminal(columns) as (stream, written):
        assert width_of(stream) == wanted
        with Reporter(stream=stream) as reporter:
            reporter.progress("training (pairs)", 0, 1000)
            reporter.progress("training (pairs)", 1000, 1000)
            reporter.note("after")
        drawn = written().replace("\r\n", "\n").split("\r")
    assert len(drawn[1].rstrip("\n")) in (wanted, wanted - 1)
    assert drawn[-1].startswith("training: 100%|")
    assert drawn[-1].endswith("pairs/s]\nafter\n")


def test_the_width_that_a_person_gives_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """COLUMNS, but no width that nothing fits into; no terminal has the usual one."""
    monkeypatch.setenv("COLUMNS", "100")
    assert width_of(io.StringIO()) == 100
    monkeypatch.setenv("COLUMNS", "0")
    assert width_of(io.StringIO()) == 80
    monkeypatch.setenv("COLUMNS", "3")
    assert width_of(io.StringIO()) == 20


def test_a_notebook_gets_bars_though_it_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """IPython says what it works for; a stream that a program chose stays as it is."""

    class ZMQInteractiveShell:
        """The shell of a notebook's kernel, by its name."""

    with Reporter() as reporter:
        reporter.progress("reading", 1, 4)
    assert capsys.readouterr().err == ""
    ipython = ModuleType("IPython")
    monkeypatch.setattr(ipython, "get_ipython", ZMQInteractiveShell, raising=False)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert in_notebook()
    with Reporter() as reporter:
        reporter.progress("reading", 1, 4)
    assert "reading" in capsys.readouterr().err
    stream = io.StringIO()
    with Reporter(stream=stream, clock=Clock()) as reporter:
        reporter.progress("reading", 1, 4)
    assert stream.getvalue() == ""
