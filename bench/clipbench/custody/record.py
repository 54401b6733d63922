"""One line of the log for each command that makes or judges data: what went in, what came out."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from clipbench import __version__
from clipbench.custody import log
from clipbench.files.json_files import sha256_file
from clipbench.system.versions import version_of

_PACKAGES = ("torch", "open_clip_torch", "numpy")  # whose version may decide a number


_current: ContextVar[Record | None] = ContextVar("record", default=None)


@dataclass
class Record:
    """What is noted while a command works.

    Args:
        used: hash of everything that went in, by what it is.
        made: hash of everything that came out, by what it is; for a judgment, what was found.
    """

    used: dict[str, str] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)


def note_used(what: str, sha256: str) -> None:
    """Note the hash of something that went into the work, if there is a log of it."""
    record = _current.get()
    if record is not None:
        record.used[what] = sha256


def note_made(what: str, found: str) -> None:
    """Note the hash of something that came out, or what a judgment found, if there is a log."""
    record = _current.get()
    if record is not None:
        record.made[what] = found


def note_file(path: Path) -> None:
    """Note a file that came out, if there is a log."""
    if _current.get() is not None:
        note_made(path.name, sha256_file(path))


@contextmanager
def recorded(path: Path | None, command: str, settings: Mapping[str, object]) -> Iterator[None]:
    """Add a line to the log when the work inside ends, whether it was done or failed.

    Work that fails before there is a folder for the log leaves none, nor does a command that finds
    everything done.

    Args:
        path: the log; None: none is kept.
        command: which does the work.
        settings: that decide it; what JSON can hold.
    """
    if path is None:
        yield
        return
    record = Record()
    outcome = "interrupted"
    before = _current.set(record)
    try:
        yield
        outcome = "done"
    except Exception as error:
        outcome = f"failed: {' '.join(str(error).split())[:300] or type(error).__name__}"
        raise
    finally:
        _current.reset(before)
        if record.made if outcome == "done" else path.parent.is_dir():
            log.append(path, _entry(command, outcome, settings, record))


def _entry(
    command: str, outcome: str, settings: Mapping[str, object], record: Record
) -> dict[str, object]:
    versions = {name: version_of(name) for name in _PACKAGES}
    return {
        "command": command,
        "outcome": outcome,
        "settings": dict(settings),
        "used": record.used,
        "made": record.made,
        "versions": {"clipbench": __version__, "python": platform.python_version(), **versions},
    }
