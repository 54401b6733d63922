"""EDA text augmentation on arrays of word numbers, all captions of a batch at once.

Wei and Zou, EDA: Easy Data Augmentation Techniques for Boosting Performance on Text Classification
Tasks, EMNLP 2019. One of four operations is drawn for each caption: replace words by synonyms,
insert synonyms, swap words, delete words.

Differs from the code of SafeCLIP and RoCLIP: every view is drawn afresh, not once for all epochs;
and synonyms are those of the data set, not WordNet's. Where a data set has none, as those of
crawled captions, words are swapped instead of replaced, and a word of the caption is repeated
instead of inserting its synonym: half of all views would be no views otherwise.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from clipbench.rng import RowStreams

IntArray = npt.NDArray[np.int64]
Draws = npt.NDArray[np.float64]
WordArray = npt.NDArray[np.int32]


class Synonyms(NamedTuple):
    """What may stand for each word.

    Args:
        words: synonyms of each word, ``(words, S)``, padded beyond its count.
        counts: how many each word has, ``(words,)``.
    """

    words: WordArray
    counts: npt.NDArray[np.int32]

    def drawn(self, words: WordArray, draw: Draws) -> WordArray:
        """Return a synonym of each word, chosen by numbers in [0, 1)."""
        which = (draw * self.counts[words]).astype(np.int64)
        return np.asarray(self.words[words, which])

    def are_none(self) -> bool:
        """Return whether no word has any."""
        return not self.counts.any()

    def of_themselves(self) -> Synonyms:
        """Return a table in which every word stands for itself."""
        size = len(self.counts)
        return Synonyms(np.arange(size, dtype=np.int32)[:, None], np.ones(size, np.int32))


def places(starts: IntArray, counts: IntArray) -> IntArray:
    """Return where the items of runs lie: of each run `counts` places from `starts` on."""
    ends = np.cumsum(counts)
    shifts: IntArray = np.repeat(starts - (ends - counts), counts)
    return np.arange(len(shifts)) + shifts


class Captions(NamedTuple):
    """Captions of a batch, laid end to end.

    Args:
        words: word numbers, ``(W,)``.
        counts: words of each caption, ``(B,)``.
    """

    words: WordArray
    counts: IntArray

    @property
    def starts(self) -> IntArray:
        """Where each caption begins among the words, ``(B,)``."""
        return np.cumsum(self.counts) - self.counts

    def of(self, rows: IntArray) -> Captions:
        """Return some of the captions, in memory of their own."""
        counts = self.counts[rows]
        return Captions(self.words[places(self.starts[rows], counts)], counts)


def augment_words(
    captions: Captions, synonyms: Synonyms, alpha: float, streams: RowStreams
) -> Captions:
    """Augment a batch of captions.

    Args:
        captions: the captions; they are not changed.
        synonyms: those of each word.
        alpha: share of words changed by replacement, insertion and swap, at least one word; and
            the probability with which deletion drops a word.
        streams: those of the captions, ``(B,)``; they decide everything.

    Returns:
        The captions augmented, in their order.
    """
    operation = operations(streams)
    inserted = synonyms
    if synonyms.are_none():
        operation[operation == REPLACE] = SWAP
        inserted = synonyms.of_themselves()
    rows = [np.flatnonzero(operation == number) for number in range(4)]
    parts = [_Part(captions.of(own), streams.of(own)) for own in rows]
    for number, table in ((REPLACE, synonyms), (INSERT, inserted), (SWAP, None)):
        parts[number].change(number, alpha, table)
    parts[DELETE].delete(alpha)
    return _joined(rows, [part.captions for part in parts])


REPLACE, INSERT, SWAP, DELETE = range(4)


def operations(streams: RowStreams) -> IntArray:
    """Return which operation each caption gets, ``(B,)``."""
    return (streams.uniform(0) * 4).astype(np.int64)


def _joined(rows: list[IntArray], parts: list[Captions]) -> Captions:
    """Return captions in the order of their row numbers."""
    counts = np.empty(sum(map(len, rows)), dtype=np.int64)
    for own, part in zip(rows, parts, strict=True):
        counts[own] = part.counts
    words = np.empty(counts.sum(), dtype=np.int32)
    starts = np.cumsum(counts) - counts
    for own, part in zip(rows, parts, strict=True):
        words[places(starts[own], part.counts)] = part.words
    return Captions(words, counts)


class _Part:
    """The captions of a batch that one operation is done to.

    Of a caption's stream the first number drew the operation; of those after it each change uses
    three, or deletion one for each word.
    """

    def __init__(self, captions: Captions, streams: RowStreams) -> None:
        self.captions = captions
        self._streams = streams

    def change(self, operation: int, alpha: float, synonyms: Synonyms | None) -> None:
        """Replace, insert or swap words, as often as each caption's length asks for."""
        counts = self.captions.counts
        changes = np.where(counts > 0, np.maximum(1, (alpha * counts).astype(np.int64)), 0)
        for step in range(int(changes.max(initial=0))):
            rows = np.flatnonzero(changes > step)
            draws = self._streams.of(rows).uniform(1 + 3 * step + np.arange(3)[None]).T
            if synonyms is None:
                self._swap(rows, draws)
            elif operation == REPLACE:
                self._replace(rows, draws, synonyms)
            else:
                self._insert(rows, draws, synonyms)

    def _picked(
        self, rows: IntArray, draw: Draws, synonyms: Synonyms
    ) -> tuple[IntArray, npt.NDArray[np.bool_]]:
        """Return the place of a random word that has synonyms, and which captions have any."""
        counts = self.captions.counts[rows]
        words = places(self.captions.starts[rows], counts)
        able = synonyms.counts[self.captions.words[words]] > 0
        before = np.concatenate([[0], np.cumsum(able)])
        ends = np.cumsum(counts)
        first, last = before[ends - counts], before[ends]
        has = last > first
        pick = first + (draw * (last - first)).astype(np.int64)
        return words[np.flatnonzero(able)[pick[has]]], has

    def _replace(self, rows: IntArray, draws: Draws, synonyms: Synonyms) -> None:
        """Replace a random word that has synonyms, wherever it stands in the caption."""
        place, has = self._picked(rows, draws[0], synonyms)
        rows, words = rows[has], self.captions.words
        old = words[place]
        new = synonyms.drawn(old, draws[1][has])
        counts = self.captions.counts[rows]
        whole = places(self.captions.starts[rows], counts)
        equal = words[whole] == np.repeat(old, counts)
        words[whole[equal]] = np.repeat(new, counts)[equal]

    def _insert(self, rows: IntArray, draws: Draws, synonyms: Synonyms) -> None:
        """Insert a synonym of a random word at a random place."""
        place, has = self._picked(rows, draws[0], synonyms)
        rows, (words, counts) = rows[has], self.captions
        new = synonyms.drawn(words[place], draws[1][has])
        where = (draws[2][has] * (counts[rows] + 1)).astype(np.int64)
        words = np.insert(words, self.captions.starts[rows] + where, new)
        counts = counts.copy()
        counts[rows] += 1
        self.captions = Captions(words, counts)

    def _swap(self, rows: IntArray, draws: Draws) -> None:
        """Swap the words at two random places."""
        words, counts = self.captions
        first, second = (draws[:2] * counts[rows]).astype(np.int64) + self.captions.starts[rows]
        words[first], words[second] = words[second], words[first]

    def delete(self, probability: float) -> None:
        """Drop each word with a probability; where all would go, one random word stays."""
        words, counts = self.captions
        if not len(words):
            return
        owners = np.repeat(np.arange(len(counts)), counts)
        numbers = places(np.ones_like(counts), counts)
        draw = self._streams.of(owners).uniform(numbers)
        filled = np.flatnonzero(counts)
        highest = np.zeros(len(counts))
        highest[filled] = np.maximum.reduceat(draw, self.captions.starts[filled])
        keep = (draw >= probability) | (draw == highest[owners])
        left = np.bincount(owners[keep], minlength=len(counts))
        self.captions = Captions(words[keep], left)
