"""Canaries: pairs with a caption of another pair, in a shard of their own beside the user's.

They are trained on and scored with the user's pairs, so that it can be seen how many pairs that do
not fit are found at which rank. The user's shards are not copied, let alone changed: a set may be
several places joined by ``::``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clipbench.files import sums
from clipbench.rng import generator
from clipbench.shards.reader import ShardSet
from clipbench.shards.shard_writer import Sample
from clipbench.shards.writer import write_set
from clipbench.toolkit.captions import caption_hash

SHARE, MOST_SHARE = 0.01, 0.1  # of the pairs
LEAST, MOST = 20, 1_000  # of which something can be said, where there are so many pairs
TRIED = 4  # captions looked at for each canary, at most, on average
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


def num_canaries(num_pairs: int) -> int:
    """Return how many are planted among so many pairs."""
    least = min(LEAST, int(MOST_SHARE * num_pairs))
    return max(1, least, min(MOST, round(SHARE * num_pairs)))


def plant(pairs: ShardSet, folder: Path, seed: int) -> tuple[ShardSet, BoolArray]:
    """Return the canaries, written to a folder unless they are there.

    Args:
        pairs: the user's set.
        folder: of the canaries.
        seed: decides which images, and whose captions.

    Returns:
        The canaries, and which of them have another caption than their image's, ``(C,)``: all, but
        where nearly all pairs have one caption.
    """
    mismatch = _Mismatch(pairs, seed)
    source = {
        "of": sums.of_json(pairs.view_hashes()),
        "seed": seed,
        "caption_field": pairs.caption_field,
    }
    count = num_canaries(len(pairs))
    planted = write_set(folder, count, mismatch, name="canaries", source=source, workers=0)
    differs = [
        caption_hash(now) != caption_hash(before)
        for now, before in zip(planted.captions(), mismatch.replaced, strict=True)
    ]
    return planted, np.array(differs, dtype=bool)


@dataclass(frozen=True)
class _Mismatch:
    """Makes canaries, each of the image of one pair and the caption of another."""

    pairs: ShardSet
    seed: int

    def __call__(self, start: int, stop: int) -> Iterator[Sample]:
        """Yield the samples of canaries ``start .. stop - 1``."""
        field = self.pairs.caption_field
        images = self._images[start:stop].tolist()
        for image, caption in zip(images, self._captions[start:stop], strict=True):
            more = {} if field in (None, "caption") else {field: caption}
            content = self.pairs.image_bytes(image)
            yield Sample(content, self.pairs.extension(image), caption, more)

    @cached_property
    def replaced(self) -> list[str]:
        """The captions of the pairs whose images are taken, ``(C,)``."""
        return self.pairs.captions(self._images)

    @cached_property
    def _order(self) -> IntArray:
        return generator(self.seed, "canaries").permutation(len(self.pairs))

    @property
    def _images(self) -> IntArray:
        """The pairs whose images are taken, ``(C,)``."""
        return self._order[: num_canaries(len(self.pairs))]

    @cached_property
    def _captions(self) -> list[str]:
        """The captions that are taken, ``(C,)``; of some pairs, each of which is read once."""
        count = num_canaries(len(self.pairs))
        others = self.pairs.captions(np.roll(self._order, -count)[: TRIED * count])
        queue = deque((caption_hash(caption), caption) for caption in others)
        texts = []
        for own in map(caption_hash, self.replaced):
            for _ in range(len(queue)):
                if queue[0][0] != own:
                    break
                queue.rotate(-1)
            texts.append(queue[0][1])
            queue.rotate(-1)
        return texts
