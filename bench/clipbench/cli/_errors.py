"""Every error as one line on standard error, and the exit status that goes with it."""

from __future__ import annotations

import errno
import os
import sys
import traceback

import click

from clipbench.errors import ClipbenchError

FAILED = 1
INTERRUPTED = 130  # 128 + SIGINT, what shells expect

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


def report(error: BaseException, *, show_traceback: bool) -> int:
    """Print an error as one line and return the exit status.

    Args:
        error: what ended the command.
        show_traceback: whether to print where it came from, too.
    """
    if isinstance(error, BrokenPipeError):
        _drop_output()
        return FAILED
    if show_traceback:
        traceback.print_exception(error)
    message, status = _explain(error)
    print(f"clipbench: error: {' '.join(message.split())}", file=sys.stderr)
    return status


def _explain(error: BaseException) -> tuple[str, int]:
    """Return what to tell a person, and the exit status."""
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return "interrupted; the same command goes on where this one stopped.", INTERRUPTED
    if isinstance(error, ClipbenchError):
        return str(error), error.exit_status
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        hint = f" Try '{context.command_path} --help'." if context else ""
        return error.format_message() + hint, error.exit_code
    full = _disk_full(error)
    if full is not None:
        where = f" at {full.filename}" if full.filename else ""
        advice = "Free some space, or choose another folder with --cache or --out"
        return f"no space left{where}. {advice}, then run the same command again.", FAILED
    kind = type(error).__name__
    if kind in ("MemoryError", "OutOfMemoryError"):
        return (
            f"out of memory ({str(error) or kind}). Choose a smaller --batch-size or model.",
            FAILED,
        )
    reason = f"{kind}: {error}" if str(error) else kind
    return f"unexpected {reason} (clipbench --traceback ... shows where it came from)", FAILED


def _disk_full(error: BaseException | None) -> OSError | None:
    """Return the error of a full disk that `error` is or was caused by."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            return error
        error = error.__cause__ or error.__context__
    return None


def _drop_output() -> None:
    """Send the rest of the output nowhere: whoever read it has gone, e.g. ``head``."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
