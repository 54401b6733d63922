"""What the monitor keeps of a pair: features and hashes, no image and no caption."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from clipbench.audit.monitor.differences import Floats, Ints

Features = npt.NDArray[np.float32]
Hashes = npt.NDArray[np.uint64]
# Of scripts that put no space between words, each character counts as one.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_WORDS = ("words", "starts")


def word_hashes(caption: str) -> list[int]:
    """Return 64-bit hashes of the distinct words of a caption."""
    return [hash_of(word) for word in words_of(caption)]


def words_of(caption: str) -> list[str]:
    """Return the distinct words of a caption, in lower case and in order of first use."""
    return list(dict.fromkeys(_WORD.findall(caption.casefold())))


@lru_cache(1 << 16)
def hash_of(text: str) -> int:
    """Return a 64-bit hash of a word or another short text."""
    content = text.encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")


@dataclass(frozen=True)
class Pairs:
    """What is known of N pairs.

    Args:
        image: ``(N, D)`` unit features of images.
        text: ``(N, D)`` unit features of captions.
        image_hash: ``(N,)`` perceptual hash.
        caption_sha256: ``(N,)`` first 64 bits of the hash of the caption without case and spacing.
        size: ``(N,)`` width times 2**32 plus height, in pixels.
        supplier: ``(N,)`` hash of the supplier's name.
        words: hashes of the words of all captions, one caption after another.
        starts: ``(N + 1,)`` where each caption's words begin.
    """

    image: Features
    text: Features
    image_hash: Hashes
    caption_sha256: Hashes
    size: Hashes
    supplier: Hashes
    words: Hashes
    starts: Ints

    def __len__(self) -> int:
        return len(self.image)

    @property
    def similarity(self) -> Floats:
        """Cosine similarity of image and caption, ``(N,)``."""
        cosine: Floats = np.einsum("ij,ij->i", self.image, self.text, dtype=np.float64)
        return cosine

    def take(self, rows: Ints) -> Pairs:
        """Return some of the pairs."""
        lengths = np.diff(self.starts)[rows]
        starts = np.append(0, np.cumsum(lengths)).astype(np.int64)
        offsets = np.repeat(self.starts[rows] - starts[:-1], lengths)
        own = {name: value[rows] for name, value in vars(self).items() if name not in _WORDS}
        return Pairs(**own, words=self.words[offsets + np.arange(starts[-1])], starts=starts)


def joined(first: Pairs, second: Pairs) -> Pairs:
    """Return the pairs of both."""
    fields = {
        name: np.concatenate([value, getattr(second, name)])
        for name, value in vars(first).items()
        if name != "starts"
    }
    return Pairs(**fields, starts=np.append(first.starts, second.starts[1:] + first.starts[-1]))
