"""How many files a process may hold open, and how it keeps within that however many shards."""

from __future__ import annotations

import contextlib
import errno
import resource
import weakref
from collections.abc import Callable
from typing import Protocol, TypeVar

_ENOUGH = 1 << 16  # more than this helps nobody, and some programs close as many as they may open
_MACOS = 10_240  # what macOS allows where it says that there is no limit
Opened = TypeVar("Opened")


class Holder(Protocol):
    """Holds files open that it can open again."""

    def let_go(self) -> None:
        """Close them."""


_holders: weakref.WeakSet[Holder] = weakref.WeakSet()


def raise_limit() -> None:
    """Let this process, and those it starts, hold as many files open as the system allows it to."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (_ENOUGH, _MACOS):
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft == resource.RLIM_INFINITY or most <= soft:
            return
        with contextlib.suppress(ValueError, OSError):  # it stays as it was, and is kept within
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            return


def share(part: int, most: int) -> int:
    """Return how many files one owner may hold open: a part of all, and at least a few.

    Args:
        part: the owner gets one `part`-th of what the process may hold.
        most: more than this it does not need.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if soft == resource.RLIM_INFINITY else max(8, min(most, soft // part))


def register(holder: Holder) -> None:
    """Have `holder` asked to let go of its files when there are too many."""
    _holders.add(holder)


def opened(open_one: Callable[[], Opened]) -> Opened:
    """Return what `open_one` opens; where too many files are open, after others were let go.

    Raises:
        OSError: it can't be opened.
    """
    try:
        return open_one()
    except OSError as error:
        if error.errno not in {errno.EMFILE, errno.ENFILE}:
            raise
    for holder in list(_holders):
        holder.let_go()
    return open_one()
