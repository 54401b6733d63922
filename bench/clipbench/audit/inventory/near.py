"""Images that look the same: near perceptual hashes, made sure of by a look at colors.

The hash tells shapes in gray. Of drawings and icons it takes many for the same that are not: of
another color, or symmetric. So two images look the same if their hashes are near and each of 8 by 8
parts of them has nearly the same color in both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image as Pil

from clipbench.images.reduced import decode_reduced
from clipbench.toolkit.lookalikes import MOST_APART, Hashes, Links, alike, connected

Codes = npt.NDArray[np.int64]
Sketches = npt.NDArray[np.uint8]  # ``(N, 192)``
SIDE = 8  # parts along each side
MOST_DIFFERENT = 16  # levels of 255 by which a part may differ, in each color
_AT_ONCE = 1 << 14  # images
_STEPS = 256  # images of near brightness that each is compared with, in a group of near hashes
_READ_SIDE = 64  # pixels


def sketch(image: bytes) -> npt.NDArray[np.uint8]:
    """Return the mean colors of 8 by 8 parts of an image, ``(192,)`` uint8.

    Raises:
        CorruptData: it can't be decoded.
    """
    colors = decode_reduced(image, _READ_SIDE, "RGB").resize((SIDE, SIDE), Pil.Resampling.BOX)
    return np.asarray(colors, dtype=np.uint8).reshape(-1)


def look_alike(hashes: Hashes, images: Codes, sketch_of: Callable[[int], Sketches]) -> Codes:
    """Return the group of each pair, ``(N,)``: pairs whose images look the same, in chains.

    Args:
        hashes: ``(N,)`` perceptual hash of each pair's image.
        images: ``(N,)`` number of each pair's image; equal images have one number.
        sketch_of: returns the sketch of a pair's image; called once for each image with a near one.
    """
    first = np.unique(images, return_index=True)[1]  # a pair with each image
    groups = alike(hashes[first], MOST_APART)
    sizes = np.bincount(groups)
    near = np.flatnonzero(sizes[groups] > 1)
    same = np.arange(len(first))
    if len(near):
        sketches = np.stack([sketch_of(int(pair)) for pair in first[near]])
        same[near] = near[_first_alike(groups[near], sketches)]
    number = np.unique(same, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return number[images]


def _first_alike(groups: Codes, sketches: Sketches) -> Codes:
    """Return for each image the first of those that look like it, ``(M,)``."""
    found = connected(_links(groups, sketches), len(groups))
    return np.unique(found, return_index=True)[1].astype(np.int64)[found]


def _links(groups: Codes, sketches: Sketches) -> Iterator[Links]:
    """Yield pairs of images of one group that look the same, of those near in brightness.

    Some thousands are compared at once, so that memory does not grow with their number.
    """
    mean = sketches.mean(axis=1)
    order = np.lexsort((mean, groups))
    in_group, bright, colors = groups[order], mean[order], sketches[order]
    for start in range(0, len(order), _AT_ONCE):
        places = np.arange(start, min(len(order), start + _AT_ONCE))
        for step in range(1, _STEPS + 1):
            places = places[places + step < len(order)]
            other = places + step
            is_near = in_group[places] == in_group[other]
            is_near &= bright[other] - bright[places] <= MOST_DIFFERENT
            places = places[is_near]
            if not len(places):
                break
            apart = np.abs(colors[places].astype(np.int16) - colors[places + step]).max(axis=1)
            same = places[apart <= MOST_DIFFERENT]
            yield np.stack([order[same], order[same + step]])
