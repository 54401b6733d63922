"""Reading a corpus in bulk, and views of a part of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from clipbench.contracts import Corpus, Image


@runtime_checkable
class _BulkCorpus(Protocol):
    """A corpus that reads many captions faster than one by one."""

    def captions(self, indices: Sequence[int]) -> list[str]: ...


def read_captions(corpus: Corpus, numbers: Sequence[int]) -> list[str]:
    """Return the captions of pairs, at once where the corpus can."""
    if isinstance(corpus, _BulkCorpus):
        return corpus.captions(numbers)
    return [corpus.caption(number) for number in numbers]


@runtime_checkable
class _SizedCorpus(Protocol):
    """A corpus that knows the size of an image without decoding it."""

    def image_shape(self, index: int) -> tuple[int, int]: ...


def size_of(corpus: Corpus, number: int) -> tuple[int, int]:
    """Return height and width of a pair's image, from the file's header where the corpus can."""
    if isinstance(corpus, _SizedCorpus):
        return corpus.image_shape(number)
    height, width = corpus.image(number).shape[:2]
    return height, width


class Part:
    """Every `step`-th pair of a corpus, from `first` on, under numbers of its own.

    Args:
        corpus: the corpus.
        first: number of the first pair.
        step: distance of pairs; parts of the same step and another `first` share no pair.
    """

    def __init__(self, corpus: Corpus, first: int, step: int) -> None:
        self._corpus = corpus
        self._numbers = range(first, len(corpus), step)

    def __len__(self) -> int:
        return len(self._numbers)

    def whole(self, index: int) -> int:
        """Return the number that pair `index` has in the corpus."""
        return self._numbers[index]

    def caption(self, index: int) -> str:
        """Return the caption of pair `index`."""
        return self._corpus.caption(self.whole(index))

    def captions(self, indices: Sequence[int]) -> list[str]:
        """Return the captions of pairs, at once where the corpus can."""
        return read_captions(self._corpus, [self.whole(index) for index in indices])

    def image(self, index: int) -> Image:
        """Return the decoded image of pair `index`."""
        return self._corpus.image(self.whole(index))

    def image_shape(self, index: int) -> tuple[int, int]:
        """Return height and width of the image of pair `index`."""
        return size_of(self._corpus, self.whole(index))
