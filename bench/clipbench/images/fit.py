"""Images made to fit a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image as Pil

from clipbench.contracts import Image


@dataclass(frozen=True)
class Fitting:
    """How images become squares: what open_clip's evaluation transform does before it normalizes.

    Args:
        resize_mode: ``shortest``: the shorter side is resized to that of the square, and the center
            cut out; ``longest``: the longer side, and the rest is filled; ``squash``: both.
        interpolation: ``bilinear``, else bicubic; antialiased either way.
        fill_color: 0 to 255, of what is filled, in all channels.
    """

    resize_mode: str = "shortest"
    interpolation: str = "bicubic"
    fill_color: int = 0

    @property
    def name(self) -> str:
        """What tells squares made so from others; nothing for those of most models."""
        parts = [self.resize_mode, "bilinear" if self.interpolation == "bilinear" else "bicubic"]
        if self.resize_mode == "longest":
            parts.append(str(self.fill_color))
        return "" if parts == ["shortest", "bicubic"] else "-" + "-".join(parts)

    def __call__(self, image: Image, size: int) -> Image:
        """Return `image` as a square of `size` pixels.

        Args:
            image: ``(H, W, 3)`` uint8.
            size: S.

        Returns:
            ``(S, S, 3)`` uint8.
        """
        height, width = image.shape[:2]
        if height == width == size:
            return image
        wide, high = self._resized(width, height, size)
        by = Pil.Resampling
        method = by.BILINEAR if self.interpolation == "bilinear" else by.BICUBIC
        resized = Pil.fromarray(image).resize((wide, high), method)
        if wide < size or high < size:
            whole = Pil.new("RGB", (size, size), (self.fill_color,) * 3)
            whole.paste(resized, ((size - wide) // 2, (size - high) // 2))
            return np.asarray(whole)
        left, top = round((wide - size) / 2), round((high - size) / 2)
        return np.asarray(resized.crop((left, top, left + size, top + size)))

    def _resized(self, width: int, height: int, size: int) -> tuple[int, int]:
        """Return width and height after resizing."""
        if self.resize_mode == "squash":
            return size, size
        if self.resize_mode == "longest":
            ratio = max(height / size, width / size)
            return max(1, round(width / ratio)), max(1, round(height / ratio))
        if width <= height:
            return size, max(size, int(size * height / width))
        return max(size, int(size * width / height)), size


fit = Fitting()  # as most models have it: the shorter side, bicubic, the center
