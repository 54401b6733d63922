"""Every error as one line on standard error, and the exit status that goes with it."""

from __future__ import annotations

import signal
import sys
import textwrap
import traceback

import click

from clipbench.errors import ClipbenchError
from clipbench.plugins.faults import uncaught
from clipbench.system.disk import full_disk
from clipbench.system.stopping import Stopped
from clipbench.system.streams import print_text
from clipbench.text.visible import visible

FAILED = 1
UNDECIDED = 3  # neither yes nor no can be told from what is at hand
INTERRUPTED = 130  # 128 + SIGINT, what shells expect


def report(error: BaseException, *, show_traceback: bool) -> int:
    """Print an error as one line and return the exit status.

    Args:
        error: what ended the command.
        show_traceback: whether to print where it came from, too.
    """
    if show_traceback:  # indented: no line of a message passes for one of ours
        text = "".join(traceback.format_exception(error)).rstrip("\n")
        print_text(textwrap.indent(text, "  "), sys.stderr)
    message, status = _explain(error)
    print_text(f"clipbench: error: {_one_line(message)}", sys.stderr)
    return status


def _one_line(text: str) -> str:
    """Return a message that drives no terminal, whatever file it names or quotes."""
    return visible(" ".join(text.split()))


def _explain(error: BaseException) -> tuple[str, int]:
    """Return what to tell a person, and the exit status."""
    if isinstance(error, Stopped):
        how = "interrupted" if error.number == signal.SIGINT else f"stopped by {_name(error)}"
        saved = f"; {error.saved}" if error.saved else ""
        return f"{how}{saved}; the same command goes on where this one stopped.", error.exit_status
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return "interrupted; the same command goes on where this one stopped.", INTERRUPTED
    if isinstance(error, ClipbenchError):
        return str(error), error.exit_status
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        hint = f" Try '{context.command_path} --help'." if context else ""
        return error.format_message() + hint, error.exit_code
    full = full_disk(error)
    if full is not None:
        where = f" at {full.filename}" if full.filename else ""
        advice = "Free some space, or choose another folder with --cache or --out"
        return f"no space left{where}. {advice}, then run the same command again.", FAILED
    return _unforeseen(error), FAILED


def _name(error: Stopped) -> str:
    return signal.Signals(error.number).name


def _unforeseen(error: BaseException) -> str:
    """Return what to tell of an error that is none of ours."""
    kind, more = type(error).__name__, "clipbench --traceback ... shows where it came from"
    of_plugin = uncaught(error)
    if kind in ("MemoryError", "OutOfMemoryError"):
        return f"out of memory ({str(error) or kind}). Choose a smaller --batch-size or model."
    if of_plugin is not None:
        return of_plugin
    if isinstance(error, OSError) and error.filename and error.strerror:
        where = f"{error.filename}: {error.strerror}."
        return f"{where} Check the path and its permissions, or choose another ({more})."
    return f"unexpected {kind}: {error} ({more})" if str(error) else f"unexpected {kind} ({more})"
