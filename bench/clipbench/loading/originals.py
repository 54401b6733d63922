"""Images decoded from their shards whenever a batch wants them, for sets too large to keep decoded.

Crops are cut from the picture as it is stored and only then brought to the model's size, in one
antialiased resampling. Where a crop is twice as large as the model's images or more, a JPEG is
decoded at a half, a quarter or an eighth of its size by its own transform.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import simplejpeg
import torch
from PIL import Image as Pil
from torch import Tensor
from torch.nn import functional as F

from clipbench.contracts import Image, IntArray
from clipbench.errors import CorruptData
from clipbench.images.encoding import MAX_PIXELS, calm, decode, image_size, jpeg_components
from clipbench.images.fit import Fitting, fit
from clipbench.images.memory import Memory, Recycled
from clipbench.loading.augment import Box
from clipbench.shards.reader import ShardSet

BoxOf = Callable[[int, int, int, int], Box]  # (view, row, width, height) -> what to cut out


class FittedImages:
    """The squares that `DecodedImages` keeps, made again each time, to the bit.

    Args:
        shards: the set.
        image_size: S.
        fitting: makes squares of whole pictures.
    """

    def __init__(self, shards: ShardSet, image_size: int, fitting: Fitting = fit) -> None:
        self._shards = shards
        self.image_size = image_size
        self._fit = fitting
        self._memory, self._pieces = Memory(), Memory()  # of pictures, and of what is cut out
        self._batches = Recycled()

    def __len__(self) -> int:
        return len(self._shards)

    def gather(self, indices: IntArray) -> npt.NDArray[np.uint8]:
        """Return images as evaluation sees them, ``(B, S, S, 3)``.

        Raises:
            CorruptData: an image can't be decoded, or is too large; names shard and key.
        """
        out = self._batches.empty(len(indices), self.image_size, self.image_size, 3)
        for row, index in enumerate(indices.tolist()):
            with self._naming(index):
                data = self._shards.image_bytes(index)
                bounded_size(data)
                out[row] = self._fit(decode(data, self._memory), self.image_size)
        return out

    @contextmanager
    def _naming(self, index: int) -> Iterator[None]:
        try:
            yield
        except CorruptData as error:
            raise CorruptData(
                f"Image of {self._shards.where(index)}: {error} Fetch the shard again or remove"
                " the key."
            ) from error


class OriginalImages(FittedImages):
    """Crops of the pictures as they are stored, resized to squares.

    Without a box to cut out, pictures are fitted as evaluation fits them.
    """

    def crops(self, indices: IntArray, views: int, box: BoxOf) -> Tensor:
        """Return crops of pictures, each decoded once for all its views.

        Args:
            indices: numbers of pairs, ``(B,)``.
            views: V.
            box: says what to cut out of the picture in row b for view v.

        Returns:
            ``(V, B, 3, S, S)`` uint8.

        Raises:
            CorruptData: an image can't be decoded, or is too large; names shard and key.
        """
        size = self.image_size
        out = torch.from_numpy(self._batches.empty(views, len(indices), 3, size, size))
        for row, index in enumerate(indices.tolist()):
            with self._naming(index):
                data = self._shards.image_bytes(index)
                width, height = bounded_size(data)
                boxes = [box(view, row, width, height) for view in range(views)]
                picture, shrunk = decode_for(boxes, data, size, self._memory)
            for view, wanted in enumerate(boxes):
                cut_out(picture, wanted, shrunk, out[view, row], self._pieces)
        return out


def bounded_size(data: bytes) -> tuple[int, int]:
    """Return width and height of an encoded image.

    Raises:
        CorruptData: it is none, has no pixels or more than may be decoded.
    """
    width, height = image_size(data)
    if width * height > MAX_PIXELS:
        raise CorruptData(f"{width} x {height} pixels are more than {MAX_PIXELS} allowed.")
    if not width * height:
        raise CorruptData("it has no pixels.")
    return width, height


def decode_for(
    boxes: list[Box], data: bytes, size: int, memory: Memory | None = None
) -> tuple[Image, int]:
    """Return a picture, and by how much it is shrunk.

    Args:
        boxes: the crops that are wanted of it.
        data: the encoded image; its `bounded_size` is known to be sound.
        size: S, to which crops will be resized; large JPEGs are shrunk as far as no crop gets
            smaller than that.
        memory: as for `decode`.

    Returns:
        ``(H / f, W / f, 3)`` RGB uint8, sizes rounded up, and f: 1, 2, 4 or 8.

    Raises:
        CorruptData: it can't be decoded.
    """
    room = min(min(box[2:]) for box in boxes) // size
    factor = next((f for f in (8, 4, 2) if room >= f), 1)
    if factor > 1 and jpeg_components(data) in {1, 3}:
        return _shrunk(data, factor, memory), factor
    return decode(data, memory), 1


def _shrunk(data: bytes, factor: int, memory: Memory | None = None) -> Image:
    """Return a JPEG shrunk by its own transform; simplejpeg's pixels are Pillow's, in 3/4 the time.

    Raises:
        CorruptData: it can't be decoded.
    """
    width, height = image_size(data)
    wide, high = -(-width // factor), -(-height // factor)
    buffer = None if memory is None else memory.of_size(wide * high * 3)
    size = {"min_width": wide, "min_height": high, "min_factor": 1}
    try:
        pixels: Image = simplejpeg.decode_jpeg(data, "RGB", buffer=buffer, **size)
    except ValueError:  # Pillow reads some files that it refuses, and says what is wrong
        return _shrunk_by_pillow(data, factor)
    return pixels


def _shrunk_by_pillow(data: bytes, factor: int) -> Image:
    try:
        with Pil.open(io.BytesIO(calm(data)), formats=("JPEG",)) as image:
            width, height = image.size
            image.draft("RGB", (width // factor, height // factor))
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise CorruptData(f"it can't be decoded ({error}).") from error


def cut_out(
    picture: Image, box: Box, shrunk: int, out: Tensor, memory: Memory | None = None
) -> None:
    """Write a crop of a picture, resized, into `out`.

    Args:
        picture: ``(H, W, 3)`` uint8.
        box: the crop, in pixels of the picture before it was shrunk; beyond the picture its border
            is repeated.
        shrunk: by how much it was.
        out: ``(3, S, S)`` uint8.
        memory: for the piece that is cut out; None: it gets memory of its own.
    """
    picture, (left, top, width, height) = _bordered(picture, box, shrunk)
    size = out.shape[-1]
    if shrunk > 1:  # the box ends between pixels, which Pillow knows how to resample
        corners = [part / shrunk for part in (left, top, left + width, top + height)]
        limits = (picture.shape[1], picture.shape[0]) * 2
        inside = [min(at, limit) for at, limit in zip(corners, limits, strict=True)]
        resized = Pil.fromarray(picture).resize((size, size), Pil.Resampling.BICUBIC, tuple(inside))
        pixels = torch.from_numpy(np.array(resized)).permute(2, 0, 1)
    else:
        # A copy of the piece alone: cheaper than resampling rows far apart, and arrays of Pillow's
        # can't be written to, of which torch would warn.
        memory = Memory() if memory is None else memory
        crop = memory.of_size(height * width * 3).reshape(height, width, 3)
        crop[:] = picture[top : top + height, left : left + width]
        pixels = torch.from_numpy(crop).permute(2, 0, 1)
        if pixels.shape != out.shape:
            pixels = F.interpolate(pixels[None], (size, size), mode="bicubic", antialias=True)[0]
    out.copy_(pixels)


def _bordered(picture: Image, box: Box, shrunk: int) -> tuple[Image, Box]:
    """Return a picture whose border is repeated as far as a box needs, and the box within it."""
    left, top, width, height = box
    ends = (top + height - picture.shape[0] * shrunk, left + width - picture.shape[1] * shrunk)
    above, before, below, after = (max(0, -(-part // shrunk)) for part in (-top, -left, *ends))
    if not above + before + below + after:
        return picture, box
    wider = np.pad(picture, ((above, below), (before, after), (0, 0)), mode="edge")
    return wider, (left + before * shrunk, top + above * shrunk, width, height)
