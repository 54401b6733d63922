"""How well a trigger survives: being stored as a JPEG, and the victim's random crops.

A trigger that an encoder washes out, or that most crops cut off, makes an attack look weak for a
reason that is not the defense. These are measures of the pictures alone; no model is asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from clipbench.configuration.settings import TrainSettings
from clipbench.contracts import Image
from clipbench.errors import BadSetting
from clipbench.files.named_files import write_picture
from clipbench.images.encoding import decode, encode_jpeg
from clipbench.images.fit import fit
from clipbench.rng import generator
from clipbench.text.sinks import mathtext

if TYPE_CHECKING:
    from clipbench.loading.augment import ImageAugmentation

Trigger = Callable[[Image], Image]
CROPS = 256  # views of each image over which visibility is averaged
WINDOW, SIGMA = 11, 1.5  # of SSIM, Wang et al. 2004
COLUMNS = ("clean", "triggered", "difference", "as JPEG", "augmented")


@dataclass(frozen=True)
class Survival:
    """Measures of one trigger, means over the images.

    Args:
        psnr: of triggered against clean images in dB; higher is harder to see.
        ssim: structural similarity of triggered and clean images, 1: equal.
        changed: share of pixels that the trigger changes.
        jpeg_psnr: of triggered images against themselves after JPEG, in dB.
        jpeg_kept: how much of the difference that the trigger makes is left after JPEG; 1: all.
        visible: share of the changed pixels that lie inside a random crop.
        cut_off: share of random crops that show less than half of the changed pixels.
    """

    psnr: float
    ssim: float
    changed: float
    jpeg_psnr: float
    jpeg_kept: float
    visible: float
    cut_off: float

    def to_json(self) -> dict[str, float | None]:
        """Return the measures as JSON has them: an infinite ratio, of equal images, as null."""
        return {key: value if math.isfinite(value) else None for key, value in asdict(self).items()}


def psnr(one: Image, other: Image) -> float:
    """Return the peak signal-to-noise ratio of two images in dB; infinite if they are equal."""
    error = float(np.square(one.astype(np.float64) - other).mean())
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def ssim(one: Image, other: Image) -> float:
    """Return the mean structural similarity of the luminance of two images.

    Wang, Bovik, Sheikh, Simoncelli. Image Quality Assessment: From Error Visibility to Structural
    Similarity. IEEE Transactions on Image Processing 13(4), 2004, equation 13, with the authors'
    window and constants. Only windows that lie inside the image count.

    Args:
        one: ``(H, W, 3)``; images smaller than the window get a smaller one.
        other: likewise.
    """
    x, y = (_luminance(image) for image in (one, other))
    first, second = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_x, mean_y = _smooth(x), _smooth(y)
    var_x, var_y = _smooth(x * x) - mean_x**2, _smooth(y * y) - mean_y**2
    both = _smooth(x * y) - mean_x * mean_y
    above = (2 * mean_x * mean_y + first) * (2 * both + second)
    below = (mean_x**2 + mean_y**2 + first) * (var_x + var_y + second)
    return float((above / below).mean())


def _luminance(image: Image) -> npt.NDArray[np.float64]:
    luminance: npt.NDArray[np.float64] = image.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    return luminance


def _smooth(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return Gaussian means of all windows that lie inside."""
    width = min(WINDOW, *values.shape)
    offset = np.arange(width) - (width - 1) / 2
    kernel = np.exp(-0.5 * (offset / SIGMA) ** 2)
    kernel /= kernel.sum()
    windows = np.lib.stride_tricks.sliding_window_view
    columns = windows(values, width, axis=0) @ kernel
    smoothed: npt.NDArray[np.float64] = windows(columns, width, axis=1) @ kernel
    return smoothed


def pairs_of(trigger: Trigger, images: Sequence[Image]) -> list[tuple[Image, Image]]:
    """Return clean and triggered images, the clean ones brought to the size of the others.

    Raises:
        BadSetting: the trigger changes no pixel, or makes another shape than a square of an image.
    """
    found = []
    for image in images:
        triggered = trigger(image)
        clean = image
        if triggered.shape != image.shape:
            if triggered.shape[0] != triggered.shape[1]:
                raise BadSetting(
                    f"The trigger makes {triggered.shape[1]} x {triggered.shape[0]} pixels of"
                    f" {image.shape[1]} x {image.shape[0]}; the two can't be compared."
                )
            clean = fit(image, triggered.shape[0])
        if np.array_equal(clean, triggered):
            raise BadSetting("The trigger changes no pixel of an image; there is nothing to show.")
        found.append((clean, triggered))
    return found


def measure(
    pairs: Sequence[tuple[Image, Image]], settings: TrainSettings, quality: int = 95
) -> Survival:
    """Return how well a trigger survives.

    Args:
        pairs: clean and triggered images.
        settings: how the victim augments; of them `crop_scale` and `crop_scale_max` matter.
        quality: of the JPEG.
    """
    from clipbench.loading.augment import ImageAugmentation  # noqa: PLC0415 - heavy

    augmentation = ImageAugmentation.of(settings)
    rows = [_measure_one(*pair, augmentation, quality) for pair in pairs]
    return Survival(*(float(column) for column in np.mean(rows, axis=0)))


def _measure_one(
    clean: Image, triggered: Image, augmentation: ImageAugmentation, quality: int
) -> list[float]:
    from clipbench.loading.augment import NUM_DRAWS  # noqa: PLC0415

    stored = as_jpeg(triggered, quality)
    before = triggered.astype(np.float64) - clean
    after = stored.astype(np.float64) - as_jpeg(clean, quality)
    mask = (before != 0).any(axis=2)
    height, width = mask.shape
    draws = generator(0, "trigger report").random((CROPS, NUM_DRAWS), np.float32)
    shares = []
    for row in draws:
        left, top, wide, high = augmentation.box(width, height, row)
        seen = mask[max(0, top) : top + high, max(0, left) : left + wide]
        shares.append(seen.sum() / mask.sum())
    return [
        psnr(clean, triggered),
        ssim(clean, triggered),
        float(mask.mean()),
        psnr(triggered, stored),
        float((before * after).sum() / (before * before).sum()),
        float(np.mean(shares)),
        float(np.mean(np.asarray(shares) < 0.5)),
    ]


def as_jpeg(image: Image, quality: int) -> Image:
    """Return an image as it is after it was stored as JPEG, 4:2:0 as most files of the web are."""
    return decode(encode_jpeg(image, quality, 2))


def augmented(image: Image, settings: TrainSettings, number: int) -> Image:
    """Return an image as the victim may see it in training; the same draws for the same number."""
    import torch  # noqa: PLC0415 - heavy

    from clipbench.loading.augment import NUM_DRAWS, ImageAugmentation  # noqa: PLC0415
    from clipbench.loading.originals import cut_out  # noqa: PLC0415

    augmentation = ImageAugmentation.of(settings)
    draws = generator(0, "contact sheet", number).random((1, NUM_DRAWS), np.float32)
    side = min(image.shape[:2])
    crop = torch.empty((1, 3, side, side), dtype=torch.uint8)
    cut_out(image, augmentation.box(image.shape[1], image.shape[0], draws[0]), 1, crop[0])
    view = augmentation.apply_to_crops(crop, draws)[0].permute(1, 2, 0)
    if view.dtype != torch.uint8:
        view = (view * 255).round().clamp(0, 255).to(torch.uint8)
    pixels: Image = view.numpy()
    return pixels


def contact_sheet(
    pairs: Sequence[tuple[Image, Image]],
    settings: TrainSettings,
    path: Path,
    title: str,
    quality: int = 95,
) -> None:
    """Draw one row per image: clean, triggered, difference, after JPEG, augmented.

    Differences are stretched to the full range, or faint triggers would show as black.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - heavy

    figure = Figure(figsize=(2.2 * len(COLUMNS), 2.4 * len(pairs) + 0.4), layout="constrained")
    axes = figure.subplots(len(pairs), len(COLUMNS), squeeze=False)
    for number, (clean, triggered) in enumerate(pairs):
        difference = np.abs(triggered.astype(np.float64) - clean)
        shown = (
            clean,
            triggered,
            (difference * (255 / difference.max())).astype(np.uint8),
            as_jpeg(triggered, quality),
            augmented(triggered, settings, number),
        )
        for axis, name, image in zip(axes[number], COLUMNS, shown, strict=True):
            axis.imshow(image, interpolation="nearest")
            axis.set_axis_off()
            if number == 0:
                axis.set_title(name, fontsize=9)
    figure.suptitle(mathtext(title), fontsize=10)
    write_picture(figure, path, dpi=120)
