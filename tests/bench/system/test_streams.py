"""Standard streams: they show, they obey nothing, and they never stop the work."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

from clipbench.cli import main
from clipbench.system import streams
from clipbench.system.progress import Reporter
from clipbench.system.streams import Canvas, Screen, print_path, print_text

ODD = os.fsdecode(b"caf\xe9\x9b\n")


def run(line: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of a shell in which `clipbench` is the program."""
    program = f'"{sys.executable}" -m clipbench'
    return subprocess.run(
        ["bash", "-c", line.replace("clipbench", program)],
        capture_output=True,
        check=False,
        env={**os.environ, **variables},
    )


def wrapped(encoding: str = "utf-8") -> io.TextIOWrapper:
    """Return a stream of that encoding, as Python makes the standard ones."""
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)


def written(stream: io.TextIOWrapper) -> bytes:
    """Return what has come through."""
    stream.flush()
    return cast(io.BytesIO, stream.buffer).getvalue()


def test_whatever_prints_drives_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library's or a plugin's print and a traceback go through the screen, too."""
    out, err = wrapped(), wrapped()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with streams.screens():
        print("\x1b[2J\u202e one\r")
        print("\x9b two", file=sys.stderr)
        with streams.screens():  # a command within a command
            print_text("three\x07")
    assert sys.stdout is out
    assert written(out) == b"\\x1b[2J\\u202e one\\r\nthree\\x07\n"
    assert written(err) == b"\\x9b two\n"


def test_bars_may_draw_and_their_names_may_not() -> None:
    """What moves the cursor is ours alone."""
    stream = wrapped()
    screen = cast(io.TextIOWrapper, Screen(stream))
    Canvas(screen).write("\r")
    with Reporter(stream=screen, terminal=True) as reporter:
        reporter.progress("a\x1b]0;b\x07", 0, 2)
        reporter.progress("a\x1b]0;b\x07", 2, 2)
    assert b"\r" in written(stream)
    assert b"\x07" not in written(stream)
    assert b"a\\x1b]0;b\\x07: 100%" in written(stream)


@pytest.mark.parametrize(("encoding", "text"), [("latin-1", b"a- \xb1 \\u4e2d"), ("ascii", b"a-")])
def test_letters_that_a_codec_lacks_are_written_in_others(
    encoding: str, text: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our own dashes as hyphens, what is not ours by number."""
    stream = wrapped(encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    with streams.screens():
        print_text("a— ± 中")
    assert written(stream).startswith(text)


def test_a_path_leaves_as_its_bytes_but_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that reads it finds the file; a person sees what it is called."""

    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    for kind, expected in (
        (io.TextIOWrapper, os.fsencode(ODD) + b"\n"),
        (Terminal, b"caf\\udce9\\udc9b\\n\n"),
    ):
        stream = kind(io.BytesIO(), encoding="latin-1")
        monkeypatch.setattr(sys, "stdout", stream)
        with streams.screens():
            print_path(Path(ODD))
        assert written(stream) == expected


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("clipbench list configs | head -c 1; exit ${PIPESTATUS[0]}", 0),
        ("(sleep 0.2; clipbench list; echo $? >&3) 3>&2 2>&1 | true", 0),
        ("clipbench list nothing 2>&1 | true; exit ${PIPESTATUS[0]}", 2),
        ("clipbench list configs >/dev/full", 1),
        ("clipbench list configs 2>/dev/full", 0),
    ],
)
def test_the_status_is_that_of_the_work(line: str, status: int) -> None:
    """Who reads may stop; only what could not be written is told, and that the work is done."""
    done = run(line)
    assert done.returncode == status or (done.returncode, done.stderr) == (0, b"%d\n" % status)
    if status == 1:
        assert (
            b"could not be written (No space left on device), but the work is done" in done.stderr
        )
        assert done.stderr.count(b"\n") == 1


def test_a_warning_that_nobody_hears_stops_no_work() -> None:
    """A full disk behind standard error costs the words alone."""

    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(28, "No space left on device")

    screen = Screen(Full())
    Reporter(stream=cast(io.TextIOWrapper, screen)).warning("a problem")
    assert screen.failed is not None


def test_a_locale_of_few_letters_prints_every_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a cluster's may be."""
    stream = wrapped("latin-1")
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(["leaderboard", "-q", "--published"]) == 0
    assert written(stream).decode("latin-1").count(" - ") > 10


def test_main_leaves_the_streams_as_they_were(capsys: pytest.CaptureFixture[str]) -> None:
    """For a program that calls it."""
    before = sys.stdout, sys.stderr
    assert main(["list", "configs"]) == 0
    assert (sys.stdout, sys.stderr) == before
    assert "quickstart" in capsys.readouterr().out
