"""Image augmentation of whole batches; the random numbers of a view are handed in.

Random resized crop, horizontal flip, color jitter, grayscale and blur are those of SimCLR (Chen et
al., ICML 2020, appendix A), which SafeCLIP and RoCLIP use; a data set's recipe sets how strong.
Crops show things larger than tests do, which costs accuracy (Touvron et al., Fixing the Train-Test
Resolution Discrepancy, NeurIPS 2019); crops larger than the image can make up for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from clipbench.configuration.settings import TrainSettings
from clipbench.rng import RowStreams

JITTER_SHARE = 0.8  # share of images whose colors are jittered, SimCLR
NUM_DRAWS = 13  # random numbers that a view is made of
WIDEST = 4 / 3  # of a crop, width to height or height to width, as torchvision has it

_LUMINANCE = np.array([0.299, 0.587, 0.114])  # of red, green and blue, ITU-R 601
_HUES = np.array([5.0, 3.0, 1.0])  # where in six sectors red, green and blue fade

_Share = TypeVar("_Share", float, Tensor)

Box = tuple[int, int, int, int]  # left, top, width, height in pixels


def drawn(streams: RowStreams) -> npt.NDArray[np.float32]:
    """Return the random numbers of views, ``(B, 13)`` in [0, 1), one view for each stream."""
    bits = streams.bits(np.arange(NUM_DRAWS)[None]) >> np.uint64(40)  # as many as float32 holds
    return bits.astype(np.float32) * np.float32(2.0**-24)


def center_box(width: int, height: int) -> Box:
    """Return the largest square in the middle of an image, which evaluation looks at."""
    side = min(width, height)
    return (width - side) // 2, (height - side) // 2, side, side


def _place(share: float, spare: int) -> int:
    """Return where a crop begins, given by how much the image is longer than it."""
    return int(share * (spare + 1)) if spare >= 0 else -int(share * (1 - spare))


@dataclass(frozen=True)
class ImageAugmentation:
    """Strengths of the image augmentation.

    Args:
        crop_scale: smallest area of a crop, share of the image, in (0, 1].
        crop_scale_max: largest area of a crop, at least 1; beyond the image its border is repeated.
            If both are 1, the whole image is kept.
        flip: probability of a horizontal flip.
        color_jitter: largest relative change of brightness, contrast and saturation; hue changes by
            a fifth of it, in turns.
        grayscale: probability of losing all color.
        blur: probability of a Gaussian blur.
    """

    crop_scale: float = 1.0
    crop_scale_max: float = 1.0
    flip: float = 0.0
    color_jitter: float = 0.0
    grayscale: float = 0.0
    blur: float = 0.0

    @classmethod
    def of(cls, settings: TrainSettings) -> ImageAugmentation:
        """Return the augmentation that training settings ask for."""
        return cls(**{item.name: getattr(settings, item.name) for item in fields(cls)})

    def apply(self, images: Tensor, draws: npt.NDArray[np.float32]) -> Tensor:
        """Augment images.

        Args:
            images: ``(B, 3, H, W)`` float in [0, 1].
            draws: ``(B, 13)`` from `drawn`, those of these images.

        Returns:
            ``(B, 3, H, W)`` float in [0, 1].
        """
        if not len(images):  # a process may have none of a small batch; torch makes no grid of it
            return images
        u = on_device(draws, images.device)
        if self.crops or self.flip > 0.0:
            images = self._crop_and_flip(images, u)
        return self._recolor(images, u, draws)

    @property
    def crops(self) -> bool:
        """Whether anything but the whole image is seen."""
        return self.crop_scale < 1.0 or self.crop_scale_max > 1.0

    @property
    def recolors(self) -> bool:
        """Whether anything is changed besides place and side."""
        return max(self.color_jitter, self.grayscale, self.blur) > 0.0

    def box(self, width: int, height: int, draws: npt.NDArray[np.float32]) -> Box:
        """Return the crop of one image of any size, in whole pixels.

        Of square images the crops have the distribution that `apply` gives them. Of long ones a
        crop is never wider or higher than 4 : 3, and lies anywhere. A crop larger than the image
        has all of the image in it.

        Args:
            width: of the image in pixels.
            height: likewise.
            draws: ``(13,)``, the image's row from `drawn`.
        """
        if not self.crops:
            return center_box(width, height)
        share, shape, across, down = (float(value) for value in draws[:4])
        area = self._area(share) * width * height
        aspect, longest = WIDEST ** (2 * shape - 1), math.sqrt(self.crop_scale_max)
        wide = min(longest * width, math.sqrt(area * aspect))
        high = min(longest * height, math.sqrt(area / aspect))
        wide, high = min(wide, high * WIDEST), min(high, wide * WIDEST)
        columns, rows = max(1, round(wide)), max(1, round(high))
        return _place(across, width - columns), _place(down, height - rows), columns, rows

    def apply_to_crops(self, crops: Tensor, draws: npt.NDArray[np.float32]) -> Tensor:
        """Apply the remaining augmentations (flip, color, blur) to crops cut by `box`.

        Args:
            crops: ``(B, 3, S, S)`` uint8; they are changed in place.
            draws: ``(B, 13)`` from `drawn`, those of these images.

        Returns:
            ``(B, 3, S, S)``: `crops` itself where they are flipped at most, else float in [0, 1].
        """
        if not len(crops):
            return crops.float() / 255 if self.recolors else crops
        if self.flip > 0.0:
            _flip(crops, np.flatnonzero(draws[:, 4] < self.flip))  # known without asking a GPU
        if not self.recolors:
            return crops
        return self._recolor(crops.float() / 255, on_device(draws, crops.device), draws)

    def _recolor(self, images: Tensor, u: Tensor, draws: npt.NDArray[np.float32]) -> Tensor:
        if self.color_jitter > 0.0:
            images = self._jitter(images, u)
        if self.grayscale > 0.0:
            gray = (u[:, 10] < self.grayscale)[:, None, None, None]
            images = torch.where(gray, luminance(images).expand_as(images), images)
        if len(chosen := np.flatnonzero(draws[:, 11] < self.blur)):  # known without asking a GPU
            rows = on_device(chosen, images.device)
            images = images.index_copy(0, rows, _blurred(images[rows], u[rows]))
        return images

    def _area(self, share: _Share) -> _Share:
        return self.crop_scale + (self.crop_scale_max - self.crop_scale) * share

    def _crop_and_flip(self, images: Tensor, u: Tensor) -> Tensor:
        """Random resized crop, aspect 3/4..4/3, and flip in one resampling."""
        area, longest = self._area(u[:, 0]), math.sqrt(self.crop_scale_max)
        aspect = torch.exp((2 * u[:, 1] - 1) * math.log(4 / 3))
        width = (area * aspect).sqrt().clamp(max=longest)
        height = (area / aspect).sqrt().clamp(max=longest)
        if not self.crops:
            width, height = torch.ones_like(width), torch.ones_like(height)
        left = (2 * u[:, 2] - 1) * (1 - width)
        top = (2 * u[:, 3] - 1) * (1 - height)
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


def on_device(
    values: npt.NDArray[np.generic], device: torch.device, dtype: torch.dtype | None = None
) -> Tensor:
    """Return values as a tensor on a device, without waiting for what a GPU has yet to do."""
    tensor = torch.from_numpy(values)
    if dtype is not None:
        tensor = tensor.to(dtype)
    if device.type != "cuda":
        return tensor.to(device)
    # Out of memory that is not pinned a copy waits until all that was asked of the GPU is done.
    return tensor.pin_memory().to(device, non_blocking=True)


def _blurred(images: Tensor, u: Tensor) -> Tensor:
    """Blur each image by a Gaussian of its own width."""
    side = images.shape[-1]
    radius = max(1, round(0.05 * side))
    sigma = (0.1 + 1.9 * u[:, 12]) * side / 224
    offset = torch.arange(-radius, radius + 1, device=images.device)
    kernel = torch.exp(-0.5 * (offset / sigma[:, None].clamp(min=1e-3)) ** 2)
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    batch, channels = images.shape[:2]
    flat = images.reshape(1, batch * channels, *images.shape[2:])
    weights = kernel[:, None].expand(-1, channels, -1).reshape(batch * channels, -1)
    padded = F.pad(flat, (radius, radius, radius, radius), mode="reflect")
    rows = F.conv2d(padded, weights[:, None, :, None], groups=batch * channels)
    both = F.conv2d(rows, weights[:, None, None, :], groups=batch * channels)
    return both.reshape(images.shape)


def _flip(images: Tensor, rows: npt.NDArray[np.int64]) -> None:
    """Flip some of ``(B, 3, H, W)`` images, in place."""
    if images.device.type != "cpu":
        chosen = on_device(rows, images.device)
        images[chosen] = images[chosen].flip(3)
        return
    # Rows picked by number are copied a value at a time; single images a line at a time.
    for row in rows.tolist():
        images[row].copy_(images[row].flip(2))


def luminance(images: Tensor) -> Tensor:
    """Return ITU-R 601 luminance, ``(B, 1, H, W)``, of ``(B, 3, H, W)`` images."""
    weights = on_device(_LUMINANCE, images.device, images.dtype).view(1, 3, 1, 1)
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
    offsets = on_device(_HUES, images.device, images.dtype).view(1, 3, 1, 1)
    place = (offsets + sector) % 6
    return high - spread * torch.minimum(place, 4 - place).clamp(0, 1)
