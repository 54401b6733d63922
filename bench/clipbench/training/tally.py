"""The losses of a phase, which a GPU has computed when somebody looks at them, and not before.

To ask a GPU for a number is to wait until it has done all that it was told to, and to leave it idle
until it is told more. So its losses are looked at together, every so many steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from clipbench.errors import ClipbenchError

LOOK_EVERY = 50  # steps of a GPU


class Tally:
    """The losses of a phase.

    Args:
        phase: its name, for messages.
        losses: of steps before, of a training run that is taken up.
    """

    def __init__(self, phase: str, losses: Sequence[float] = ()) -> None:
        self._phase = phase
        self.losses = list(losses)  # as far as they were looked at
        self._waiting: list[tuple[Tensor, str]] = []

    def add(self, loss: Tensor, where: str) -> None:
        """Take the loss of one more step, a scalar; on the CPU it is looked at now.

        Args:
            loss: the loss.
            where: names the step in messages.

        Raises:
            ClipbenchError: a loss that is looked at is not finite.
        """
        self._waiting.append((loss, where))
        if loss.device.type != "cuda" or len(self._waiting) >= LOOK_EVERY:
            self.look()

    def look(self) -> None:
        """Wait for the losses of all steps so far, in `losses` then.

        Raises:
            ClipbenchError: one is not finite.
        """
        if not self._waiting:
            return
        values: list[float] = torch.stack([loss for loss, _ in self._waiting]).tolist()
        places = [where for _, where in self._waiting]
        self._waiting.clear()
        for value, where in zip(values, places, strict=True):
            refuse_infinite(value, self._phase, where)
        self.losses += values


def refuse_infinite(value: float, phase: str, where: str) -> None:
    """Refuse a loss from which nothing can be learned.

    Raises:
        ClipbenchError: it is not finite.
    """
    if not math.isfinite(value):
        raise ClipbenchError(
            f"The loss of phase {phase!r} is {value} in {where}."
            " Lower --lr or use --precision fp32."
        )
