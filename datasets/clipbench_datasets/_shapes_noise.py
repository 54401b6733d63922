"""Captions of training pairs that do not fit: those of other pairs, as the web has them.

In each run of `AMONG` pairs, counted from 0, the same number of pairs is drawn, and each of these
gets the caption of the next one of them, the last that of the first. So the share is exact, each
caption is used once, and pair i has the same caption whatever the size of the set. (Where a size is
no multiple of `AMONG`, captions of the last run may be those of scenes beyond it.)
"""

from __future__ import annotations

import numpy as np

from clipbench.contracts import IntArray

from . import _shapes_scene as _scene
from ._shapes_hash import Draws

AMONG = 1_000
LEAST = 2 / AMONG  # with which two captions in a run change places


def sources(seed: int, start: int, stop: int, share: float) -> IntArray:
    """Return whose caption each training pair has.

    Args:
        seed: the data seed.
        start: number of the first pair.
        stop: number after the last.
        share: of pairs that have the caption of another, to `AMONG` parts.

    Returns:
        ``(stop - start,)`` numbers of pairs; where a pair has its own caption, its own.
    """
    first, last = start // AMONG, -(-stop // AMONG)
    index = np.arange(first * AMONG, last * AMONG, dtype=np.int64)
    ranks = Draws(seed, "train", index).bits("caption", "noise").reshape(-1, AMONG)
    drawn = np.argsort(ranks, axis=1, kind="stable")[:, : round(share * AMONG)]
    found = index.reshape(-1, AMONG).copy()
    swapped = np.take_along_axis(found, np.roll(drawn, -1, axis=1), axis=1)
    np.put_along_axis(found, drawn, swapped, axis=1)
    own: IntArray = found.reshape(-1)[start - first * AMONG : stop - first * AMONG]
    return own


def captioned(seed: int, start: int, stop: int, share: float) -> _scene.Scenes:
    """Return the scenes that the captions of training pairs `start` to `stop` are of."""
    return _scene.training_scenes(seed, sources(seed, start, stop, share))
