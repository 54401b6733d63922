"""Random numbers by sample number: hashes of (seed, split, field, number), for ranges at once.

Sample i gets the same numbers whatever was drawn before it, beside it or by whom.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from clipbench.contracts import IntArray
from clipbench.rng import derive_seed

Split = Literal["train", "test", "targets"]
SPLITS: tuple[Split, ...] = get_args(Split)

Floats = npt.NDArray[np.float64]
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Draws:
    """Uniform numbers of named fields for each of a range of sample numbers."""

    seed: int
    split: Split
    index: IntArray

    def bits(self, *field: str | int) -> Hashes:
        """Return ``(n,)`` 64-bit hashes of (seed, split, field, sample number)."""
        key = derive_seed(self.seed, "shapes", self.split, *field)
        start, salt = np.uint64(key & (2**64 - 1)), np.uint64(key >> 64)
        weyl = self.index.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + start
        return _mix(_mix(weyl) ^ salt)

    def uniform(self, *field: str | int) -> Floats:
        """Return ``(n,)`` numbers in [0, 1)."""
        return (self.bits(*field) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def between(self, low: float | Floats, high: float | Floats, *field: str | int) -> Floats:
        """Return ``(n,)`` numbers in [low, high)."""
        return low + (high - low) * self.uniform(*field)

    def choice(self, count: int | IntArray, *field: str | int) -> IntArray:
        """Return ``(n,)`` integers in [0, count), each as likely."""
        return (self.uniform(*field) * count).astype(np.int64)


def _mix(x: Hashes) -> Hashes:
    """Scramble 64-bit words; the finalizer of SplitMix64 (Steele et al., OOPSLA 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
