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

from clipbench.rng import generator
from clipbench.shards.reader import ShardSet
from clipbench.shards.shard_writer import Sample
from clipbench.shards.writer import write_set

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
    source = {"of": pairs.content_sha256(), "seed": seed, "caption_field": pairs.caption_field}
    count = num_canaries(len(pairs))
    planted = write_set(folder, count, mismatch, name="canaries", source=source, workers=0)
    images, _ = mismatch.chosen
    differs = [
        not _same(planted.caption(place), pairs.caption(image))
        for place, image in enumerate(images.tolist())
    ]
    return planted, np.array(differs, dtype=bool)


@dataclass(frozen=True)
class _Mismatch:
    """Makes canaries, each of the image of one pair and the caption of another."""

    pairs: ShardSet
    seed: int

    def __call__(self, start: int, stop: int) -> Iterator[Sample]:
        """Yield the samples of canaries ``start .. stop - 1``."""
        images, texts = self.chosen
        field = self.pairs.caption_field
        for image, text in zip(
            images[start:stop].tolist(), texts[start:stop].tolist(), strict=True
        ):
            caption = self.pairs.caption(text)
            more = {} if field in (None, "caption") else {field: caption}
            content = self.pairs.image_bytes(image)
            yield Sample(content, self.pairs.extension(image), caption, more)

    @cached_property
    def chosen(self) -> tuple[IntArray, IntArray]:
        """The pairs whose images, and those whose captions, are taken, ``(C,)`` each."""
        order = generator(self.seed, "canaries").permutation(len(self.pairs))
        count = num_canaries(len(self.pairs))
        images = order[:count]
        others = deque(np.roll(order, -count)[: TRIED * count].tolist())
        texts = []
        for image in images.tolist():
            own = self.pairs.caption(image)
            for _ in range(len(others)):
                if not _same(self.pairs.caption(others[0]), own):
                    break
                others.rotate(-1)
            texts.append(others[0])
            others.rotate(-1)
        return images, np.array(texts, dtype=np.int64)


def _same(one: str, other: str) -> bool:
    """Return whether two captions say the same, but for case and white space."""
    return one.casefold().split() == other.casefold().split()
