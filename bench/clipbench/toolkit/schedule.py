"""Learning-rate schedules as pure functions of progress."""

from __future__ import annotations

import math


def cosine_after_warmup(progress: float, one_step: float, warmup: float) -> float:
    """Return the factor on the base learning rate: linear warm-up to one, then cosine to zero.

    As open_clip trains, and the authors of SafeCLIP, RoCLIP and CleanCLIP: where all steps are
    equal shares, it is `cosine_of_steps`. In shares it also fits training runs whose phases differ.

    Args:
        progress: share of the training done, in [0, 1]; the factor is 0 at 1.
        one_step: share of one step with a whole batch.
        warmup: share of the warm-up; of 1 and more the peak is reached at the end, or not at all.

    Returns:
        A factor in [0, 1].
    """
    if progress < warmup:
        return min(1.0, (progress + one_step) / warmup)
    if progress >= 1.0:
        return 0.0
    return 0.5 * (1.0 + math.cos(math.pi * (progress - warmup) / (1.0 - warmup)))


def warmup_cosine(step: int, progress: float, warmup: int) -> float:
    """Return the factor of linear warm-up times cosine, under which the peak is never reached.

    The cosine falls while the rate still rises: after a warm-up of a third of the training the
    highest factor is 0.77. The published rows were trained under it.

    Args:
        step: optimizer steps done so far, over the whole training.
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
