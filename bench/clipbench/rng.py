"""The only place where a random generator is made.

A stream is named by the run's seed and a scope, e.g. ``generator(seed, "augment", epoch, step)``.
Streams of different scopes are independent, and none depends on how many draws another made, on
worker count, or on the order of work; that is what makes a resumed or re-distributed run the same.
"""

from __future__ import annotations

import hashlib

import numpy as np

from clipbench.visible import hashable


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
