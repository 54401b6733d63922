"""The only place where random numbers come from.

A stream is named by the run's seed and a scope, e.g. ``generator(seed, "augment", epoch, step)``.
Streams of different scopes are independent, and none depends on how many draws another made, on
worker count, or on the order of work; that is what makes a resumed or re-distributed run the same.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from clipbench.text.visible import hashable

_STEP = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / the golden ratio, odd


def derive_seed(seed: int, *scope: str | int) -> int:
    """Return a 128-bit seed for `scope`, a pure function of its arguments on every platform."""
    text = "\x1f".join([str(seed), *(f"{type(part).__name__}:{part}" for part in scope)])
    return int.from_bytes(hashlib.sha256(hashable(text)).digest()[:16], "big")


def generator(seed: int, *scope: str | int) -> np.random.Generator:
    """Return the generator of one named stream.

    Example:
        >>> generator(0, "order", 1).integers(10) == generator(0, "order", 1).integers(10)
        np.True_
    """
    return np.random.Generator(np.random.PCG64(derive_seed(seed, *scope)))


class RowStreams:
    """Random numbers for the rows of a batch, each row with a stream of its own.

    A row's numbers are a function of the seed, the scope and the row's key alone: not of who else
    is in the batch, of the order of rows or of how many processes share them. They are
    SplitMix64's (Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA
    2014), whose n-th number is known without those before it, so a whole batch is drawn at once.

    Args:
        starts: where each row's stream starts, ``(B,)`` uint64.
    """

    def __init__(self, starts: npt.NDArray[np.uint64]) -> None:
        self._starts = starts

    @classmethod
    def named(cls, seed: int, *scope: str | int, keys: npt.NDArray[np.int64]) -> RowStreams:
        """Return the streams of rows with these keys, ``(B,)``; equal keys have equal streams."""
        name = derive_seed(seed, *scope)
        low, high = np.uint64(name & 0xFFFFFFFFFFFFFFFF), np.uint64(name >> 64)
        return cls(_mixed(_mixed(keys.astype(np.uint64) * _STEP + low) ^ high))

    def __len__(self) -> int:
        return len(self._starts)

    def of(self, rows: npt.NDArray[np.int64]) -> RowStreams:
        """Return the streams of some rows, or of rows as often as they are named."""
        return RowStreams(self._starts[rows])

    def bits(self, number: int | npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
        """Return each stream's n-th number.

        Args:
            number: n, counted from 0: one for all rows, ``(B,)``, or ``(1, K)`` or ``(B, K)``.

        Returns:
            Numbers below 2**64, ``(B,)`` or ``(B, K)``.
        """
        count = np.atleast_1d(number).astype(np.uint64) + np.uint64(1)
        starts = self._starts if count.ndim < 2 else self._starts[:, None]
        return _mixed(starts + count * _STEP)

    def uniform(self, number: int | npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return each stream's n-th number as one in [0, 1); shapes as for `bits`."""
        return (self.bits(number) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mixed(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return SplitMix64's output of each state."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
