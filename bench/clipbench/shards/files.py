"""JSON files, hashes of files, links to them, and folders held against other processes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clipbench.contracts import Progress, no_progress
from clipbench.descriptors import opened
from clipbench.disk import is_full, no_space
from clipbench.durable import atomic_file, make_folder
from clipbench.errors import CorruptData, MissingData, Torn
from clipbench.foreign import parsed, read_regular

_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS})
_CHUNK = 1 << 22
_REMEDY = "Remove the set it belongs to, then write it again."


def is_vacant(folder: Path) -> bool:
    """Tell whether a folder can be made here: nothing is there, or an empty folder."""
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def write_json(path: Path, value: Any, indent: int | None = 1, *, sync: bool = True) -> None:
    """Write `value` as JSON as `atomic_file` does; the same value gives the same bytes."""
    text = json.dumps(value, indent=indent, allow_nan=False) + "\n"
    with atomic_file(path, len(text), sync=sync) as file:
        file.write(text.encode())


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`.

    Raises:
        MissingData: there is no such file.
        CorruptData: it holds no JSON object.
    """
    try:
        value = parsed(read_regular(path))
    except FileNotFoundError as error:
        raise MissingData(f"There is no file {path}; check the path.") from error
    except OSError as error:
        raise MissingData(f"{path} can't be read: {error.strerror}.") from error
    except ValueError as error:
        raise Torn(f"{path} is not valid JSON ({error}). {_REMEDY}") from error
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
