"""Who is at work on a file or a folder: told by its name, so that nobody removes what is in use.

A name alone says it, so that it holds where nothing can be locked and on folders that several
machines share. It holds a hash of the machine and of when it was started, the number of the process
and when that was started: numbers of processes come again.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path

ABANDONED_S = 24 * 3600.0  # since the last write, of a process that can't be looked at from here
_DIGITS = 6  # of each hash
_TEXT = re.compile(rf"([0-9a-f]{{{_DIGITS}}})([0-9a-f]{{{_DIGITS}}})-(\d+)-(\d+)")


@dataclass(frozen=True)
class Owner:
    """A process.

    Args:
        host: hash of its machine, and of its container where it is in one.
        boot: hash of when that was started.
        pid: its number.
        born: when it was started, in ticks of its machine; 0: that is not known.
    """

    host: str
    boot: str
    pid: int
    born: int

    def __str__(self) -> str:
        return f"{self.host}{self.boot}-{self.pid}-{self.born}"

    @classmethod
    def found_in(cls, text: str) -> Owner | None:
        """Return the owner that a name or a text holds; None: it holds none."""
        found = _TEXT.search(text)
        return found and cls(found[1], found[2], int(found[3]), int(found[4]))

    def is_alive(self) -> bool | None:
        """Return whether the process is alive; None: it is, or was, on another machine."""
        if (self.host, self.boot) != _machine():
            return None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # another user's
            pass
        state, born = _process(self.pid)
        return state not in ("Z", "X") and born in (self.born, 0)

    def is_gone(self, written: float) -> bool:
        """Return whether the process has left what it last wrote at `written`, a time of a file."""
        alive = self.is_alive()
        if alive is not None:
            return not alive
        if self.host == _machine()[0] and 0 < written < _booted():  # lost with the power
            return True
        return time.time() - written > ABANDONED_S


def this_process() -> Owner:
    """Return the owner that this process is."""
    return Owner(*_machine(), os.getpid(), _process(os.getpid())[1])


def _machine() -> tuple[str, str]:
    """Return the hashes of this machine and of when it was started."""
    return _hash(f"{socket.gethostname()} {_link('/proc/self/ns/pid')}"), _hash(_boot())


def _boot() -> str:
    """Return what this start of the machine is called; empty: that is not known."""
    try:
        return _read_boot()
    except OSError:  # no such system, or no file can be opened now: it is tried again
        return ""


@functools.cache
def _read_boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8", errors="replace")


def _booted() -> float:
    """Return when this machine was started, as a time of files; 0: that is not known."""
    found = re.search(r"^btime (\d+)", _text("/proc/stat"), re.MULTILINE)
    return float(found[1]) if found else 0.0


def _process(pid: int) -> tuple[str, int]:
    """Return a process's state, a letter, and when it was started; empty and 0: not known."""
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (fields[0], int(fields[19])) if len(fields) > 19 else ("", 0)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:_DIGITS]


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:  # no such system
        return ""


def _link(path: str) -> str:
    try:
        return str(Path(path).readlink())
    except OSError:
        return ""
