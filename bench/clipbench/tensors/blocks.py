"""Arrays of images in files, with a checksum for every block of them, looked at at its first use.

A file is NumPy's header, the pixels, and behind them what NumPy does not read: the CRC-32 of each
block, and one of all that is no pixel. A block is a few images, about as much as a disk reads at
once, so that the look at it costs no reading, and a hundredth of what training on it takes.
"""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from clipbench.system.descriptors import opened

_BLOCK = 1 << 16  # bytes, unless an image has more
_MAGIC = b"clipbench-crc32-1\n"
_SUM = np.dtype("<u4")
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class BlockFile:
    """A file of square images.

    Args:
        path: the file.
        count: N, how many there are.
        size: S, their side in pixels.
    """

    path: Path
    count: int
    size: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``(N, S, S, 3)``."""
        return self.count, self.size, self.size, 3

    @property
    def per_block(self) -> int:
        """Images of a block, but for the last."""
        return max(1, _BLOCK // (self.size * self.size * 3))

    @property
    def num_blocks(self) -> int:
        """Blocks of the file."""
        return -(-self.count // self.per_block)

    @property
    def nbytes(self) -> int:
        """Bytes of the whole file."""
        sums = (self.num_blocks + 1) * _SUM.itemsize
        return len(self._head) + math.prod(self.shape) + sums + len(_MAGIC)

    @property
    def _head(self) -> bytes:
        head = io.BytesIO()
        kind = np.lib.format.dtype_to_descr(np.dtype(np.uint8))
        content = {"descr": kind, "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(head, content)
        return head.getvalue()

    def write(self, file: IO[bytes], parts: Iterable[Pixels]) -> None:
        """Write all images, given in parts of whole blocks, but for the last.

        Args:
            file: where to.
            parts: each ``(n, S, S, 3)``.
        """
        head, sums = self._head, list[int]()
        file.write(head)
        for part in parts:
            for first in range(0, len(part), self.per_block):
                sums.append(zlib.crc32(part[first : first + self.per_block].data))
            file.write(part.data)
        table = np.array(sums, _SUM).tobytes()
        assert len(sums) == self.num_blocks
        file.write(table + zlib.crc32(table, zlib.crc32(head)).to_bytes(4, "little") + _MAGIC)

    def sums(self) -> npt.NDArray[np.uint32] | None:
        """Return the checksum of every block; None: the file is not one of these, or not whole.

        Raises:
            OSError: it is not there, or can't be read.
        """
        head = self._head
        with opened(lambda: self.path.open("rb")) as file:
            if file.seek(0, 2) != self.nbytes:
                return None
            file.seek(0)
            found = file.read(len(head))
            file.seek(math.prod(self.shape), 1)
            rest = file.read()
        table, last = rest[: -4 - len(_MAGIC)], rest[-4 - len(_MAGIC) : -len(_MAGIC)]
        whole = zlib.crc32(table, zlib.crc32(head)).to_bytes(4, "little") == last
        if found != head or not whole or not rest.endswith(_MAGIC):
            return None
        return np.frombuffer(table, _SUM)

    def mapped(self) -> Pixels:
        """Map the images into memory, ``(N, S, S, 3)``; a mapping keeps the file open."""
        head, shape = len(self._head), self.shape
        return opened(lambda: np.memmap(self.path, np.uint8, "r", head, shape)).view(np.ndarray)

    def is_sound(self, pixels: Pixels, block: int, told: int) -> bool:
        """Return whether a block of mapped images is as it was written.

        Args:
            pixels: what `mapped` returned.
            block: its number.
            told: its checksum, out of `sums`.
        """
        first = block * self.per_block
        return zlib.crc32(pixels[first : first + self.per_block].data) == told
