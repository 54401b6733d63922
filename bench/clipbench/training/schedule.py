"""Learning-rate schedules as pure functions of progress."""

from __future__ import annotations

import math


def warmup_cosine(step: int, progress: float, warmup: int) -> float:
    """Return the factor on the base learning rate: linear warm-up, then cosine to zero.

    Args:
        step: optimiser steps done so far, over the whole training.
        progress: share of the training done, in [0, 1]; the factor is 0 at 1.
        warmup: steps of linear warm-up.

    Returns:
        A factor in [0, 1].
    """
    rise = min(1.0, (step + 1) / warmup) if warmup > 0 else 1.0
    return rise * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def cosine_of_steps(step: int, total: float, warmup: int) -> float:
    """Return the factor of a schedule that counts steps: warm-up of `warmup`, cosine up to `total`.

    Past `total` the cosine rises again; nothing here hides that.
    """
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
