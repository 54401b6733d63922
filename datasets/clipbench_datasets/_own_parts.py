"""The parts of one's own pairs that are held out, read as an import reads those that are not."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from clipbench.contracts import Image, IntArray
from clipbench.errors import CorruptData
from clipbench.images.encoding import decode
from clipbench.images.normalize import normalized
from clipbench.importing.entries import samples
from clipbench.importing.pairs import Entry
from clipbench.shards.reader import ShardSet
from clipbench.shards.shard_writer import Sample

from .shards import entry_of


class HeldOut(NamedTuple):
    """A part that is held out.

    Args:
        pairs: ``(N,)`` those that an import would take.
        captions: of each.
        as_stored: whether these are all that can be decoded, each by the bytes that are stored.
        pictures: ``(N,)`` for each the place of the first that has its image, byte for byte.
        digests: hash of the image of each, as it is stored.
        unusable: the others of the part, as an import leaves them out.
    """

    pairs: IntArray
    captions: list[str]
    as_stored: bool
    pictures: IntArray
    digests: list[bytes]
    unusable: Sequence[Entry]

    @classmethod
    def of(cls, shards: ShardSet, part: IntArray) -> HeldOut:
        """Return the pairs of a part that could be trained on: an import leaves out the others.

        Args:
            shards: the set.
            part: ``(M,)`` numbers of the pairs that are held out.
        """
        pairs, captions, as_stored, unusable = [], [], True, []
        places, pictures, digests = dict[bytes, int](), list[int](), list[bytes]()
        for pair in part.tolist():
            [made] = samples([entry(shards, pair)], None, "skip")
            if isinstance(made, Sample):
                pairs.append(pair)
                captions.append(made.caption)
                stored = shards.image_bytes(pair)
                as_stored &= made.image == stored
                digests.append(hashlib.sha256(stored).digest())
                pictures.append(places.setdefault(digests[-1], len(pictures)))
            else:
                as_stored &= not _is_decoded(shards, pair)
                problem = (made.reason, made.detail)
                unusable.append(Entry(made.name, made.image, None, problem=problem))
        found, first = (np.array(numbers, dtype=np.int64) for numbers in (pairs, pictures))
        return cls(found, captions, as_stored, first, digests, unusable)

    @property
    def repeats(self) -> bool:
        """Whether an image is there several times, as where it has several captions."""
        return len(np.unique(self.pictures)) < len(self.pictures)

    def apart_from(self, other: HeldOut) -> npt.NDArray[np.bool_]:
        """Return of which pairs the image is not in another part, ``(N,)``."""
        there = {*other.digests}
        return np.array([digest not in there for digest in self.digests], dtype=np.bool_)


def entry(shards: ShardSet, pair: int) -> Entry:
    """Return a pair as an import takes it."""
    return entry_of(shards, pair, str(shards.shards[shards.shard_of(pair)].path))


def image(shards: ShardSet, pair: int) -> Image:
    """Return a held-out image as an import writes those that are trained on.

    Else a model would be tested on sideways photographs, and on logos whose white turned black.
    """
    return decode(normalized(shards.image_bytes(pair)).data)


def digest(shards: ShardSet, pair: int) -> bytes | None:
    """Return the hash of a pair's image as it is stored; None: the image can't be read."""
    try:
        return hashlib.sha256(shards.image_bytes(pair)).digest()
    except CorruptData:  # the import says so
        return None


def _is_decoded(shards: ShardSet, pair: int) -> bool:
    """Return whether the image of a pair can be decoded as it is stored, and its caption read."""
    try:
        shards.caption(pair)
        shards.image(pair)
    except CorruptData:
        return False
    return True
