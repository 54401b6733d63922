"""From batches of views to unit features, the same for training and for scoring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from clipbench.contracts import Features
from clipbench.models import open_clip
from clipbench.training.distributed import Processes
from clipbench.training.pairs import Batch

GPU_ATTENTION = (SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH)


class Encoder:
    """Runs both towers of a model.

    Args:
        model: an open_clip model on its device.
        processes: this process among all.
        precision: ``fp32`` or ``bf16``.
    """

    def __init__(self, model: nn.Module, processes: Processes, precision: str) -> None:
        self._model = model
        self._processes = processes
        self._precision = precision
        mean, std = normalisation(model)
        self._mean = torch.tensor(mean, device=processes.device).view(1, 3, 1, 1)
        self._std = torch.tensor(std, device=processes.device).view(1, 3, 1, 1)

    def features(self, batch: Batch, detached_views: int) -> Features:
        """Return the features of all views of the global batch.

        Args:
            batch: this process's rows.
            detached_views: how many of the first views are computed without gradient.
        """
        images = batch.images.flatten(0, 1)
        tokens = batch.tokens.flatten(0, 1)
        cut = detached_views * batch.images.shape[1]
        parts = []
        if cut:
            with torch.no_grad():
                parts.append(self.encode(images[:cut], tokens[:cut]))
        parts.append(self.encode(images[cut:], tokens[cut:]))
        own = batch.images.shape[1]
        image, text = (
            self._processes.gather(
                torch.cat([part[i] for part in parts]).view(batch.images.shape[0], own, -1),
                batch.num_rows,
            )
            for i in (0, 1)
        )
        scale: Tensor = self._model.logit_scale  # type: ignore[assignment]
        return Features(image, text, self._processes.share_of_common(scale.exp()))

    def encode(self, images: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return unit features of images and captions, ``(B, D)`` float32."""
        device = self._processes.device
        images = images.to(device, non_blocking=True)
        if images.dtype == torch.uint8:
            images = images.float() / 255
        images = (images - self._mean) / self._std
        images = images.contiguous(memory_format=torch.channels_last)
        # On the CPU the fused attention is slower than plain matrix products for short captions.
        backends = [SDPBackend.MATH] if device.type == "cpu" else list(GPU_ATTENTION)
        bf16 = self._precision == "bf16"
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16), sdpa_kernel(backends):
            image = self._model.encode_image(images)  # type: ignore[operator]
            text = self._model.encode_text(tokens.to(device))  # type: ignore[operator]
        return F.normalize(image.float(), dim=1), F.normalize(text.float(), dim=1)


def normalisation(model: nn.Module) -> tuple[Sequence[float], Sequence[float]]:
    """Return mean and standard deviation by which the model's input is normalised."""
    visual: Any = model.visual
    mean = getattr(visual, "image_mean", None) or open_clip().OPENAI_DATASET_MEAN
    std = getattr(visual, "image_std", None) or open_clip().OPENAI_DATASET_STD
    return mean, std
