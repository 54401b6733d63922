"""Unit features of images and texts under an open_clip model, computed the same way everywhere.

Features are float32 on the CPU. A different batch size moves them by less than 1e-6, the noise of
float32 arithmetic; no count k depends on it unless two similarities lie closer than that. Products
are those of float32 whatever the model was trained in, and whatever torch is set to: no GPU rounds
them to TF32 here, which would move features by a thousand times as much.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image as PillowImage
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import Normalize, ToTensor

from clipbench.contracts import Image, Progress, no_progress
from clipbench.errors import BadInput, ClipbenchError
from clipbench.models.openclip import Tokenizer
from clipbench.system.arithmetic import computing
from clipbench.system.threads import processors

_ROWS = 4096  # rows of a similarity matrix computed at once
_MOST_THREADS = 16
_BATCHES_AHEAD = 2  # decoded while one is encoded; bounds the memory of a set of any size


def image_features(
    model: nn.Module,
    images: Sequence[Image],
    *,
    batch_size: int = 512,
    device: torch.device | str | None = None,
    progress: Progress = no_progress,
    threads: int | None = None,
) -> Tensor:
    """Return unit features of images under open_clip's evaluation transform.

    Images are decoded and resized by threads, a few batches ahead of the model; which thread does
    an image changes no number.

    Args:
        model: an open_clip model; its mode is restored.
        images: N images of any size, decoded on access; an array is read by slices.
        batch_size: images encoded at once.
        device: where to encode; the model is moved there. Default: where the model is.
        progress: called after each batch.
        threads: that decode and resize; None: one a processor, at most 16.

    Returns:
        ``(N, D)`` float32 on the CPU.

    Raises:
        BadInput: there is no image, or one is not ``(H, W, 3)`` uint8.
        ClipbenchError: features are not finite, as after a training run that diverged.
    """
    where = _device_of(model, device)
    to_pixels = _PixelsOf(model)

    def batches() -> Iterator[Tensor]:
        done = 0
        for batch in _read(images, batch_size, to_pixels, threads):
            progress("encoding images", done, len(images))
            yield to_pixels.normalized(batch, where)
            done += len(batch)
        progress("encoding images", len(images), len(images))

    return _encode(model, "encode_image", batches(), where)


def text_features(
    model: nn.Module,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    batch_size: int = 512,
    device: torch.device | str | None = None,
    progress: Progress = no_progress,
) -> Tensor:
    """Return unit features of texts; equal texts are encoded once and have equal features.

    Args:
        model: an open_clip model; its mode is restored.
        tokenizer: the model's tokenizer.
        texts: N texts.
        batch_size: texts encoded at once.
        device: where to encode; the model is moved there. Default: where the model is.
        progress: called after each batch.

    Returns:
        ``(N, D)`` float32 on the CPU.

    Raises:
        BadInput: there is no text.
        ClipbenchError: features are not finite, as after a training run that diverged.
    """
    number_of = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    distinct = list(number_of)

    def batches() -> Iterator[Tensor]:
        for start in range(0, len(distinct), batch_size):
            progress("encoding texts", start, len(distinct))
            yield tokenizer(distinct[start : start + batch_size])
        progress("encoding texts", len(distinct), len(distinct))

    features = _encode(model, "encode_text", batches(), _device_of(model, device))
    return features[[number_of[text] for text in texts]]


def similarity(rows: Tensor, columns: Tensor) -> Tensor:
    """Return the cosine similarity of unit features of rows and columns.

    Sums are taken in float64 and rounded to float32, so that equal columns have equal similarity
    wherever they stand in the matrix, and ties are ties.

    Args:
        rows: ``(N, D)`` unit features.
        columns: ``(M, D)`` unit features.

    Returns:
        ``(N, M)`` float32.
    """
    wide = columns.double().T
    parts = [(part.double() @ wide).float() for part in torch.split(rows, _ROWS)]
    return torch.cat(parts) if parts else rows.new_zeros(0, len(columns))


def rank_of(scores: Tensor, candidate: Tensor) -> Tensor:
    """Return how many candidates come before the given one, in each row; 0 is best.

    Equal scores are ranked by position, the earlier candidate first. A model that finds everything
    equally similar thus gives every row the same answer and is right by chance alone.

    Args:
        scores: ``(N, C)``, higher is better.
        candidate: ``(N,)`` int64, a column for each row.

    Returns:
        ``(N,)`` int64.

    Raises:
        ClipbenchError: a score is not finite; every comparison with it would be won.
    """
    _check_finite(scores.sum(1))  # finite only if all terms are, and cheaper to look at
    own = scores.gather(1, candidate[:, None])
    earlier = torch.arange(scores.shape[1]) < candidate[:, None]
    return ((scores > own) | ((scores == own) & earlier)).sum(1)


class _PixelsOf:
    """Turns uint8 images into what the model's image tower takes.

    open_clip's evaluation transform resizes and crops uint8 images, and then scales and normalizes.
    The first part is done image by image, the second for a whole batch, where the model is.
    """

    def __init__(self, model: nn.Module) -> None:
        from open_clip import get_model_preprocess_cfg  # noqa: PLC0415 - heavy
        from open_clip.transform import (  # noqa: PLC0415
            PreprocessCfg,
            image_transform_v2,
            merge_preprocess_dict,
        )

        known = merge_preprocess_dict(PreprocessCfg(), get_model_preprocess_cfg(model))
        config = PreprocessCfg(**known)
        *steps, scale, normalize = image_transform_v2(config, is_train=False).transforms
        assert isinstance(scale, ToTensor), scale
        assert isinstance(normalize, Normalize), normalize
        self._steps, self._mean, self._std = steps, normalize.mean, normalize.std
        # Not `config.input_size`, which fails where a description has a list for height and width.
        size = config.size
        self.shape = (*((size, size) if isinstance(size, int) else size), 3)

    def resized(self, image: Image, number: int) -> Image:
        """Return an image in the model's size."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise BadInput(
                f"Test image {number} is {image.dtype} of shape {image.shape}; images must be "
                f"uint8 of shape (height, width, 3)."
            )
        if image.shape == self.shape:
            return image
        picture = PillowImage.fromarray(image)
        try:
            for step in self._steps:
                picture = step(picture)
        except ValueError as error:  # of a strip so narrow that nothing is left of its short side
            raise BadInput(
                f"Test image {number} of shape {image.shape} can't be brought to the model's size:"
                f" {error}. Take it out."
            ) from error
        return np.asarray(picture)

    def normalized(self, batch: Sequence[Image], device: torch.device) -> Tensor:
        """Return a batch of images in the model's size as ``(B, 3, H, W)`` float32."""
        pixels = torch.from_numpy(np.stack(batch)).to(device).permute(0, 3, 1, 2) / 255
        mean = torch.tensor(self._mean, device=device)[:, None, None]
        std = torch.tensor(self._std, device=device)[:, None, None]
        return (pixels - mean) / std


def _read(
    images: Sequence[Image], size: int, to_pixels: _PixelsOf, threads: int | None
) -> Iterator[Sequence[Image]]:
    """Yield batches of images in the model's size, in order."""
    starts = range(0, len(images), size)
    whole: object = images
    if isinstance(whole, np.ndarray) and whole.shape[1:] == to_pixels.shape:
        for start in starts:
            to_pixels.resized(images[start], start)
            yield images[start : start + size]
        return
    count = min(_MOST_THREADS, processors()) if threads is None else max(1, threads)

    def load(number: int) -> Image:
        return to_pixels.resized(images[number], number)

    waiting: deque[list[Future[Image]]] = deque()
    pool = ThreadPoolExecutor(count, thread_name_prefix="decode")
    try:
        for start in starts:
            numbers = range(start, min(start + size, len(images)))
            waiting.append([pool.submit(load, number) for number in numbers])
            if len(waiting) > _BATCHES_AHEAD:
                yield [future.result() for future in waiting.popleft()]
        while waiting:
            yield [future.result() for future in waiting.popleft()]
    finally:
        pool.shutdown(cancel_futures=True)


def _encode(
    model: nn.Module, method: str, batches: Iterator[Tensor], device: torch.device
) -> Tensor:
    """Run a tower over batches without gradient; unit float32 features on the CPU."""
    encode: Callable[..., Tensor] = getattr(model.to(device), method)
    kind = next(model.parameters()).dtype
    parts = []
    with _evaluating(model), torch.autocast(device.type, enabled=False):
        for batch in batches:
            inputs = batch.to(device, kind if batch.is_floating_point() else batch.dtype)
            parts.append(F.normalize(encode(inputs).float(), dim=-1).cpu())
    if not parts:
        raise BadInput("The data set has nothing to evaluate on: no images or no texts.")
    features = torch.cat(parts)
    _check_finite(features)
    return features


def _check_finite(values: Tensor) -> None:
    if not bool(values.isfinite().all()):
        raise ClipbenchError(
            "The model gives features that are not finite, so nothing can be measured: its "
            "training diverged. Train with a lower learning rate or a higher precision."
        )


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Put the model into evaluation mode without gradients, in plain float32; restore all of it."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad(), computing("fp32"):
            yield
    finally:
        for module in training:
            module.training = True


def _device_of(model: nn.Module, device: torch.device | str | None) -> torch.device:
    return next(model.parameters()).device if device is None else torch.device(device)
