"""The optimiser, and the number format of the forward pass."""

from __future__ import annotations

import torch
from torch import nn

from clipbench.settings import TrainSettings


def make_optimizer(model: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """Return AdamW without weight decay on norms, biases and the logit scale."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    plain = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
    groups = [
        {"params": decayed, "weight_decay": settings.wd},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups,
        lr=settings.lr,
        betas=(settings.beta1, settings.beta2),
        eps=settings.eps,
        fused=True,
    )


def resolve_precision(name: str, model: nn.Module, device: torch.device) -> str:
    """Return ``fp32`` or ``bf16``; ``auto`` takes bf16 where it is faster.

    That is on GPUs, and on CPUs with bf16 matrix units for convolutions and large models; small
    transformers lose more by conversion than they gain.
    """
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    if not getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)():
        return "fp32"
    tower: nn.Module = model.visual  # type: ignore[assignment]
    convolves = any(
        isinstance(module, nn.Conv2d) and module.groups == 1 and module.kernel_size > module.stride
        for module in tower.modules()
    )
    large = sum(p.numel() for p in tower.parameters()) > 10_000_000
    return "bf16" if convolves or large else "fp32"
