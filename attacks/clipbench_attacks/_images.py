"""Views of image sequences that choose, change or join images on access."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

import numpy as np

from clipbench.contracts import Image, IntArray


class ImageView(Sequence[Image]):
    """Some images of a sequence, each passed through a function on access and not kept.

    Args:
        images: the images chosen from.
        numbers: ``(M,)`` positions in `images`, in the order of the view.
        change: applied to each image; None leaves it as it is.
    """

    def __init__(
        self,
        images: Sequence[Image],
        numbers: IntArray,
        change: Callable[[Image], Image] | None = None,
    ) -> None:
        self._images = images
        self._numbers = np.asarray(numbers, dtype=np.int64)
        self._change = change

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> ImageView: ...
    def __getitem__(self, index: int | slice) -> Image | ImageView:
        if isinstance(index, slice):
            return ImageView(self._images, self._numbers[index], self._change)
        image = self._images[int(self._numbers[index])]
        return image if self._change is None else self._change(image)


class Joined(Sequence[Image]):
    """Several sequences of images as one; nothing is kept in memory.

    Args:
        parts: the sequences.
    """

    def __init__(self, parts: Sequence[Sequence[Image]]) -> None:
        self._parts = parts
        self._ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> list[Image]: ...
    def __getitem__(self, index: int | slice) -> Image | list[Image]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(index)
        part = int(np.searchsorted(self._ends, position, side="right"))
        return self._parts[part][position - int(self._ends[part]) + len(self._parts[part])]
