"""Which pairs an epoch trains on, in which order: a function of seed and epoch alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from clipbench.rng import generator

IntArray = npt.NDArray[np.int64]


class EpochOrder(NamedTuple):
    """What decides the pairs of an epoch and their order; `epoch_pairs` explains each."""

    num_pairs: int
    pairs_per_epoch: int
    epoch: int
    seed: int
    first: int = 0

    def pairs(self) -> IntArray:
        """Return the pairs, ``(pairs_per_epoch,)``."""
        return epoch_pairs(*self)


def epoch_pairs(
    num_pairs: int, pairs_per_epoch: int, epoch: int, seed: int, first: int = 0
) -> IntArray:
    """Return the pairs of one epoch.

    Passes over the data are random permutations, laid end to end; an epoch is the next
    `pairs_per_epoch` of them. So every pair is seen exactly once a pass, however long an epoch is.

    Args:
        num_pairs: N, pairs in the set.
        pairs_per_epoch: pairs of one epoch, at most N.
        epoch: 0, 1, ...
        seed: the run's seed.
        first: the epoch at which a model began anew; it begins with a pass of its own.

    Returns:
        ``(pairs_per_epoch,)`` pair numbers.
    """
    begun = -(-first * pairs_per_epoch // num_pairs) * num_pairs
    if not pairs_per_epoch:
        return np.empty(0, np.int64)
    start = begun + (epoch - first) * pairs_per_epoch
    stop = start + pairs_per_epoch
    parts = []
    while start < stop:
        number, offset = divmod(start, num_pairs)
        take = min(num_pairs - offset, stop - start)
        permutation = generator(seed, "order", number).permutation(num_pairs)
        parts.append(permutation[offset : offset + take])
        start += take
    return np.concatenate(parts)


def batches(pairs: IntArray, batch_size: int) -> list[IntArray]:
    """Split pairs into the fewest batches of at most `batch_size`, equal in size up to one pair.

    No pair is left out, and no batch is so small that its contrastive loss means something else.
    But of an odd number of pairs in batches of two the last is alone, which contrasts with nothing.
    """
    if len(pairs) == 0:
        return []
    return np.array_split(pairs, -(-len(pairs) // batch_size))
