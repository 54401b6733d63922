"""Deliveries of a small world, as features and words: classes, captions that fit, suppliers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from clipbench.audit.monitor.asked import Names
from clipbench.audit.monitor.differences import Ints
from clipbench.audit.monitor.pairs import Pairs, hash_of

CLASSES, DIMENSIONS = 20, 16
SUPPLIERS = ("north", "south", "west")
_COLORS, _SHAPES = ("red", "green", "blue", "gray", "pink"), ("disc", "star", "ring", "cube")
_FILLERS = tuple(f"filler{number}" for number in range(30))
_CENTERS = np.random.default_rng(7).standard_normal((CLASSES, DIMENSIONS))
NAMES = Names(
    words={hash_of(word): word for word in (*_COLORS, *_SHAPES, *_FILLERS)},
    suppliers={hash_of(name): name for name in SUPPLIERS},
)


def delivery(rng: np.random.Generator, count: int, poisons: int = 0) -> Pairs:
    """Return pairs of which the last are those of a backdoor: any image, captions of one class.

    Args:
        rng: draws them.
        count: pairs.
        poisons: pairs among them whose caption is of class 0, whatever the image shows.
    """
    shown = rng.integers(CLASSES, size=count)
    said = shown.copy()
    if poisons:
        shown[-poisons:] = rng.integers(1, CLASSES, size=poisons)
        said[-poisons:] = 0
    words = [
        [_COLORS[one % 5], _SHAPES[one // 5], *rng.choice(_FILLERS, 3, replace=False)]
        for one in said.tolist()
    ]
    starts = np.append(0, np.cumsum([len(own) for own in words]))
    return Pairs(
        image=_near(rng, shown),
        text=_near(rng, said),
        image_hash=rng.integers(2**63, size=count).astype(np.uint64),
        caption_sha256=rng.integers(2**63, size=count).astype(np.uint64),
        size=np.full(count, 32 << 32 | 32, np.uint64),
        supplier=np.array([hash_of(name) for name in rng.choice(SUPPLIERS, count)], np.uint64),
        words=np.array([hash_of(word) for own in words for word in own], np.uint64),
        starts=starts.astype(np.int64),
    )


def with_shuffled_captions(rng: np.random.Generator, pairs: Pairs, supplier: str) -> Pairs:
    """Return pairs of which those of a supplier have the captions of one another."""
    rows = np.flatnonzero(pairs.supplier == hash_of(supplier))
    order: Ints = np.arange(len(pairs))
    order[rows] = rng.permutation(rows)
    other = pairs.take(order)
    return replace(other, image=pairs.image, supplier=pairs.supplier, image_hash=pairs.image_hash)


def _near(
    rng: np.random.Generator, classes: Ints
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    features = _CENTERS[classes] + 0.5 * rng.standard_normal((len(classes), DIMENSIONS))
    return (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
