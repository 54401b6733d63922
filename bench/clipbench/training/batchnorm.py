"""Batch norm over the batch of all processes, on any device.

torch's SyncBatchNorm needs GPUs; this does the same with differentiable collectives, so that two
processes on CPUs train exactly what one does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.nn import functional as collectives  # type: ignore[attr-defined]
from torch.nn.modules.batchnorm import _BatchNorm


def synchronise_batch_norm(model: nn.Module) -> None:
    """Make every batch norm of `model` take its statistics from all processes' rows, in place."""
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.forward = _Synchronised(module)  # type: ignore[method-assign]


class _Synchronised:
    """The forward pass of one batch norm, with statistics of all processes."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._alone = module.forward

    def __call__(self, images: Tensor) -> Tensor:
        """Normalise ``(B_own, C, ...)``; in evaluation mode as ever."""
        module = self._module
        if not module.training:
            return self._alone(images)  # type: ignore[no-any-return]
        values = images.float()
        axes = [axis for axis in range(values.ndim) if axis != 1]
        count = values.new_tensor([values.numel() / values.shape[1]])
        sums = torch.cat([values.sum(axes), (values * values).sum(axes), count])
        sums = _sum_over_processes(sums)
        total = sums[-1]
        mean, square = (part / total for part in sums[:-1].chunk(2))
        variance = square - mean * mean
        with torch.no_grad():
            module.num_batches_tracked += 1
            module.running_mean.lerp_(mean, module.momentum)
            module.running_var.lerp_(variance * total / (total - 1), module.momentum)
        shape = [1, -1, *[1] * (values.ndim - 2)]
        scale = module.weight * torch.rsqrt(variance + module.eps)
        shift = module.bias - mean * scale
        out = (values * scale.view(shape) + shift.view(shape)).to(images.dtype)
        # timm's BatchNormAct2d has dropout and an activation inside.
        for name in ("drop", "act"):
            if hasattr(module, name):
                out = getattr(module, name)(out)
        return out


def _sum_over_processes(values: Tensor) -> Tensor:
    if not torch.is_grad_enabled():
        torch.distributed.all_reduce(values)
        return values
    return collectives.all_reduce(values)  # type: ignore[no-any-return]
