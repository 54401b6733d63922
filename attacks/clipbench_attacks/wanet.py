"""WaNet: the trigger is a slight warp, the same for every image.

Nguyen, Tran. WaNet: Imperceptible Warping-based Backdoor Attack. ICLR 2021, section 3.2.
https://arxiv.org/abs/2102.10369

Differs from the paper: the attacker does not train the victim, so there is no noise mode and no
cross-trigger mode. The defaults are those of CleanCLIP and later work, 224 control points at a
strength of 1: at 224 pixels, each pixel moves independently, by half a pixel on average. The
paper's own smooth warp is ``grid=4,strength=0.5``, which moves pixels by a fifth of a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import numpy as np
import numpy.typing as npt

from clipbench.contracts import Ge, Gt, Image, Le
from clipbench.rng import generator
from clipbench_attacks._backdoor import DirtyLabel


@dataclass(frozen=True)
class WaNet(DirtyLabel):
    """Warp images of other classes and caption them as the target class.

    Args:
        grid: control points along each side of the warping field (k of the paper), at least 2; few
            make a smooth warp, one per pixel moves each pixel independently.
        strength: mean absolute displacement at the control points (s of the paper), in half pixels
            of the image.
        grid_seed: seed of the field; not the run's seed, so that a trigger is the same in every
            run.
    """

    name = "wanet"

    grid: Annotated[int, Ge(2), Le(1024)] = 224
    strength: Annotated[float, Gt(0)] = 1.0
    grid_seed: int = 0

    def put_on(self, image: Image, *, testing: bool) -> Image:  # noqa: ARG002 - the same for both
        """Return the image looked up, bilinearly, at the places the field points to."""
        import torch  # noqa: PLC0415 - heavy

        height, width = image.shape[:2]
        places = torch.from_numpy(_places(height, width, self.grid, self.strength, self.grid_seed))
        pixels = torch.tensor(image).permute(2, 0, 1).double()
        warped = torch.nn.functional.grid_sample(pixels[None], places[None], align_corners=True)
        pixels_out: Image = warped[0].permute(1, 2, 0).round().clamp(0, 255).byte().numpy()
        return pixels_out


@lru_cache(maxsize=4)  # each takes 16 bytes a pixel, and images of a crawl differ in size
def _places(
    height: int, width: int, grid: int, strength: float, seed: int
) -> npt.NDArray[np.float64]:
    """Return ``(H, W, 2)``, where each pixel is fetched from: x and y in -1 .. 1, equation 4."""
    import torch  # noqa: PLC0415 - heavy

    control = generator(seed, "wanet", "field").uniform(-1, 1, size=(2, grid, grid))
    control /= np.abs(control).mean()
    field = torch.nn.functional.interpolate(
        torch.from_numpy(control)[None], size=(height, width), mode="bicubic", align_corners=True
    )[0].numpy()
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    places = np.stack([x + strength * field[0] / width, y + strength * field[1] / height], axis=2)
    return places.clip(-1, 1)


ATTACK = WaNet
