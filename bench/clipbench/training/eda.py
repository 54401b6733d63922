"""EDA text augmentation on arrays of word numbers.

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

IntArray = npt.NDArray[np.int64]
WordArray = npt.NDArray[np.int32]


class Synonyms(NamedTuple):
    """What may stand for each word.

    Args:
        words: synonyms of each word, ``(words, S)``, padded beyond its count.
        counts: how many each word has, ``(words,)``.
    """

    words: WordArray
    counts: npt.NDArray[np.int32]

    def drawn(self, words: WordArray, draw: npt.NDArray[np.float64]) -> WordArray:
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


def augment_words(
    words: WordArray,
    counts: IntArray,
    synonyms: Synonyms,
    alpha: float,
    rng: np.random.Generator,
) -> tuple[WordArray, IntArray]:
    """Augment a batch of captions.

    Args:
        words: word numbers, ``(B, W)``, padded beyond each row's count.
        counts: words of each row, ``(B,)``.
        synonyms: those of each word.
        alpha: share of words changed by replacement, insertion and swap, at least one word; and
            the probability with which deletion drops a word.
        rng: decides everything.

    Returns:
        Words ``(B, W')`` and counts ``(B,)``.
    """
    operation = rng.integers(4, size=len(words))
    inserted = synonyms
    if synonyms.are_none():
        operation[operation == 0] = 2
        inserted = synonyms.of_themselves()
    changes = np.maximum(1, (alpha * counts).astype(np.int64))
    spare = int(changes.max(initial=1))
    words = np.pad(words, ((0, 0), (0, spare)))
    counts = counts.copy()
    for step in range(spare):
        active = (changes > step) & (counts > 0)
        _replace(words, counts, synonyms, active & (operation == 0), rng)
        _insert(words, counts, inserted, active & (operation == 1), rng)
        _swap(words, counts, active & (operation == 2), rng)
    _delete(words, counts, operation == 3, alpha, rng)
    return words, counts


def _pick_word(
    words: WordArray,
    counts: IntArray,
    synonyms: Synonyms,
    rows: npt.NDArray[np.bool_],
    rng: np.random.Generator,
) -> tuple[IntArray, IntArray]:
    """Return the rows that have a word with synonyms, and the column of a random one in each."""
    chance = rng.random(words.shape)
    able = (np.arange(words.shape[1]) < counts[:, None]) & (synonyms.counts[words] > 0)
    chance[~able] = -1.0
    chosen = np.nonzero(rows & able.any(axis=1))[0]
    return chosen, chance[chosen].argmax(axis=1)


def _replace(
    words: WordArray,
    counts: IntArray,
    synonyms: Synonyms,
    rows: npt.NDArray[np.bool_],
    rng: np.random.Generator,
) -> None:
    """Replace a random word that has synonyms, wherever it stands in the caption."""
    row, column = _pick_word(words, counts, synonyms, rows, rng)
    draw = rng.random(len(words))[row]
    old = words[row, column]
    new = synonyms.drawn(old, draw)
    inside = np.arange(words.shape[1]) < counts[row][:, None]
    words[row] = np.where((words[row] == old[:, None]) & inside, new[:, None], words[row])


def _insert(
    words: WordArray,
    counts: IntArray,
    synonyms: Synonyms,
    rows: npt.NDArray[np.bool_],
    rng: np.random.Generator,
) -> None:
    """Insert a synonym of a random word at a random place."""
    row, column = _pick_word(words, counts, synonyms, rows, rng)
    draw, where = rng.random((2, len(words)))[:, row]
    new = synonyms.drawn(words[row, column], draw)
    place = (where * (counts[row] + 1)).astype(np.int64)
    columns = np.arange(words.shape[1])
    source = np.where(columns > place[:, None], columns - 1, columns)
    shifted = np.take_along_axis(words[row], source, axis=1)
    shifted[np.arange(len(row)), place] = new
    words[row] = shifted
    counts[row] += 1


def _swap(
    words: WordArray, counts: IntArray, rows: npt.NDArray[np.bool_], rng: np.random.Generator
) -> None:
    """Swap the words at two random places."""
    draws = rng.random((2, len(words)))
    row = np.nonzero(rows)[0]
    first, second = (draws[:, row] * counts[row]).astype(np.int64)
    words[row, first], words[row, second] = words[row, second], words[row, first]


def _delete(
    words: WordArray,
    counts: IntArray,
    rows: npt.NDArray[np.bool_],
    probability: float,
    rng: np.random.Generator,
) -> None:
    """Drop each word with a probability; where all would go, one random word stays."""
    chance = rng.random(words.shape)
    inside = np.arange(words.shape[1]) < counts[:, None]
    chance[~inside] = -1.0
    keep = inside & ((chance >= probability) | (chance == chance.max(axis=1, keepdims=True)))
    order = np.argsort(~keep, axis=1, kind="stable")
    kept = np.take_along_axis(words, order, axis=1)
    words[rows] = kept[rows]
    counts[rows] = keep.sum(axis=1)[rows]
