"""How many files a process may hold open, and how it keeps within that however many shards."""

from __future__ import annotations

import contextlib
import resource

_ENOUGH = 1 << 16  # more than this helps nobody, and some programs close as many as they may open
_MACOS = 10_240  # what macOS allows where it says that there is no limit


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
