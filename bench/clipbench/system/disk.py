"""Disks that are full or refuse: told from other failures, and said in plain words."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from clipbench.errors import ClipbenchError, MissingData

# EFBIG: a limit on the size of files, as `ulimit -f` and some file systems set it.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_PASSING = frozenset(
    {errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ETIMEDOUT}
)


def is_full(error: BaseException) -> bool:
    """Return whether `error` says that a disk, a quota or a file-size limit is used up."""
    if not isinstance(error, OSError):
        return False
    if error.errno is None:  # numpy's words for a write that was cut short
        return "requested and" in str(error) and "written" in str(error)
    return error.errno in _NO_ROOM


def may_pass(error: OSError) -> bool:
    """Return whether a file may be readable in a moment: the error is no word on what it holds."""
    return error.errno in _PASSING


def way_out(error: OSError) -> str:
    """Return what to do about a file that could not be written, as a clause."""
    if is_full(error):
        return "free some space or choose another folder"
    ways = {
        errno.EACCES: "choose a folder you may write to, or change its permissions",
        errno.EPERM: "choose a folder you may write to, or change its permissions",
        errno.EROFS: "choose a folder on a disk that can be written to",
        errno.ENAMETOOLONG: "choose a shorter name",
        errno.EISDIR: "a folder has that name; choose another name",
        errno.ENOTDIR: "a part of the path is a file; choose another path",
        errno.EEXIST: "a part of the path is a file; choose another path",
    }
    return ways.get(error.errno or 0, "check the path, or choose another")


def full_disk(error: BaseException | None) -> OSError | None:
    """Return the error of a full disk that `error` is or was caused by, or None."""
    while error is not None:
        if isinstance(error, OSError) and is_full(error):
            return error
        error = error.__cause__ or error.__context__
    return None


def human_bytes(size: float) -> str:
    """Return `size` bytes as a short text, e.g. ``"3.1 GB"``."""
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def unreadable(path: Path, error: BaseException) -> ClipbenchError:
    """Return the error of a file that can't be read now, which is no word on what it holds."""
    reason = getattr(error, "strerror", None) or str(error).partition("\n")[0] or "out of memory"
    return ClipbenchError(
        f"{path.resolve()} can't be read now ({reason.rstrip('.')}), which says nothing of what it"
        " holds. Mend that, and run the same command again."
    )


def no_space(path: Path, needed: int | None) -> ClipbenchError:
    """Return the error of a disk that is full.

    Args:
        path: the file that could not be written.
        needed: bytes still to be written, where known.
    """
    free = human_bytes(shutil.disk_usage(path.parent).free)
    want = "" if needed is None else f"about {human_bytes(needed)} more are needed, "
    return ClipbenchError(
        f"No space left to write {path}: {want}the disk has {free} free, and a quota or a limit on"
        " the size of files counts, too. Free some space or choose another folder, then run the"
        " same command again."
    )


def unwritable(folder: Path, error: OSError) -> MissingData:
    """Return the error of a folder that nothing can be written into."""
    return MissingData(f"Folder {folder} can't be written: {error.strerror}; {way_out(error)}.")
