"""Images made to fit a model."""

from __future__ import annotations

import numpy as np
from PIL import Image as Pil

from clipbench.contracts import Image


def fit(image: Image, size: int) -> Image:
    """Return `image` as a square of `size` pixels, as open_clip's evaluation transform does.

    The shorter side is resized to `size` (bicubic, antialiased), then the center is cut out.

    Args:
        image: ``(H, W, 3)`` uint8.
        size: S.

    Returns:
        ``(S, S, 3)`` uint8.
    """
    height, width = image.shape[:2]
    if height == width == size:
        return image
    if width <= height:
        wide, high = size, max(size, int(size * height / width))
    else:
        wide, high = max(size, int(size * width / height)), size
    resized = Pil.fromarray(image).resize((wide, high), Pil.Resampling.BICUBIC)
    left, top = round((wide - size) / 2), round((high - size) / 2)
    return np.asarray(resized.crop((left, top, left + size, top + size)))
