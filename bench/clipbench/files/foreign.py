"""Files of strangers, read so that none hangs a command or fills its memory.

A name may be a pipe that nobody writes to, a device without an end, or a file that claims or holds
more than anything of its kind. What is read as a whole is a regular file of bounded size, and JSON
that every reader takes for the same, nested no deeper than a person could follow.
"""

from __future__ import annotations

import errno
import gc
import io
import json
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from clipbench.system.descriptors import opened

MOST_BYTES = 1 << 27  # of a file of JSON: the manifest of a million shards has as many
MOST_DEPTH = 64
# Of the parts of a pair. No training picture, caption or key has more, and what has is left out
# or refused: an endless word is tokenized for minutes, a long key makes all of an index wide.
MOST_IMAGE = 1 << 28
MOST_CAPTION = 1 << 16
MOST_SIDECAR = 1 << 22
MOST_KEY = 1 << 10
_AT_ONCE = 1 << 20
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@contextmanager
def nothing_collected() -> Iterator[None]:
    """Look for no garbage while many small parts are read.

    There is none, and each look goes through all objects of the process: seconds in a large one.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class TooLarge(ValueError):
    """A file holds more than anything of its kind does."""


@contextmanager
def opened_regular(path: Path) -> Iterator[io.BufferedReader]:
    """Open a regular file for reading, at once or not at all.

    Raises:
        OSError: it can't be opened; ``EINVAL`` where it is no regular file.
    """
    refuse_special(path.stat(), path)  # before it is opened: some devices act on that
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    descriptor = opened(lambda: os.open(path, flags))
    with os.fdopen(descriptor, "rb") as file:
        refuse_special(os.fstat(file.fileno()), path)
        yield file


def refuse_special(status: os.stat_result, path: Path) -> None:
    """Refuse what is no regular file.

    Raises:
        OSError: ``EINVAL``; it is a pipe, a device, a folder.
    """
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for test, name in _KINDS if test(status.st_mode)), "something else")
        raise OSError(errno.EINVAL, f"it is {kind}, not a file", str(path))


def read_regular(path: Path, most: int = MOST_BYTES) -> bytes:
    """Return what a regular file holds.

    Raises:
        OSError: it can't be read now, or is no regular file.
        TooLarge: it has more than `most` bytes.
    """
    blocks: list[bytes] = []
    with opened_regular(path) as file:
        left = most if os.fstat(file.fileno()).st_size <= most else -1
        while left >= 0 and (block := _block(file)):
            blocks.append(block)
            left -= len(block)
    if left < 0:
        raise TooLarge(f"it has more than the {most:,} bytes that are read")
    return b"".join(blocks)


def _block(file: io.BufferedReader) -> bytes:
    """Return what comes next; of what would be waited for, as in /proc, that nothing does."""
    block = file.read1(_AT_ONCE)
    if block is None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return block


def parsed(content: bytes | str) -> Any:
    """Return what a JSON text says; NaN, or a name given twice, is no JSON here.

    Raises:
        ValueError: it is no JSON, or nested too deeply.
    """
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        value = json.loads(
            text, parse_constant=_refused, parse_float=_finite, object_pairs_hook=_unique
        )
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    check_depth(value)
    return value


def check_depth(value: object) -> None:
    """Refuse a value nested deeper than `MOST_DEPTH`, over which later steps could stumble.

    Raises:
        ValueError: it is.
    """
    level = [value]
    for _ in range(MOST_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise ValueError("it is nested too deeply")


def _refused(token: str) -> NoReturn:
    raise ValueError(f"{token} is not a JSON number")


def _finite(token: str) -> float:
    number = float(token)
    return number if math.isfinite(number) else _refused(token)  # 1e999 is JSON, and no number


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"it has {twice[:60]!r} twice")
    return found
