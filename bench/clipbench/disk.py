"""Tells a full disk from other failures, however deep a library has buried it."""

from __future__ import annotations

import errno

# EFBIG: a limit on the size of files, as `ulimit -f` and some file systems set it.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def is_full(error: BaseException) -> bool:
    """Tell whether `error` says that a disk, a quota or a file-size limit is used up."""
    if not isinstance(error, OSError):
        return False
    if error.errno is None:  # numpy's words for a write that was cut short
        return "requested and" in str(error) and "written" in str(error)
    return error.errno in _NO_ROOM


def full_disk(error: BaseException | None) -> OSError | None:
    """Return the error of a full disk that `error` is or was caused by, or None."""
    while error is not None:
        if isinstance(error, OSError) and is_full(error):
            return error
        error = error.__cause__ or error.__context__
    return None
