"""Images that look the same: near perceptual hashes, made sure of by a look at colors.

Hashes tell shapes in gray. Of drawings and icons they take many for the same that are not: of
another color, or symmetric. So two images look the same if their hashes are near and each of 8 by 8
parts of them has nearly the same color in both. Of drawings the perceptual hash also misses copies:
where most of an image is white, half of its bits are noise. So images are compared whose slopes are
near, too; a slope counts where it is steep enough to be none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt
from PIL import Image as Pil

from clipbench.images.reduced import decode_reduced
from clipbench.toolkit.lookalikes import MOST_APART, Hashes, Links, alike, connected, near_pairs

Codes = npt.NDArray[np.int64]
Sketches = npt.NDArray[np.uint8]  # ``(N, 192)``
SIDE = 8  # parts along each side
# Levels of 255 by which a part may differ, in each color: a tenth of what parts of an image differ
# by among themselves, for of pale images all would be alike.
_CONTRASTS, LEAST_DIFFERENT, MOST_DIFFERENT = 10, 4, 16
_FLAT = 8  # levels of 255 by which noise may differ from a part to the next
_STEPS = 64  # images that each is compared with, for each two blocks that hashes share
_READ_SIDE = 64  # pixels


def sketch(image: bytes) -> npt.NDArray[np.uint8]:
    """Return the mean colors of 8 by 8 parts of an image, ``(192,)`` uint8.

    Raises:
        CorruptData: it can't be decoded.
    """
    colors = decode_reduced(image, _READ_SIDE, "RGB").resize((SIDE, SIDE), Pil.Resampling.BOX)
    return np.asarray(colors, dtype=np.uint8).reshape(-1)


def slopes(gray: Pil.Image) -> int:
    """Return a 64-bit hash of a gray image: where it gets brighter from a part to the next."""
    parts = np.asarray(gray.resize((SIDE + 1, SIDE), Pil.Resampling.BOX), dtype=np.int16)
    rises = np.diff(parts, axis=1) > _FLAT
    return int.from_bytes(np.packbits(rises).tobytes(), "big")


def look_alike(
    hashes: Sequence[Hashes], images: Codes, sketch_of: Callable[[int], Sketches]
) -> Codes:
    """Return the group of each pair, ``(N,)``: pairs whose images look the same, in chains.

    Where more images than `_STEPS` share much of their hashes, as drawings on white do, not all of
    them are compared, and few that look the same are missed.

    Args:
        hashes: ``(N,)`` of each pair's image, of one kind or several; near in one is enough.
        images: ``(N,)`` number of each pair's image; equal images have one number.
        sketch_of: returns the sketch of a pair's image; called once for each image with a near one.
    """
    first = np.unique(images, return_index=True)[1]  # a pair with each image
    groups = [alike(kind[first], MOST_APART) for kind in hashes]
    is_near = np.any([np.bincount(found)[found] > 1 for found in groups], axis=0)
    near = np.flatnonzero(is_near)
    same = np.arange(len(first))
    if len(near):
        sketches = np.stack([sketch_of(int(pair)) for pair in first[near]])
        links = (_links(kind[first[near]], sketches) for kind in hashes)
        found = connected(chain.from_iterable(links), len(near))
        same[near] = near[np.unique(found, return_index=True)[1][found]]
    number = np.unique(same, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return number[images]


def _links(hashes: Hashes, sketches: Sketches) -> Iterator[Links]:
    """Yield pairs of images of near hashes that look the same.

    Args:
        hashes: ``(N,)`` of one kind.
        sketches: ``(N, 192)``.
    """
    bright = sketches.mean(axis=1)
    contrast = sketches.max(axis=1).astype(np.int16) - sketches.min(axis=1)
    limit = np.clip(contrast // _CONTRASTS, LEAST_DIFFERENT, MOST_DIFFERENT)
    for every in near_pairs(hashes, MOST_APART, _STEPS, within=bright):
        # What differs more in brightness differs more in a part of it.
        links = every[:, np.abs(np.subtract(*bright[every])) <= limit[every].min(axis=0)]
        apart = np.abs(np.subtract(*sketches[links].astype(np.int16))).max(axis=1)
        yield links[:, apart <= limit[links].min(axis=0)]
