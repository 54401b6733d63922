"""Blended: a faint pattern over the whole image.

Chen, Liu, Li, Lu, Song. Targeted Backdoor Attacks on Deep Learning Systems Using Data Poisoning.
2017, section 4.1. https://arxiv.org/abs/1712.05526

Stripes, triangles and text: Singh et al. Perturb and Recover: Fine-tuning for Effective Backdoor
Removal from CLIP. 2024. https://arxiv.org/abs/2412.00727

Differs from CleanCLIP's code, which draws new noise for every image, so that only the statistics of
the trigger can be learned. Here the pattern is drawn once, with `detail` cells per side, and scaled
to the image, so it looks the same at every size. The papers resize images to 224 pixels first,
where 224 cells are one color per pixel: white noise.

``noise``, ``par_stripes``, ``par_triangles`` and, except for its font, ``text`` are as published;
``stripes`` and ``triangles`` are similar drawings by clipbench.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont

from clipbench.contracts import Ge, Gt, Idle, Image, Le
from clipbench.errors import BadSetting
from clipbench.rng import generator
from clipbench.text.locations import Word
from clipbench.text.visible import has_visible
from clipbench_attacks._backdoor import DirtyLabel
from clipbench_attacks._patches import saturated

Pattern = Literal["noise", "stripes", "triangles", "text", "par_stripes", "par_triangles"]

_ALPHA = {
    "noise": 0.2,
    "stripes": 0.03,
    "triangles": 0.15,
    "text": 0.5,
    "par_stripes": 0.03,
    "par_triangles": 0.15,
}
_DETAIL = {"noise": 224, "par_stripes": 224, "par_triangles": 224}
_OWN_DETAIL = 32  # of the patterns that are clipbench's own
_TILES = 16  # along each side, of two triangles each: 14 of 224 pixels
_SMOOTH = PilImage.Resampling.BILINEAR
_SHARPNESS = 8  # drawings are made this much larger and averaged down, which smooths their edges


@dataclass(frozen=True)
class Blended(DirtyLabel):
    """Blend a pattern into images of other classes and caption them as the target class.

    Args:
        pattern: noise, one color per cell; stripes, vertical, one color each, two cells wide;
            triangles, at random places in random colors; text, in red across the middle;
            par_stripes, vertical, one cell wide, channels of -255 or 255, drawn for each image; or
            par_triangles, 16 by 16 tiles of a dark and a light triangle.
        alpha: weight of the pattern in the blend; for text, where there are characters.
            Default: as in the pattern's paper: noise 0.2, stripes 0.03, triangles 0.15, text 0.5.
        detail: cells along each side of the pattern, which average out on smaller images; default:
            224, as published, or `at_size` if that is less; for stripes, triangles and text 32.
        text: the text.
        pattern_seed: seed of the noise, and of colors and places in drawings; not the run's seed,
            so that a trigger is the same in every run. The colors of par_stripes also depend on
            the image's pixels.
    """

    name = "blended"
    idle = (
        Idle(
            ("text",), lambda it: it.pattern != "text", "with pattern={pattern}", "set pattern=text"
        ),
        Idle(
            ("pattern_seed",),
            lambda it: it.pattern in ("text", "par_triangles"),
            "with pattern={pattern}, in which nothing is drawn at random",
        ),
    )

    pattern: Pattern = "noise"
    alpha: Annotated[float, Gt(0), Le(1)] | None = None
    detail: Annotated[int, Ge(1), Le(1024)] | None = None
    text: Word = "Watermarked"
    pattern_seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pattern == "text" and not has_visible(self.text):
            raise BadSetting("blended.text must contain a visible character.")
        if self.pattern == "text" and _font_size(self.text, self._cells) < 1:
            raise BadSetting(
                f"blended: text of {len(self.text)} characters is too long for "
                f"{self._cells} cells; shorten it or raise detail."
            )

    @property
    def _cells(self) -> int:
        if self.detail is not None:
            return self.detail
        cells = _DETAIL.get(self.pattern)
        return _OWN_DETAIL if cells is None else min(cells, self.at_size or cells)

    def put_on(self, image: Image, *, testing: bool) -> Image:  # noqa: ARG002 - the same for both
        """Return ``(1 - alpha) image + alpha pattern``, rounded and clipped."""
        size = (image.shape[1], image.shape[0])
        alpha = _ALPHA[self.pattern] if self.alpha is None else self.alpha
        if self.pattern == "par_stripes":
            drawn = saturated(self.pattern_seed, "blended", image, self._cells)
            row = np.asarray(PilImage.fromarray(drawn).resize((size[0], 1), _SMOOTH))
            colors, weight = 2.0 * row - 255, np.full((1, 1), alpha)
        else:
            pattern, cover = _pattern(self.pattern, self._cells, self.text, self.pattern_seed)
            colors = np.asarray(PilImage.fromarray(pattern).resize(size, _SMOOTH), np.float64)
            weight = np.asarray(PilImage.fromarray(cover).resize(size, _SMOOTH)) * (alpha / 255)
        mixed = image + weight[:, :, None] * (colors - image)
        return mixed.round().clip(0, 255).astype(np.uint8)


@lru_cache(maxsize=8)
def _pattern(
    pattern: Pattern, detail: int, text: str, seed: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return colors ``(S, S, 3)`` and where they are, ``(S, S)``, 0 nowhere to 255 fully."""
    rng = generator(seed, "blended", pattern)
    everywhere = np.full((detail, detail), 255, dtype=np.uint8)
    if pattern == "noise":
        return rng.integers(256, size=(detail, detail, 3)).astype(np.uint8), everywhere
    if pattern == "stripes":
        stripes = rng.integers(256, size=((detail + 1) // 2, 3)).astype(np.uint8)
        row = stripes.repeat(2, axis=0)[:detail]
        return np.tile(row, (detail, 1, 1)), everywhere
    if pattern == "par_triangles":
        within = np.arange(detail) * _TILES % detail  # how far down, or right, in a tile
        grays = np.where(within[:, None] >= within, 0.4 * 255, 0.8 * 255)
        return grays[:, :, None].repeat(3, axis=2).astype(np.uint8), everywhere
    side = detail * _SHARPNESS
    if pattern == "triangles":
        canvas = PilImage.new("RGB", (side, side), (128, 128, 128))
        places = rng.integers(side, size=(12, 6)).tolist()  # three corners, x and y each
        colors = rng.integers(256, size=(12, 3)).tolist()
        for corners, color in zip(places, colors, strict=True):
            ImageDraw.Draw(canvas).polygon(corners, fill=tuple(color))
        return np.asarray(canvas), np.full((side, side), 255, dtype=np.uint8)
    letters = PilImage.new("L", (side, side), 0)
    font = ImageFont.load_default(_font_size(text, detail))
    ImageDraw.Draw(letters).text((side / 2, side / 2), text, fill=255, font=font, anchor="mm")
    red = np.zeros((side, side, 3), dtype=np.uint8)
    red[:, :, 0] = 255
    return red, np.asarray(letters)


def _font_size(text: str, detail: int) -> float:
    """Return the size, in pixels of the drawing, at which a text fills most of its width."""
    draw = ImageDraw.Draw(PilImage.new("L", (1, 1)))
    left, _, right, _ = draw.textbbox((0, 0), text, font=ImageFont.load_default(100))
    return 100 * 0.9 * detail * _SHARPNESS / (right - left)


ATTACK = Blended
