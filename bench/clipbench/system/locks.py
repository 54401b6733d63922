"""Folders held by one process against others, so that no two commands write into one at once.

The system's lock lies on the folder itself: it leaves no file, and ends with the process however
that ends. A file system without such locks gets a file beside the folder, which says who holds it.
That goes with its owner, too: on this machine as soon as that process is gone; on another one when
its owner has not touched it for minutes.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from clipbench.contracts import Progress, no_progress
from clipbench.system.durable import make_folder, make_once
from clipbench.system.owners import Owner, this_process

LOOK_EVERY_S = 0.2
TOUCH_EVERY_S = 20.0
SILENT_S = 300.0  # a holder on another machine that has not touched its file for so long is gone
NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS})
_seen: dict[Path, tuple[int, float]] = {}  # files of others: when touched, and since when seen so


class Held:
    """A folder that this process holds until it lets go or ends.

    Args:
        handle: the open folder, where the system locks it.
        file: the file beside it, where the system does not.
    """

    def __init__(self, handle: int | None, file: Path | None = None) -> None:
        self._handle, self._file = handle, file
        self._ended = threading.Event()
        if file is not None:
            threading.Thread(target=self._touch, args=(file,), daemon=True).start()

    def _touch(self, file: Path) -> None:
        """Show other machines that this process is at work."""
        while not self._ended.wait(TOUCH_EVERY_S):
            with suppress(OSError):
                os.utime(file)

    def is_of(self, folder: Path) -> bool:
        """Return whether it holds what lies there now: a holder may rename or remove its folder."""
        if self._handle is None:
            make_folder(folder)
            return True
        try:
            return os.path.samestat(os.fstat(self._handle), folder.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let go."""
        self._ended.set()
        if self._handle is not None:
            os.close(self._handle)
        elif self._file is not None and _holder(self._file) == this_process():
            self._file.unlink(missing_ok=True)


@contextmanager
def locked_folder(folder: Path, progress: Progress = no_progress) -> Iterator[None]:
    """Make `folder` and hold it against other processes that do the same.

    The holder may rename or remove the folder; who waited for it then gets a new one.
    """
    told = False
    while True:
        held = try_folder(folder)
        if held is None:
            if not told:
                progress(f"waiting for the process that writes {folder}", 0, 1)
            told = True
            time.sleep(LOOK_EVERY_S)
            continue
        try:
            if held.is_of(folder):
                yield
                return
        finally:
            held.release()


def try_folder(folder: Path) -> Held | None:
    """Make `folder` and try to hold it as `locked_folder` does, without waiting.

    Returns:
        What holds the folder until it is released; None: another process holds it.
    """
    while True:
        make_folder(folder)
        with suppress(FileNotFoundError):  # removed by its holder between the two calls
            return _try_system(folder)


def _try_system(folder: Path) -> Held | None:
    import fcntl  # noqa: PLC0415  (POSIX only)

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError as error:
        os.close(handle)
        if error.errno not in NO_LOCKS:
            raise
        return _try_file(folder)
    return Held(handle)


def _try_file(folder: Path) -> Held | None:
    """Hold a folder by a file beside it; take over one whose owner is gone."""
    file = folder.with_name(f".{folder.name}.lock")
    if make_once(file, str(this_process()).encode()):
        return Held(None, file)
    if not _is_abandoned(file):
        return None
    # One takes it away, however many find it abandoned: they hold this file one after the other.
    breaking = file.with_name(f"{file.name}.old")
    if not make_once(breaking, b""):
        with suppress(OSError):
            if time.time() - breaking.stat().st_mtime > SILENT_S:  # killed between the two
                breaking.unlink()
        return None
    try:
        if _is_abandoned(file):
            file.unlink(missing_ok=True)
    finally:
        breaking.unlink(missing_ok=True)
    return Held(None, file) if make_once(file, str(this_process()).encode()) else None


def _is_abandoned(file: Path) -> bool:
    """Return whether whoever made a file to hold a folder is gone."""
    try:
        owner, touched = _holder(file), file.stat().st_mtime_ns
    except OSError:  # just let go
        return False
    alive = None if owner is None else owner.is_alive()
    if alive is not None:
        return not alive
    # Clocks of machines differ: what counts is for how long nothing has changed, seen from here.
    now = time.monotonic()
    before, since = _seen.get(file, (-1, now))
    if before != touched:
        _seen[file] = (touched, now)
        return False
    return now - since > SILENT_S


def _holder(file: Path) -> Owner | None:
    try:
        return Owner.found_in(file.read_text(errors="replace"))
    except OSError:
        return None
