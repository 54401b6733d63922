"""Files that are whole or not there: atomic writes, hashes, locks, plain words for a full disk."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from clipbench.contracts import Progress, no_progress
from clipbench.descriptors import opened
from clipbench.disk import full_disk, is_full, way_out
from clipbench.errors import ClipbenchError, CorruptData, MissingData

_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS})
_CHUNK = 1 << 22
_REMEDY = "Remove the set it belongs to, then write it again."


def is_vacant(folder: Path) -> bool:
    """Tell whether a folder can be made here: nothing is there, or an empty folder."""
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def human_bytes(size: float) -> str:
    """Return `size` bytes as a short text, e.g. ``"3.1 GB"``."""
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


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


@contextmanager
def atomic_file(path: Path, needed: int | None = None) -> Iterator[IO[bytes]]:
    """Open a file that appears under `path` only when it is whole.

    Args:
        path: final name; an older file of that name is replaced.
        needed: bytes that shall be written, for the message of a full disk.

    Raises:
        MissingData: the folder can't be written.
        ClipbenchError: the disk is full; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if full_disk(error) is not None and not isinstance(error, ClipbenchError):
            raise no_space(path, needed) from error
        if isinstance(error, OSError) and error.filename in (str(temporary), temporary):
            raise unwritable(path.parent, error) from error
        raise


def clear_leftovers(folder: Path, older_than_s: float = 0.0) -> None:
    """Remove unfinished files that killed processes left in `folder`.

    Args:
        folder: where `atomic_file` was used.
        older_than_s: seconds since the last write; 0 where no other process can be writing.
    """
    now = time.time()
    for path in folder.glob(".*.tmp"):
        try:
            if now - path.stat().st_mtime >= older_than_s:
                path.unlink()
        except FileNotFoundError:  # finished or removed by another process just now
            continue


def write_json(path: Path, value: Any, indent: int | None = 1) -> None:
    """Write `value` as JSON, atomically; the same value gives the same bytes."""
    text = json.dumps(value, indent=indent, allow_nan=False) + "\n"
    with atomic_file(path, len(text)) as file:
        file.write(text.encode())


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`.

    Raises:
        MissingData: there is no such file.
        CorruptData: it holds no JSON object.
    """
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise MissingData(f"There is no file {path}; check the path.") from error
    except OSError as error:
        raise MissingData(f"{path} can't be read: {error.strerror}.") from error
    except ValueError as error:
        raise CorruptData(f"{path} is not valid JSON ({error}). {_REMEDY}") from error
    if not isinstance(value, dict):
        raise CorruptData(f"{path} holds no JSON object. {_REMEDY}")
    return value


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file in hex; its memory use does not grow with the file."""
    digest = hashlib.sha256()
    try:
        with opened(lambda: path.open("rb", buffering=0)) as file:
            while block := file.read(_CHUNK):
                digest.update(block)
    except OSError as error:
        raise MissingData(f"Shard {path} can't be read: {error.strerror}.") from error
    return digest.hexdigest()


def link_or_copy(source: Path, target: Path) -> None:
    """Give `target` the bytes and times of `source`, as a hard link where the system can."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # another device, or a file system without links
        try:
            shutil.copy2(source, target)
        except OSError as error:
            target.unlink(missing_ok=True)
            if is_full(error):
                raise no_space(target, source.stat().st_size) from error
            raise


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        MissingData: it can't be made.
        ClipbenchError: the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if is_full(error):
            raise no_space(folder, None) from error
        raise unwritable(folder, error) from error


@contextmanager
def locked_folder(folder: Path, progress: Progress = no_progress) -> Iterator[None]:
    """Make `folder` and hold it against other processes that do the same.

    The lock lies on the folder itself, so it leaves no file, and ends with the process however that
    ends. The holder may rename or remove the folder; who waited for it then gets a new one.
    """
    while True:
        make_folder(folder)
        try:
            handle = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:  # removed by its holder between the two calls
            continue
        try:
            _lock(handle, folder, progress)
            if _same_folder(handle, folder):
                yield
                return
        finally:
            os.close(handle)


def try_folder(folder: Path) -> int | None:
    """Make `folder` and try to hold it as `locked_folder` does, without waiting.

    Returns:
        A handle that holds the folder until it is closed; None: another process holds it.
    """
    make_folder(folder)
    handle = os.open(folder, os.O_RDONLY)
    if _flock(handle, wait=False):
        return handle
    os.close(handle)
    return None


def _lock(handle: int, folder: Path, progress: Progress) -> None:
    if not _flock(handle, wait=False):
        progress(f"waiting for the process that writes {folder}", 0, 1)
        _flock(handle, wait=True)


def _flock(handle: int, *, wait: bool) -> bool:
    """Lock an open folder; return False if another process holds it and this one shall not wait."""
    import fcntl  # noqa: PLC0415  (POSIX only)

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:  # a file system without locks: go on without
            raise
    return True


def _same_folder(handle: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), folder.stat())
    except FileNotFoundError:
        return False
