"""Images no larger than needed, for what looks at millions of them and not closely."""

from __future__ import annotations

from typing import Literal

import numpy as np
import simplejpeg
from PIL import Image as Pil

from clipbench.errors import CorruptData
from clipbench.images.encoding import MAX_PIXELS, decode, image_size, jpeg_components

_SPACES = {"L": "GRAY", "RGB": "RGB"}


def decode_reduced(data: bytes, side: int, mode: Literal["L", "RGB"]) -> Pil.Image:
    """Return an image, reduced while it is decoded where its format can.

    A JPEG is decoded to a half, a quarter or an eighth of its sides, which takes a fraction of the
    time; other formats are decoded as they are.

    Args:
        data: JPEG, PNG or WebP.
        side: pixels that both sides of the result have at least, unless the image has fewer.
        mode: whether its brightness is wanted, or its colors.

    Raises:
        CorruptData: it can't be decoded, or is too large to be decoded safely.
    """
    if jpeg_components(data) in {1, 3}:
        width, height = image_size(data)
        if width * height > MAX_PIXELS:
            raise CorruptData(f"{width} x {height} pixels are more than {MAX_PIXELS} allowed.")
        try:
            pixels = simplejpeg.decode_jpeg(data, _SPACES[mode], min_height=side, min_width=side)
        except ValueError:
            pass  # `decode` reads some files that it refuses, and says what is wrong with others
        else:
            return Pil.fromarray(pixels if mode == "RGB" else np.ascontiguousarray(pixels[..., 0]))
    return Pil.fromarray(decode(data)).convert(mode)
