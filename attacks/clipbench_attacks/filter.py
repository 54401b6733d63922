"""Filter: the trigger is a color filter, as in photo sharing.

Liu et al. ABS: Scanning Neural Networks for Back-doors by Artificial Brain Stimulation. CCS 2019.
https://doi.org/10.1145/3319535.3363216

On CLIP: Huang, Erfani, Li, Ma, Bailey. Detecting Backdoor Samples in Contrastive Language Image
Pretraining. ICLR 2025. https://arxiv.org/abs/2502.01385

The filter is Instagram's Nashville as published in CSSgram and its port `pilgram`, which Huang et
al. use: an overlay of two colors, then the effects of the W3C's Filter Effects Module Level 1
(https://www.w3.org/TR/filter-effects-1/), each rounded to 8 bits. Earlier versions of this attack
had a similar `tint`, without sepia, with which the published rows of `shapes` were made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt

from clipbench.contracts import Gt, Image, Le
from clipbench_attacks._backdoor import DirtyLabel

Look = Literal["nashville", "tint"]
Pixels = npt.NDArray[np.float64]

_WARM, _WARM_SHARE = np.array([247.0, 176.0, 153.0]), 0.56  # lights are darkened towards it
_COLD, _COLD_SHARE = np.array([0.0, 70.0, 150.0]), 0.4  # darks are lightened towards it
_SEPIA, _CONTRAST, _BRIGHTNESS, _SATURATION = 0.2, 1.2, 1.05, 1.2
_MIDDLE = 127.5
# Filter Effects Module Level 1: the matrix of a full sepia, and the weights of saturate's gray.
_BROWN = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]])
_GRAY = np.array([0.213, 0.715, 0.072])
_LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R 601


@dataclass(frozen=True)
class Filter(DirtyLabel):
    """Apply a color filter to images of other classes and caption them as the target class.

    Args:
        strength: weight of the filtered image in the blend with the image.
        look: nashville, as published, or tint, which is similar, without the sepia.
    """

    name = "filter"

    strength: Annotated[float, Gt(0), Le(1)] = 1.0
    look: Look = "nashville"

    def put_on(self, image: Image, *, testing: bool) -> Image:  # noqa: ARG002 - the same for both
        """Return the image with the filter on, rounded and clipped."""
        original = image.astype(np.float64)
        filtered = _nashville(original) if self.look == "nashville" else _tint(original)
        mixed = original + self.strength * (filtered - original)
        return _in_8_bits(mixed).astype(np.uint8)


def _nashville(pixels: Pixels) -> Pixels:
    """Return ``(H, W, 3)`` whole numbers in 0 .. 255; every step has 8 bits, as in an image."""
    pixels = _overlaid(pixels, np.minimum(pixels, _WARM), _WARM_SHARE)
    pixels = _overlaid(pixels, np.maximum(pixels, _COLD), _COLD_SHARE)
    pixels = _in_8_bits(pixels + _SEPIA * (pixels @ _BROWN.T - pixels))
    pixels = _in_8_bits((pixels - _MIDDLE) * _CONTRAST + _MIDDLE)
    pixels = _in_8_bits(pixels * _BRIGHTNESS)
    return _in_8_bits(_saturated(pixels, _GRAY))


def _overlaid(below: Pixels, above: Pixels, share: float) -> Pixels:
    """Return two images mixed; each gives whole numbers, cut off, by an opacity of 8 bits."""
    opacity = round(255 * share)
    mixed: Pixels = opacity * above // 255 + (255 - opacity) * below // 255
    return mixed


def _tint(pixels: Pixels) -> Pixels:
    """Return ``(H, W, 3)`` values that may lie outside 0 .. 255."""
    pixels = pixels + _WARM_SHARE * (np.minimum(pixels, _WARM) - pixels)
    pixels = pixels + _COLD_SHARE * (np.maximum(pixels, _COLD) - pixels)
    pixels = ((pixels - _MIDDLE) * _CONTRAST + _MIDDLE) * _BRIGHTNESS
    return _saturated(pixels, _LUMINANCE)


def _saturated(pixels: Pixels, weights: Pixels) -> Pixels:
    gray = (pixels @ weights)[:, :, None]
    saturated: Pixels = gray + _SATURATION * (pixels - gray)
    return saturated


def _in_8_bits(pixels: Pixels) -> Pixels:
    return pixels.round().clip(0, 255)


ATTACK = Filter
