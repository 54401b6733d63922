"""From batches of views to unit features, the same for training and for scoring."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from clipbench.contracts import Features
from clipbench.loading.pairs import Batch
from clipbench.models.openclip import towers_of
from clipbench.models.preprocessing import preprocessing_of
from clipbench.parallel.group import Processes
from clipbench.system.arithmetic import computing

CACHED = 1 << 19  # float32 values, 2 MB, that a processor's caches hold between two passes
GPU_ATTENTION = (SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH)


class Encoder:
    """Runs both towers of a model.

    Args:
        model: an open_clip model on its device.
        processes: this process among all.
        precision: ``fp32``, ``tf32`` or ``bf16``.
        compiled: whether towers run as code that `torch.compile` makes at their first use.
    """

    def __init__(
        self, model: nn.Module, processes: Processes, precision: str, *, compiled: bool = False
    ) -> None:
        self._model = model
        towers = towers_of(model)
        self._encode_image, self._encode_text = towers.encode_image, towers.encode_text
        if compiled:
            # For any number of rows: the last batch of an epoch has fewer, and so has a scored one.
            self._encode_image = torch.compile(self._encode_image, dynamic=True)
            self._encode_text = torch.compile(self._encode_text, dynamic=True)
        self._processes = processes
        self._precision = precision
        self._normalize = Normalization(*mean_and_std(model), processes.device)

    def features(self, batch: Batch, detached_views: int) -> Features:
        """Return the features of all views of the global batch.

        Args:
            batch: this process's rows.
            detached_views: how many of the first views are computed without gradient.
        """
        views, own = batch.images.shape[:2]
        images = batch.images.flatten(0, 1)
        tokens = batch.tokens.flatten(0, 1)
        cut = detached_views * own
        parts = []
        # A process without a row makes the same passes: batch norm waits for all of them.
        if detached_views:
            with torch.no_grad():
                parts.append(self.encode(images[:cut], tokens[:cut]))
        parts.append(self.encode(images[cut:], tokens[cut:]))
        image, text = (
            self._processes.gather(
                torch.cat([part[i] for part in parts]).view(views, own, parts[0][i].shape[1]),
                batch.num_rows,
            )
            for i in (0, 1)
        )
        scale: Tensor = self._model.logit_scale  # type: ignore[assignment]
        return Features(image, text, self._processes.share_of_common(scale.exp()))

    def encode(self, images: Tensor, tokens: Tensor, *, unit: bool = True) -> tuple[Tensor, Tensor]:
        """Return features of images and captions, ``(B, D)`` float32, of unit length or as is."""
        device = self._processes.device
        images = self._normalize(images.to(device, non_blocking=True))
        # On the CPU the fused attention is slower than plain matrix products for short captions.
        backends = [SDPBackend.MATH] if device.type == "cpu" else list(GPU_ATTENTION)
        bf16 = self._precision == "bf16"
        autocast = torch.autocast(device.type, torch.bfloat16, enabled=bf16)
        with computing(self._precision), autocast, sdpa_kernel(backends):
            image = self._encode_image(images)
            text = self._encode_text(tokens.to(device))
        if not unit:
            return image.float(), text.float()
        return F.normalize(image.float(), dim=1), F.normalize(text.float(), dim=1)


class Normalization:
    """Brings pixels to the mean and standard deviation that a model expects.

    Args:
        mean: of each channel, of pixels in [0, 1].
        std: likewise.
        device: where images will be.
    """

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], device: torch.device | None = None
    ) -> None:
        center = torch.tensor(mean, dtype=torch.float64).view(3, 1, 1)
        spread = torch.tensor(std, dtype=torch.float64).view(3, 1, 1)
        self._offset = (-center / spread).float().to(device)
        self._scale = {
            torch.uint8: (1 / (255 * spread)).float().to(device),
            torch.float32: (1 / spread).float().to(device),
        }

    def __call__(self, images: Tensor, out: Tensor | None = None) -> Tensor:
        """Return normalized images, float32, channels last unless `out` says otherwise.

        Args:
            images: ``(B, 3, H, W)``, uint8 or float32 in [0, 1].
            out: where to write them; memory that is used again saves its first touch, which on the
                CPU takes longer than the arithmetic.
        """
        if out is None:
            out = torch.empty(
                images.shape,
                dtype=torch.float32,
                device=images.device,
                memory_format=torch.channels_last,
            )
        scale = self._scale[images.dtype]
        # A processor makes three passes over what still lies in its cache.
        rows = max(1, len(images) if images.is_cuda else CACHED // images.shape[1:].numel())
        for start in range(0, len(images), rows):
            part = slice(start, start + rows)
            out[part].copy_(images[part]).mul_(scale).add_(self._offset)
        return out


def mean_and_std(model: nn.Module) -> tuple[Sequence[float], Sequence[float]]:
    """Return mean and standard deviation by which the model's input is normalized."""
    known = preprocessing_of(model)
    assert known.mean is not None
    assert known.std is not None
    return known.mean, known.std
