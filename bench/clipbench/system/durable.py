"""The one way in which files are written: whole or not there, also after a power cut.

A file is written under a name of its own, its bytes are brought to the disk, it gets its name, and
that is brought to the disk, too. What it replaces, or makes superfluous, is dropped only then. What
is kept in a folder that is renamed when it is finished is brought there with it, and not file by
file; nor is what is only a memory and is looked at before it is believed.

What a killed process leaves carries its owner, see `clipbench.system.owners`, and goes when anybody
next writes there.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from clipbench.errors import ClipbenchError
from clipbench.system.disk import full_disk, is_full, no_space, unwritable
from clipbench.system.owners import Owner, this_process

_NOT_SYNCED = frozenset({errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EROFS})
_MOST_NAME = 160  # bytes of a name that are kept in that of its unfinished file
_SCRATCH = "clipbench-"
_numbers = itertools.count()
_scratch: list[Path] = []  # scratch folders of this process: no power cut needs to be survived
_swept: set[tuple[int, Path]] = set()  # processes and the folders they have cleared


@contextmanager
def atomic_file(path: Path, needed: int | None = None, *, sync: bool = True) -> Iterator[IO[bytes]]:
    """Open a file that appears under `path` only when it is whole.

    Args:
        path: final name; an older file of that name is replaced.
        needed: bytes that shall be written, for the message of a full disk.
        sync: whether it is on the disk when this ends. Not needed where `publish` follows, or where
            whoever reads the file finds out that it is torn, and makes it again.

    Raises:
        MissingData: the folder can't be written.
        ClipbenchError: the disk is full, or does not take it; nothing is left behind.
    """
    _sweep(path.parent)
    temporary = unfinished(path)
    sync = sync and not _is_scratch(path)
    try:
        with temporary.open("wb") as file:
            yield file
            if sync:
                file.flush()
                _sync(file.fileno(), path)
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):  # it goes with the next command
            temporary.unlink()
        if full_disk(error) is not None and not isinstance(error, ClipbenchError):
            raise no_space(path, needed) from error
        if isinstance(error, OSError) and error.filename in (str(temporary), temporary):
            raise unwritable(path.parent, error) from error
        raise
    if sync:
        sync_folder(path.parent)


def make_once(path: Path, content: bytes) -> bool:
    """Write a file for its owner's eyes alone, unless there is one of that name.

    Returns:
        Whether this process made it.
    """
    temporary = unfinished(path)
    try:
        _write_new(temporary, content)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError:  # no links on this file system
            try:
                _write_new(path, content)
            except FileExistsError:
                return False
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return True


def _write_new(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        _sync(file.fileno(), path)


def unfinished(path: Path) -> Path:
    """Return a name for what shall become `path`, which tells whose it is; never the same twice."""
    # Not as UTF-8: a locale without it could not name what it made of other characters.
    short = os.fsencode(path.name)[:_MOST_NAME]
    name = short.decode(sys.getfilesystemencoding(), errors="ignore")
    return path.with_name(f".{name}.{this_process()}-{next(_numbers)}.tmp")


def publish(fresh: Path, folder: Path) -> None:
    """Give a finished folder its name, with everything in it on the disk."""
    sync = not _is_scratch(folder)
    if sync:
        sync_tree(fresh)
    fresh.rename(folder)
    if sync:
        sync_folder(folder.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        MissingData: it can't be made.
        ClipbenchError: the disk is full.
    """
    try:
        above = (folder, *folder.parents)
        missing = [*itertools.takewhile(lambda place: not place.exists(), above)]
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if is_full(error):
            raise no_space(folder, None) from error
        raise unwritable(folder, error) from error
    for made in missing:
        sync_folder(made.parent)


def sync_tree(folder: Path) -> None:
    """Bring all files in a folder to the disk, and their names."""
    for place, _, names in os.walk(folder, onerror=_raise):
        for name in names:
            file = Path(place, name)
            if stat.S_ISREG(file.lstat().st_mode):
                _sync_path(file)
        _sync_path(Path(place))


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    with contextlib.suppress(FileNotFoundError, PermissionError):  # one may write and not read it
        _sync_path(folder)


def _sync_path(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        _sync(handle, path)
    finally:
        os.close(handle)


def _sync(handle: int, path: Path) -> None:
    """Bring an open file to the disk, on file systems that can.

    Raises:
        ClipbenchError: the disk does not take it, so that nobody knows what of it is there.
        OSError: it is full.
    """
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno in _NOT_SYNCED:
            return
        if is_full(error):
            raise
        raise ClipbenchError(
            f"{path} could not be brought to the disk ({error.strerror}). Look after the disk, or"
            " choose another folder, then run the same command again."
        ) from error


def _raise(error: OSError) -> None:
    raise error


# ------------------------------------------------------------------------- what was left


def clear_leftovers(folder: Path) -> None:
    """Remove what killed processes left unfinished in a folder, and nothing of those at work."""
    with contextlib.suppress(OSError):  # it can't be listed: whoever writes there says so
        for entry in [*os.scandir(folder)]:
            if entry.name.startswith(".") and entry.name.endswith(".tmp"):
                _remove_abandoned(Path(entry.path))


@contextmanager
def scratch_folder(kind: str, place: Path | None = None) -> Iterator[Path]:
    """Give a folder for a while; those that killed processes left there go.

    Args:
        kind: what it is for, a word.
        place: where it is made; None: where the system keeps such folders.
    """
    home = Path(tempfile.gettempdir()) if place is None else place
    clear_scratch(home)
    folder = Path(tempfile.mkdtemp("", f"{_SCRATCH}{kind}-{this_process()}-", home))
    _scratch.append(folder)
    try:
        yield folder
    finally:
        _scratch.remove(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _is_scratch(path: Path) -> bool:
    return any(folder in path.parents for folder in _scratch)


def clear_scratch(home: Path | None = None) -> None:
    """Remove the scratch folders of processes that are gone."""
    place = Path(tempfile.gettempdir()) if home is None else home
    with contextlib.suppress(OSError):
        for entry in [*os.scandir(place)]:
            if entry.name.startswith(_SCRATCH):
                _remove_abandoned(Path(entry.path))


def _sweep(folder: Path) -> None:
    """Clear a folder, once in a process."""
    mark = (os.getpid(), folder)
    if mark not in _swept:
        _swept.add(mark)
        clear_leftovers(folder)


def _remove_abandoned(path: Path) -> None:
    """Remove a file or folder whose name says that its owner is gone."""
    owner = Owner.found_in(path.name)
    if owner is None:
        return
    with contextlib.suppress(OSError):  # finished or removed by another process just now
        status = path.lstat()
        if not owner.is_gone(status.st_mtime):
            return
        if stat.S_ISDIR(status.st_mode):
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
