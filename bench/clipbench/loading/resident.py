"""The squares of a set on the GPU that trains on them: a batch asks for numbers, not for pixels.

A million squares of 32 pixels are 3 GB. They are the bytes that the cache keeps, and views are made
of them as of a batch that the processor read, so that where they lie changes no bit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from clipbench.contracts import IntArray
from clipbench.loading.decoded import DecodedImages
from clipbench.loading.pairs import ImageStore

MOST = 1 / 3  # of the memory that is free before training; the rest is the model's
_AT_ONCE = 1 << 26  # bytes that are brought at once


class ResidentSquares:
    """The images of a set in the memory of a GPU; an `ImageStore` besides.

    Args:
        images: the set as it is kept.
        size: S, side of its squares.
        device: where they go.
    """

    def __init__(self, images: ImageStore, size: int, device: torch.device) -> None:
        self._images, self.image_size = images, size
        shape = (len(images), size, size, 3)
        self._pixels = torch.empty(shape, dtype=torch.uint8, device=device)
        step = max(1, _AT_ONCE // (size * size * 3))
        for start in range(0, len(images), step):
            numbers = np.arange(start, min(start + step, len(images)), dtype=np.int64)
            part = torch.from_numpy(images.gather(numbers))
            self._pixels[start : start + len(part)].copy_(part)

    def __len__(self) -> int:
        return len(self._images)

    def gather(self, indices: IntArray) -> npt.NDArray[np.uint8]:
        """Return images, ``(B, S, S, 3)``, as they are kept."""
        return self._images.gather(indices)

    def at(self, numbers: Tensor) -> Tensor:
        """Return images, ``(B, 3, S, S)`` uint8 on the device, of ``(B,)`` numbers there."""
        return self._pixels[numbers].permute(0, 3, 1, 2)


def resident(images: DecodedImages, device: torch.device) -> ImageStore:
    """Return decoded images on a GPU that has room for them, else as they are."""
    if device.type != "cuda":
        return images
    free, _ = torch.cuda.mem_get_info(device)
    if images.nbytes > free * MOST:
        return images
    return ResidentSquares(images, images.image_size, device)
