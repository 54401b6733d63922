"""Poisons as they come from an attack, their images waiting on disk instead of in memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from clipbench.contracts import Image, Poison
from clipbench.errors import ClipbenchError
from clipbench.system.disk import is_full, no_space
from clipbench.system.durable import unfinished


@dataclass(frozen=True)
class Kept:
    """A poison whose image, ``shape`` high and wide, waits in a spool."""

    caption: str
    base: int | None
    target: int
    role: str
    offset: int
    shape: tuple[int, int]


class Spool:
    """A file of images; it is gone when closed, or when anybody next writes into the folder.

    Other processes, and machines that see the folder, read it by what it pickles to.
    """

    def __init__(self, folder: Path) -> None:
        self._path = unfinished(folder / "spool")
        self._file = self._path.open("xb+", buffering=0)
        self._size = 0

    def put(self, poison: Poison) -> Kept:
        """Store the image of a poison and return the rest.

        Raises:
            ClipbenchError: the image is not ``(H, W, 3)`` uint8, or the disk is full.
        """
        image = poison.image
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ClipbenchError(
                f"The attack made an image of shape {image.shape} and type {image.dtype}; "
                "it must make (H, W, 3) uint8."
            )
        try:
            left = memoryview(image.tobytes())
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            if is_full(error):
                raise no_space(self._path, image.nbytes) from error
            raise
        offset, self._size = self._size, self._size + image.nbytes
        shape = (image.shape[0], image.shape[1])
        return Kept(poison.caption, poison.base, poison.target, poison.role, offset, shape)

    def get(self, kept: Kept) -> Image:
        """Return the image of a poison, ``(H, W, 3)`` uint8."""
        height, width = kept.shape
        with self._path.open("rb", buffering=0) as file:
            content = os.pread(file.fileno(), height * width * 3, kept.offset)
        if len(content) != height * width * 3:
            raise ClipbenchError(
                f"{self._path} is cut off where poisons are read; start the same command again."
            )
        return np.frombuffer(content, np.uint8).reshape(height, width, 3)

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def __getstate__(self) -> dict[str, object]:
        os.fsync(self._file.fileno())  # before another machine reads it from a shared disk
        return {"_path": self._path}  # elsewhere it is only read
