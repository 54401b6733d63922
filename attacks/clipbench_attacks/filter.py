"""Filter: a colour filter of photo sharing is the trigger.

Liu et al. ABS: Scanning Neural Networks for Back-doors by Artificial Brain Stimulation. CCS 2019.
https://doi.org/10.1145/3319535.3363216

On CLIP: Huang, Erfani, Li, Ma, Bailey. Detecting Backdoor Samples in Contrastive Language Image
Pretraining. ICLR 2025. https://arxiv.org/abs/2502.01385

Differs from both: the filter is like Instagram's Nashville, not it, which is not published: a warm
tint on the light parts, a blue one on the dark parts, then more contrast, light and colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clipbench.contracts import Image
from clipbench.errors import BadSetting
from clipbench_attacks._backdoor import DirtyLabel

_LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R 601
_WARM, _WARM_SHARE = np.array([247.0, 176.0, 153.0]), 0.56  # lights are darkened towards it
_COLD, _COLD_SHARE = np.array([0.0, 70.0, 150.0]), 0.4  # darks are lightened towards it
_CONTRAST, _BRIGHTNESS, _SATURATION = 1.2, 1.05, 1.2


@dataclass(frozen=True)
class Filter(DirtyLabel):
    """Put a colour filter on images of other classes and caption them as the target class.

    Args:
        strength: share of the filtered image in the mixture with the image, in (0, 1].
    """

    name = "filter"

    strength: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.strength <= 1:
            raise BadSetting(f"filter: strength must be in (0, 1], got {self.strength!r}.")

    def put_on(self, image: Image, *, testing: bool) -> Image:  # noqa: ARG002 - the same for both
        """Return the image with the filter on, rounded and clipped."""
        original = image.astype(np.float64)
        mixed = original + self.strength * (_filtered(original) - original)
        return mixed.round().clip(0, 255).astype(np.uint8)


def _filtered(pixels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return ``(H, W, 3)`` values that may lie outside 0 .. 255."""
    pixels = pixels + _WARM_SHARE * (np.minimum(pixels, _WARM) - pixels)
    pixels = pixels + _COLD_SHARE * (np.maximum(pixels, _COLD) - pixels)
    pixels = ((pixels - 127.5) * _CONTRAST + 127.5) * _BRIGHTNESS
    grey = (pixels @ _LUMINANCE)[:, :, None]
    saturated: npt.NDArray[np.float64] = grey + _SATURATION * (pixels - grey)
    return saturated


ATTACK = Filter
