"""Image augmentation of whole batches; every view is drawn from the generator it is given.

Random resized crop, horizontal flip, colour jitter, grayscale and blur are those of SimCLR (Chen et
al., ICML 2020, appendix A), which SafeCLIP and RoCLIP use; a data set's recipe sets how strong.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

JITTER_SHARE = 0.8  # share of images whose colours are jittered, SimCLR
WIDEST = 4 / 3  # of a crop, width to height or height to width, as torchvision has it

Box = tuple[int, int, int, int]  # left, top, width, height in pixels


def centre_box(width: int, height: int) -> Box:
    """Return the largest square in the middle of an image, which evaluation looks at."""
    side = min(width, height)
    return (width - side) // 2, (height - side) // 2, side, side


@dataclass(frozen=True)
class ImageAugmentation:
    """Strengths of the image augmentation.

    Args:
        crop_scale: smallest area of a crop, share of the image, in (0, 1]; 1 keeps the whole image.
        flip: probability of a horizontal flip.
        color_jitter: largest relative change of brightness, contrast and saturation; hue changes by
            a fifth of it, in turns.
        grayscale: probability of losing all colour.
        blur: probability of a Gaussian blur.
    """

    crop_scale: float = 1.0
    flip: float = 0.0
    color_jitter: float = 0.0
    grayscale: float = 0.0
    blur: float = 0.0

    def draw(self, num_images: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        """Return the random numbers of a batch, ``(num_images, 13)`` in [0, 1).

        They are drawn for the whole batch, so a process that augments some rows of it gets the
        same views as one that augments all.
        """
        return rng.random((num_images, 13), dtype=np.float32)

    def apply(self, images: Tensor, draws: npt.NDArray[np.float32]) -> Tensor:
        """Augment images.

        Args:
            images: ``(B, 3, H, W)`` float in [0, 1].
            draws: ``(B, 13)`` from `draw`, the rows of these images.

        Returns:
            ``(B, 3, H, W)`` float in [0, 1].
        """
        u = torch.from_numpy(draws).to(images.device)
        if self.crop_scale < 1.0 or self.flip > 0.0:
            images = self._crop_and_flip(images, u)
        return self._recolour(images, u)

    @property
    def recolours(self) -> bool:
        """Whether anything is changed besides place and side."""
        return max(self.color_jitter, self.grayscale, self.blur) > 0.0

    def box(self, width: int, height: int, draws: npt.NDArray[np.float32]) -> Box:
        """Return the crop of one image of any size, in whole pixels.

        Of square images the crops have the distribution that `apply` gives them. Of long ones a
        crop is never wider or higher than 4 : 3, and lies anywhere.

        Args:
            width: of the image in pixels.
            height: likewise.
            draws: ``(13,)``, the image's row from `draw`.
        """
        if self.crop_scale >= 1.0:
            return centre_box(width, height)
        share, shape, across, down = (float(value) for value in draws[:4])
        area = (self.crop_scale + (1 - self.crop_scale) * share) * width * height
        aspect = WIDEST ** (2 * shape - 1)
        wide, high = min(width, math.sqrt(area * aspect)), min(height, math.sqrt(area / aspect))
        wide, high = min(wide, high * WIDEST), min(high, wide * WIDEST)
        columns, rows = max(1, round(wide)), max(1, round(high))
        left, top = int(across * (width - columns + 1)), int(down * (height - rows + 1))
        return left, top, columns, rows

    def apply_to_crops(self, crops: Tensor, draws: npt.NDArray[np.float32]) -> Tensor:
        """Do to crops that were cut by `box` what else there is to do.

        Args:
            crops: ``(B, 3, S, S)`` uint8.
            draws: ``(B, 13)`` from `draw`, the rows of these images.

        Returns:
            ``(B, 3, S, S)``: uint8 where they are flipped at most, else float in [0, 1].
        """
        u = torch.from_numpy(draws).to(crops.device)
        if self.flip > 0.0:
            rows = np.flatnonzero(draws[:, 4] < self.flip)  # known here without asking a GPU
            crops = crops.clone()
            crops[rows] = crops[rows].flip(3)
        return self._recolour(crops.float() / 255, u) if self.recolours else crops

    def _recolour(self, images: Tensor, u: Tensor) -> Tensor:
        if self.color_jitter > 0.0:
            images = self._jitter(images, u)
        if self.grayscale > 0.0:
            gray = (u[:, 10] < self.grayscale)[:, None, None, None]
            images = torch.where(gray, luminance(images).expand_as(images), images)
        if self.blur > 0.0:
            images = self._blur(images, u)
        return images

    def _crop_and_flip(self, images: Tensor, u: Tensor) -> Tensor:
        """Random resized crop (area crop_scale..1, aspect 3/4..4/3) and flip in one resampling."""
        area = self.crop_scale + (1 - self.crop_scale) * u[:, 0]
        aspect = torch.exp((2 * u[:, 1] - 1) * math.log(4 / 3))
        width = (area * aspect).sqrt().clamp(max=1.0)
        height = (area / aspect).sqrt().clamp(max=1.0)
        left = (2 * u[:, 2] - 1) * (1 - width)
        top = (2 * u[:, 3] - 1) * (1 - height)
        if self.crop_scale >= 1.0:
            width, height, left, top = (
                torch.ones_like(left),
                torch.ones_like(top),
                0 * left,
                0 * top,
            )
        width = torch.where(u[:, 4] < self.flip, -width, width)
        zero = torch.zeros_like(left)
        matrix = torch.stack([width, zero, left, zero, height, top], dim=1).view(-1, 2, 3)
        grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)

    def _jitter(self, images: Tensor, u: Tensor) -> Tensor:
        strength = self.color_jitter * (u[:, 5] < JITTER_SHARE)

        def factor(column: int) -> Tensor:
            return (1 + strength * (2 * u[:, column] - 1))[:, None, None, None]

        changed = (images * factor(6)).clamp(0, 1)
        mean = luminance(changed).mean(dim=(2, 3), keepdim=True)
        changed = (mean + (changed - mean) * factor(7)).clamp(0, 1)
        gray = luminance(changed)
        changed = (gray + (changed - gray) * factor(8)).clamp(0, 1)
        return rotate_hue(changed, strength / 5 * (2 * u[:, 9] - 1))

    def _blur(self, images: Tensor, u: Tensor) -> Tensor:
        side = images.shape[-1]
        radius = max(1, round(0.05 * side))
        sigma = (0.1 + 1.9 * u[:, 12]) * side / 224
        offset = torch.arange(-radius, radius + 1, device=images.device)
        kernel = torch.exp(-0.5 * (offset / sigma[:, None].clamp(min=1e-3)) ** 2)
        kernel = kernel / kernel.sum(dim=1, keepdim=True)
        batch, channels = images.shape[:2]
        flat = images.reshape(1, batch * channels, *images.shape[2:])
        weights = kernel.repeat_interleave(channels, dim=0)
        padded = F.pad(flat, (radius, radius, radius, radius), mode="reflect")
        rows = F.conv2d(padded, weights[:, None, :, None], groups=batch * channels)
        both = F.conv2d(rows, weights[:, None, None, :], groups=batch * channels)
        blurred = both.reshape(images.shape)
        return torch.where((u[:, 11] < self.blur)[:, None, None, None], blurred, images)


def luminance(images: Tensor) -> Tensor:
    """Return ITU-R 601 luminance, ``(B, 1, H, W)``, of ``(B, 3, H, W)`` images."""
    weights = images.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True)


def rotate_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Shift the hue of ``(B, 3, H, W)`` images in [0, 1] by ``(B,)`` turns, as HSV has it."""
    high, _ = images.max(dim=1, keepdim=True)
    low, _ = images.min(dim=1, keepdim=True)
    spread = high - low
    red, green, blue = torch.split(images, 1, dim=1)
    safe = torch.where(spread > 0, spread, torch.ones_like(spread))
    sector = torch.where(
        high == red,
        ((green - blue) / safe) % 6,
        torch.where(high == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    sector = (sector + 6 * turns[:, None, None, None]) % 6
    offsets = images.new_tensor([5.0, 3.0, 1.0]).view(1, 3, 1, 1)
    place = (offsets + sector) % 6
    return high - spread * torch.minimum(place, 4 - place).clamp(0, 1)
