"""Batch norm over the batch of all processes, on any device.

On GPUs it is torch's SyncBatchNorm, which needs them. Elsewhere a differentiable sum does the same,
so that two processes on CPUs train exactly what one does.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from clipbench.parallel.group import watched


def synchronize_batch_norm(model: nn.Module) -> None:
    """Make every batch norm of `model` take its statistics from all processes' rows, in place."""
    if all(parameter.device.type == "cuda" for parameter in model.parameters()):
        from timm import layers  # noqa: PLC0415 - heavy

        convert: Any = layers.convert_sync_batchnorm  # type: ignore[attr-defined]
        convert(model)
        return
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.forward = _Synchronized(module)  # type: ignore[assignment]


class _Synchronized:
    """The forward pass of one batch norm, with statistics of all processes."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._alone = module.forward

    def __call__(self, images: Tensor) -> Tensor:
        """Normalize ``(B_own, C, ...)``; in evaluation mode as ever."""
        module = self._module
        if not module.training:
            out: Tensor = self._alone(images)
            return out
        values = images.float()
        axes = [axis for axis in range(values.ndim) if axis != 1]
        # In double: the difference of two large sums is taken, and one process sums more finely.
        sums = [part.sum(axes, dtype=torch.float64) for part in (values, values * values)]
        count = sums[0].new_tensor([values.numel() / values.shape[1]])
        sums_of_all: Tensor = _SumOverProcesses.apply(torch.cat([*sums, count]))
        total = sums_of_all[-1]
        mean, square = (part / total for part in sums_of_all[:-1].chunk(2))
        variance = (square - mean * mean).clamp(min=0)
        with torch.no_grad():
            module.num_batches_tracked += 1
            running = variance * total / (total - 1)
            module.running_mean.lerp_(mean.to(module.running_mean.dtype), module.momentum)
            module.running_var.lerp_(running.to(module.running_var.dtype), module.momentum)
        shape = [1, -1, *[1] * (values.ndim - 2)]
        scale = module.weight * torch.rsqrt(variance + module.eps)
        shift = module.bias - mean * scale
        scale, shift = (part.to(values.dtype).view(shape) for part in (scale, shift))
        out = (values * scale + shift).to(images.dtype)
        # timm's BatchNormAct2d has dropout and an activation inside.
        for name in ("drop", "act"):
            if hasattr(module, name):
                out = getattr(module, name)(out)
        return out


class _SumOverProcesses(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: object, values: Tensor) -> Tensor:  # noqa: ARG004
        return _summed(values)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:  # noqa: ARG004
        return _summed(gradient)


def _summed(values: Tensor) -> Tensor:
    total = values.clone()
    with watched():
        dist.all_reduce(total)
    return total
