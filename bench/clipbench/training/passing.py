"""Similarities of image and caption that training steps computed anyway, kept for one epoch."""

from __future__ import annotations

import torch
from torch import Tensor

from clipbench.contracts import IntArray
from clipbench.loading.augment import on_device


class PassScores:
    """What the steps of the epoch before made of each pair, and those of this epoch so far."""

    def __init__(self) -> None:
        self._before: Tensor | None = None  # (N,), NaN where no step computed any
        self._now: Tensor | None = None

    def note(self, pairs: IntArray, values: Tensor, num_pairs: int) -> None:
        """Keep the similarities of a batch, ``(B,)``; a GPU's stay there until they are asked for.

        Args:
            pairs: numbers of the batch's pairs, ``(B,)``.
            values: their similarities.
            num_pairs: N, pairs in the set that they are of.
        """
        if self._now is None:
            self._now = torch.full((num_pairs,), torch.nan, device=values.device)
        self._now[on_device(pairs, values.device)] = values

    def turn(self) -> None:
        """Begin an epoch: what was of this one is of the one before."""
        self._before, self._now = self._now, None

    def clear(self) -> None:
        """Begin a stage: of another model, or another set, as it may be, nothing is known."""
        self._before = self._now = None

    def of(self, pairs: IntArray) -> Tensor:
        """Return what the epoch before made of pairs, ``(B,)`` on the CPU; NaN: nothing."""
        if self._before is None:
            return torch.full((len(pairs),), torch.nan)
        return self._before.cpu()[torch.from_numpy(pairs)]

    def state(self) -> Tensor | None:
        """Return what is known of this epoch so far."""
        return None if self._now is None else self._now.cpu()

    def load(self, now: Tensor | None, device: torch.device) -> None:
        """Take up an epoch where it was stopped."""
        self._now = None if now is None else now.to(device)
