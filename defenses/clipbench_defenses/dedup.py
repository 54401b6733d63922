"""De-duplication: keep a few pairs of each group of images that look the same.

The perceptual hash pHash: Zauner. Implementation and Benchmarking of Perceptual Image Hash
Functions. Master's thesis, Upper Austria University of Applied Sciences, Hagenberg, 2010, section
3.2.1. https://www.phash.org/docs/pubs/thesis_zauner.pdf

Not from a paper on poisoning. Crawled sets are often de-duplicated before training, which removes
the copies of an attack that repeats one image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as Pil
from scipy.fft import dctn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from clipbench.contracts import DefenseRun, EpochPairs, Ge, Image, Le, Phase, Plugin, TrainingFacts
from clipbench.rng import generator
from clipbench_defenses._plain import loss

Hashes = npt.NDArray[np.uint64]
SIDE = 32  # pixels of the gray image that is transformed
LOW = 8  # rows and columns of lowest frequencies that make the 64 bits
MOST_APART = 3  # so far apart, two hashes of 64 bits share one of four quarters
ROWS = 1_024  # hashes compared with all of their bucket at once


@dataclass(frozen=True)
class Dedup(Plugin):
    """Keep at most some pairs of each group of images that look the same.

    Args:
        copies: pairs to keep of each group, drawn from the seed; 0: none of a group of several.
        distance: largest difference of two hashes that count as the same, 0 to 3 of 64 bits. An
            image that is saved again differs by 0 or 2.
    """

    copies: Annotated[int, Ge(0)] = 1
    distance: Annotated[int, Ge(0), Le(MOST_APART)] = 3

    def start(self, facts: TrainingFacts) -> DefenseRun:
        """Return the de-duplication for one training run."""
        return DedupRun(self, facts.seed)


class DedupRun:
    """De-duplication during one training run; it looks at all images before the first epoch."""

    def __init__(self, config: Dedup, seed: int) -> None:
        self._config, self._seed = config, seed
        self._keep: Tensor | None = None

    def phases(self, epoch: int, pairs: EpochPairs) -> Iterator[Phase]:  # noqa: ARG002
        """Yield the one phase of an epoch; before the first, look at all images."""
        if self._keep is None:
            groups = alike(hashes_of(pairs.whole_set.images), self._config.distance)
            self._keep = torch.from_numpy(some_of_each(groups, self._config.copies, self._seed))
        yield Phase("kept", loss, keep=self._keep[torch.from_numpy(pairs.numbers)])

    def state_dict(self) -> dict[str, Any]:
        """Return the pairs to keep."""
        return {"keep": self._keep}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self._keep = state["keep"]


def phash(image: Image) -> int:
    """Return a 64-bit hash of an image: which of its low frequencies exceed their median."""
    gray = Pil.fromarray(image).convert("L").resize((SIDE, SIDE), Pil.Resampling.LANCZOS)
    # Of the two-dimensional cosine transform, without the first row and column: the thesis leaves
    # out the lowest frequencies, which tell brightness and slope of light.
    low = dctn(np.asarray(gray, dtype=np.float64))[1 : LOW + 1, 1 : LOW + 1]
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def hashes_of(images: Iterable[Image]) -> Hashes:
    """Return the hash of each image, ``(N,)``."""
    return np.fromiter((phash(image) for image in images), dtype=np.uint64)


def alike(hashes: Hashes, distance: int) -> npt.NDArray[np.int64]:
    """Return the group of each image, ``(N,)``: images connected by chains of similar hashes.

    Two hashes that differ in at most three bits are equal in one of their four quarters, so only
    hashes that share a quarter are compared.
    """
    distinct, of_image = np.unique(hashes, return_inverse=True)
    if not distance or len(distinct) < 2:
        return of_image.reshape(-1).astype(np.int64)
    pairs = [
        found
        for quarter in range(4)
        for found in _near(distinct, np.uint64(16 * quarter), distance)
    ]
    first, second = np.concatenate([np.zeros((2, 0), np.int64), *pairs], axis=1)
    links = coo_array((np.ones(len(first), bool), (first, second)), shape=(len(distinct),) * 2)
    group: npt.NDArray[np.int64] = connected_components(links, directed=False)[1].astype(np.int64)
    return group[of_image.reshape(-1)]


def _near(hashes: Hashes, shift: np.uint64, distance: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yield pairs of similar hashes, ``(2, M)``, among those that are equal in one quarter."""
    quarter = (hashes >> shift) & np.uint64(0xFFFF)
    order = np.argsort(quarter, kind="stable")
    for bucket in np.split(order, np.flatnonzero(np.diff(quarter[order])) + 1):
        if len(bucket) < 2:
            continue
        for start in range(0, len(bucket), ROWS):
            rows = bucket[start : start + ROWS]
            apart = hashes[rows][:, None] ^ hashes[bucket][None]
            bits = np.unpackbits(apart[..., None].view(np.uint8), axis=-1).sum(axis=-1)
            near = np.argwhere(bits <= distance)
            yield np.stack([rows[near[:, 0]], bucket[near[:, 1]]])


def some_of_each(groups: npt.NDArray[np.int64], copies: int, seed: int) -> npt.NDArray[np.bool_]:
    """Return the images to keep, ``(N,)``: some of each group, at random.

    Args:
        groups: the group of each image, ``(N,)``.
        copies: images to keep of each group; 0: only images that are alone.
        seed: of the random choice.
    """
    drawn = generator(seed, "dedup").permutation(len(groups))
    order = drawn[np.argsort(groups[drawn], kind="stable")]  # by group, at random within each
    sizes = np.bincount(groups)
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(len(groups), np.int64)
    rank[order] = np.arange(len(groups)) - np.repeat(starts, sizes)
    kept: npt.NDArray[np.bool_] = (rank < copies) | (sizes[groups] == 1)
    return kept


DEFENSE = Dedup
