"""Memory for pictures that is used again and again.

Fresh memory for each picture and each batch takes a sixth of a loader's time: the kernel wipes it
and hands it out page by page, to one thread at a time.
"""

from __future__ import annotations

import math
import sys
import threading

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]


class Memory:
    """Memory for one picture at a time in each thread.

    Args:
        largest: bytes that are kept; larger pictures get memory of their own, so that one of them
            does not occupy it for ever.
    """

    def __init__(self, largest: int = 1 << 25) -> None:
        self._largest = largest
        self._own = threading.local()

    def of_size(self, size: int) -> Bytes:
        """Return ``(size,)`` bytes; a thread's next call returns the same memory."""
        if size > self._largest:
            return np.empty(size, np.uint8)
        held: Bytes | None = getattr(self._own, "held", None)
        if held is None or len(held) < size:
            held = self._own.held = np.empty(size, np.uint8)
        return held[:size]


class Recycled:
    """A pool that reuses arrays once no reference to them remains.

    Args:
        most: arrays that are kept.
    """

    def __init__(self, most: int = 16) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._held: list[Bytes] = [np.empty(0, np.uint8)]
        self._unused = self._references(0)  # of an array that nobody else holds
        self._held.clear()

    def empty(self, *shape: int) -> Bytes:
        """Return an array of this shape whose content is arbitrary, and which is the caller's.

        Views of it, and tensors that share its memory, count as holding it.
        """
        size = math.prod(shape)
        with self._lock:
            for number, length in enumerate(map(len, self._held)):
                if size <= length <= 2 * size and self._is_unused(number):
                    return self._held[number][:size].reshape(shape)
            made = np.empty(size, np.uint8)
            if len(self._held) >= self._most:
                self._forget_one()
            if len(self._held) < self._most:
                self._held.append(made)
            return made[:].reshape(shape)

    def _is_unused(self, number: int) -> bool:
        return self._references(number) <= self._unused

    def _references(self, number: int) -> int:
        return sys.getrefcount(self._held[number])

    def _forget_one(self) -> None:
        """Make room where an array of another size is of no use any more."""
        for number in range(len(self._held)):
            if self._is_unused(number):
                del self._held[number]
                return
