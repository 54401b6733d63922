"""Standard streams that show text, obey none of it, and never stop the work.

All that a command prints, and all that libraries and plugins print in its process, goes through a
`Screen`: what may hold a password is not shown, control characters are written out, so that no
message that quotes a file drives a terminal, and whoever reads may go away, or the disk that is
printed to may be full, without an hour of training being lost to it. What Python's codec can't
encode is written in other letters.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, cast

from clipbench.system.concealed import conceal
from clipbench.text.sinks import terminal
from clipbench.text.visible import visible

_NAMES = ("stdin", "stdout", "stderr")
_PLAIN = str.maketrans(  # what our own texts hold, for terminals of other letters
    {"—": "-", "–": "-", "−": "-", "…": "...", "×": "x", "±": "+-", "’": "'", "·": "."}
)
_ERRORS = "clipbench-plain"


class Screen:
    """A standard stream as commands write to it.

    Args:
        stream: the one that Python made.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.failed: OSError | None = None  # why the rest of the output goes nowhere

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text; nothing in it but ends of lines and tabs does anything."""
        shown = terminal(conceal(text))
        self._attempt(lambda: self._stream.write(shown))
        return len(text)

    def draw(self, text: str) -> None:
        """Write text of our own that moves the cursor."""
        shown = conceal(text)
        self._attempt(lambda: self._stream.write(shown))

    def send(self, data: bytes) -> None:
        """Write bytes, for programs."""

        def write() -> None:
            self._stream.flush()
            self._stream.buffer.write(data)

        self._attempt(write)

    def flush(self) -> None:
        """Write what is kept back."""
        self._attempt(self._stream.flush)

    def _attempt(self, write: Callable[[], object]) -> None:
        try:
            write()
        except OSError as error:
            self.failed = self.failed or error
            _to_nowhere(self._stream)


def _to_nowhere(stream: TextIO) -> None:
    """Let the rest of what is written, and what Python has kept back, go nowhere."""
    with contextlib.suppress(OSError, ValueError):  # it has no descriptor
        number = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)


class Canvas:
    """A stream for a library that draws on it with control characters, as bars of progress are.

    Args:
        stream: a `Screen`, or any other.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text as it is."""
        draw(self._stream, text)
        return len(text)


def draw(stream: TextIO, text: str) -> None:
    """Write text of our own that moves the cursor; names in it must be `visible` before."""
    if isinstance(stream, Screen):
        stream.draw(text)
    else:
        stream.write(text)


def print_text(text: str, stream: TextIO | None = None) -> None:
    """Print text of one or more lines, on standard output or another stream.

    Names in it must be on one line each before, by `visible`.
    """
    out = sys.stdout if stream is None else stream
    out.write(f"{terminal(text)}\n")
    out.flush()


def show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Print a warning as one line, without the place in the code; for `warnings.showwarning`."""
    text = visible(" ".join(str(message).split()))  # it may quote any file
    print_text(f"warning: {text}", sys.stderr)


def print_path(path: Path | str) -> None:
    """Print a path that is the result: on a terminal as it is seen, elsewhere as its bytes.

    A program takes it from there, as from ``find``.
    """
    out = cast(Any, sys.stdout)
    if out.isatty() or not hasattr(out, "buffer"):
        print_text(visible(str(path)))
    elif isinstance(out, Screen):
        out.send(os.fsencode(path) + b"\n")
    else:
        out.flush()
        out.buffer.write(os.fsencode(path) + b"\n")


@contextmanager
def screens() -> Iterator[None]:
    """Put a screen before standard output and error while it lasts."""
    _open_streams()
    before = sys.stdout, sys.stderr
    protect()
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def protect() -> None:
    """Put a screen before standard output and error of this process, where there is none.

    For processes that `screens` does not last in: those that a command starts afresh.
    """
    _open_streams()
    for name in _NAMES[1:]:
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)
        if not isinstance(stream, Screen):
            setattr(sys, name, Screen(stream))


def lost_output() -> OSError | None:
    """Return why standard output could not be written; None if it was, or if nobody reads it."""
    out = sys.stdout
    out.flush()
    error = out.failed if isinstance(out, Screen) else None
    return None if error is None or error.errno in (errno.EPIPE, errno.ECONNRESET) else error


def _open_streams() -> None:
    """Let a closed standard stream be as one from, or to, nowhere.

    Python has None for it, which nobody who prints expects; and the first file that is opened gets
    its number, so that a library which writes to standard output writes into that file.
    """
    for number, name in enumerate(_NAMES):
        if getattr(sys, name) is not None:
            continue
        nowhere = os.open(os.devnull, os.O_RDWR)
        if nowhere == number:
            os.set_inheritable(nowhere, True)  # processes that are started have it, too
        setattr(sys, name, os.fdopen(nowhere, "r" if number == 0 else "w", encoding="utf-8"))


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """Return what stands for letters that a codec lacks: plainer ones, or their numbers."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_PLAIN)
    return text.encode("ascii", "backslashreplace").decode(), error.end


codecs.register_error(_ERRORS, _plain)
