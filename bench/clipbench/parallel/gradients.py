"""Gradients summed over processes while the backward pass is still at work.

As torch's DistributedDataParallel does it (Li et al. 2020, section 3.2): the last
parameters, whose gradients come first, lie in the first bucket, and a bucket travels as soon as its
gradients are there. DistributedDataParallel itself wraps a module's `forward` and averages; here
towers are called by name, several times a step, and gradients are parts of one sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn

from clipbench.parallel.group import Processes, watched

BUCKET_BYTES = 25 << 20  # as DistributedDataParallel's


class GradientSum:
    """Replaces every gradient of a backward pass by its sum over all processes.

    Gradients are the same in all processes afterwards, to the bit. Every process calls it with the
    same parameters, and in each the same ones have gradients, or none of them.

    Args:
        parameters: of the model, in its own order.
        processes: this process among all.
        bucket_bytes: gradients that travel together take at most so much, or are one.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        processes: Processes,
        bucket_bytes: int = BUCKET_BYTES,
    ) -> None:
        self._buckets: list[list[nn.Parameter]] = []
        self._missing: list[int] = []
        self._sent: list[tuple[Tensor, dist.Work | None]] = []
        self._at_work = False
        if processes.count == 1:
            return
        self._buckets = _buckets(parameters, bucket_bytes)
        for number, bucket in enumerate(self._buckets):
            for parameter in bucket:
                parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                    lambda _, number=number: self._arrived(number)
                )

    @contextmanager
    def summed(self) -> Iterator[None]:
        """Sum the gradients of the backward pass that is run inside; they are there at its end."""
        self._missing, self._sent = [len(bucket) for bucket in self._buckets], []
        self._at_work = True
        try:
            yield
        finally:
            self._at_work = False
        self._finish()

    def _arrived(self, number: int) -> None:
        """Send what is complete, in the order of the buckets: the same in all processes."""
        if not self._at_work:  # another learner's pass over the same parameters
            return
        self._missing[number] -= 1
        while len(self._sent) < len(self._buckets) and not self._missing[len(self._sent)]:
            self._send()

    def _send(self) -> None:
        gradients = _gradients(self._buckets[len(self._sent)])
        flat = torch.cat(gradients) if gradients else torch.empty(0)
        with watched():
            work = dist.all_reduce(flat, async_op=True) if gradients else None
        self._sent.append((flat, work))

    def _finish(self) -> None:
        """Send what a pass left incomplete, for some parameters had no part in it; take all in."""
        while len(self._sent) < len(self._buckets):
            self._send()
        for bucket, (flat, work) in zip(self._buckets, self._sent, strict=True):
            if work is None:
                continue
            with watched():
                work.wait()
            given = [p.grad for p in bucket if p.grad is not None]
            parts = torch.split(flat, [gradient.numel() for gradient in given])
            for gradient, part in zip(given, parts, strict=True):
                gradient.copy_(part.view_as(gradient))
        self._sent = []


def _gradients(bucket: Sequence[nn.Parameter]) -> list[Tensor]:
    """Return the gradients of a bucket, each of one dimension."""
    return [p.grad.flatten() for p in bucket if p.grad is not None]


def _buckets(parameters: Sequence[nn.Parameter], bucket_bytes: int) -> list[list[nn.Parameter]]:
    """Deal parameters out, the last first; those of one bucket have one dtype."""
    buckets: list[list[nn.Parameter]] = []
    room = 0
    for parameter in reversed(parameters):
        size = parameter.numel() * parameter.element_size()
        if not buckets or size > room or parameter.dtype != buckets[-1][0].dtype:
            buckets.append([])
            room = bucket_bytes
        buckets[-1].append(parameter)
        room -= size
    return buckets
