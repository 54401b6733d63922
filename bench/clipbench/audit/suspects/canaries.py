"""Canaries: pairs with a caption of another pair, in a shard of their own beside the user's.

They are trained on and scored with the user's pairs, so that it can be seen how many pairs that do
not fit are found at which rank. The user's shards are not copied, let alone changed: a set may be
several places joined by ``::``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clipbench.rng import generator
from clipbench.shards.reader import ShardSet
from clipbench.shards.shard_writer import Sample
from clipbench.shards.writer import write_set

SHARE = 0.01  # of the pairs
LEAST, MOST = 2, 1_000


def num_canaries(num_pairs: int) -> int:
    """Return how many are planted among so many pairs."""
    return max(LEAST, min(MOST, round(SHARE * num_pairs)))


def plant(pairs: ShardSet, folder: Path, seed: int) -> ShardSet:
    """Return the canaries, written to a folder unless they are there.

    Args:
        pairs: the user's set.
        folder: of the canaries.
        seed: decides which images, and whose captions.
    """
    mismatch = _Mismatch(pairs, seed)
    source = {"of": pairs.content_sha256(), "seed": seed, "caption_field": pairs.caption_field}
    count = num_canaries(len(pairs))
    return write_set(folder, count, mismatch, name="canaries", source=source, workers=0)


@dataclass(frozen=True)
class _Mismatch:
    """Makes canaries, each of the image of one pair and the caption of another."""

    pairs: ShardSet
    seed: int

    def __call__(self, start: int, stop: int) -> Iterator[Sample]:
        """Yield the samples of canaries ``start .. stop - 1``."""
        images, texts = self._chosen()
        field = self.pairs.caption_field
        for image, text in zip(
            images[start:stop].tolist(), texts[start:stop].tolist(), strict=True
        ):
            caption = self.pairs.caption(text)
            more = {} if field in (None, "caption") else {field: caption}
            content = self.pairs.image_bytes(image)
            yield Sample(content, self.pairs.extension(image), caption, more)

    def _chosen(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the pairs whose images, and those whose captions, are taken; all are different."""
        count, total = num_canaries(len(self.pairs)), len(self.pairs)
        order = generator(self.seed, "canaries").permutation(total)
        images = np.resize(order, count)
        return images, np.resize(np.roll(order, -count), count)
