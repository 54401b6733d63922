"""Files read by position: opened when first needed, never seeking, safe to share and to fork."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from clipbench.errors import CorruptData, MissingData
from clipbench.system.descriptors import opened, register, share

_MOST = 4_096
_PART = 16  # several sets are open at once, and torch has files of its own


class Handle:
    """A file that stays open as long as somebody holds it."""

    __slots__ = ("descriptor",)

    def __init__(self, path: Path) -> None:
        self.descriptor = -1
        self.descriptor = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)


class OpenFiles:
    """Some numbered files, of which a few thousand at most are open. Pickled without its handles.

    A random order reads each shard of a large set again and again, and on a file system of a
    cluster to open one takes longer than to read a picture.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self._open: dict[int, Handle] = {}
        self._most = share(_PART, _MOST)
        register(self)

    def let_go(self) -> None:
        """Close what nobody is reading."""
        self._open.clear()

    def handle(self, number: int) -> Handle:
        """Return an open file; hold the handle while its descriptor is in use."""
        handle = self._open.get(number)
        if handle is None:
            if len(self._open) >= self._most:
                with contextlib.suppress(KeyError):  # another thread let go of all of them
                    self._open.popitem()  # readers in other threads hold theirs
            try:
                handle = opened(lambda: Handle(self._paths[number]))
                self._open[number] = handle
            except OSError as error:
                raise MissingData(
                    f"Shard {self._paths[number]} can't be read: {error.strerror}."
                ) from error
        return handle

    def read(self, number: int, offset: int, size: int) -> bytes:
        """Return `size` bytes of a file.

        Raises:
            MissingData: the file can't be read.
            CorruptData: it has no longer that many.
        """
        handle = self.handle(number)
        try:
            content = os.pread(handle.descriptor, size, offset)
        except OSError as error:
            raise MissingData(
                f"Shard {self._paths[number]} can't be read: {error.strerror}."
            ) from error
        if len(content) != size:
            raise self.cut_off(number)
        return content

    def cut_off(self, number: int) -> CorruptData:
        """Return the error of a file that is shorter than its index says."""
        return CorruptData(
            f"Shard {self._paths[number]} is cut off: it changed while it was in use; "
            "fetch or write it again."
        )

    def __getstate__(self) -> tuple[Path, ...]:
        return self._paths

    def __setstate__(self, state: tuple[Path, ...]) -> None:
        OpenFiles.__init__(self, state)
