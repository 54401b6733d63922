from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest

from clipbench.loading import eda
from clipbench.loading.eda import Captions, Synonyms, augment_words
from clipbench.rng import RowStreams, generator

IntArray = npt.NDArray[np.int64]
Rows = list[list[int]]

NUM_WORDS = 40
# Words 1 to 12 have one, two or three synonyms, all of them above 20.
SYNONYMS = {word: tuple(range(20 + word, 20 + word + 1 + word % 3)) for word in range(1, 13)}


def synonym_table() -> Synonyms:
    table = np.zeros((NUM_WORDS, 3), np.int32)
    counts = np.zeros(NUM_WORDS, np.int32)
    for word, others in SYNONYMS.items():
        table[word, : len(others)] = others
        counts[word] = len(others)
    return Synonyms(table, counts)


def laid(rows: Rows) -> Captions:
    counts = np.array([len(row) for row in rows], np.int64)
    return Captions(np.array([word for row in rows for word in row], np.int32), counts)


def read(captions: Captions) -> Rows:
    ends = np.cumsum(captions.counts)
    return [
        captions.words[end - count : end].tolist()
        for end, count in zip(ends, captions.counts, strict=True)
    ]


def streams(count: int, *scope: int) -> RowStreams:
    return RowStreams.named(1, "augment", *scope, keys=np.arange(count))


def captions(count: int, longest: int, name: str = "captions") -> Rows:
    """Captions of 0 to `longest` words, half of them without synonyms."""
    rng = generator(0, "eda", name)
    lengths = rng.integers(0, longest + 1, count)
    return [rng.integers(0, 20, length).tolist() for length in lengths]


def augmented(rows: Rows, alpha: float, *scope: int) -> Rows:
    return read(augment_words(laid(rows), synonym_table(), alpha, streams(len(rows), *scope)))


def operations(count: int, *scope: int) -> IntArray:
    """The operation each row of `augmented` gets."""
    return eda.operations(streams(count, *scope))


def changes(row: list[int], alpha: float) -> int:
    return max(1, int(alpha * len(row)))


def replacements(row: list[int]) -> Rows:
    """All results of replacing one word by one of its synonyms wherever it stands."""
    return [
        [other if old == word else old for old in row]
        for word in set(row) & set(SYNONYMS)
        for other in SYNONYMS[word]
    ]


def insertions(row: list[int]) -> Rows:
    """All results of inserting one synonym of one word at one place."""
    return [
        [*row[:place], other, *row[place:]]
        for word in set(row) & set(SYNONYMS)
        for other in SYNONYMS[word]
        for place in range(len(row) + 1)
    ]


def swaps(row: list[int]) -> Rows:
    """All results of swapping two words, itself included."""
    found = []
    for first in range(len(row)):
        for second in range(len(row)):
            other = list(row)
            other[first], other[second] = row[second], row[first]
            found.append(other)
    return found


def is_part(short: list[int], long: list[int]) -> bool:
    rest = iter(long)
    return all(word in rest for word in short)


@pytest.mark.parametrize("scope", range(4))
def test_one_change_is_one_of_those_the_definition_allows(scope: int) -> None:
    """Each short caption becomes one of the results that a slow enumeration of its operation lists.

    Captions of up to 9 words are changed once at a tenth; without a word that has a synonym,
    replacement and insertion leave them as they are.
    """
    rows = captions(400, 9)
    for row, new, operation in zip(
        rows, augmented(rows, 0.1, scope), operations(400, scope), strict=True
    ):
        if operation == 3:
            assert is_part(new, row)
            assert bool(new) == bool(row)
            continue
        allowed = (replacements, insertions, swaps)[operation](row)
        assert new in (allowed or [row])


def test_longer_captions_change_in_proportion() -> None:
    """At 0.3 a caption is changed 0.3 times its length: so many insertions, swaps, replacements."""
    rows = [row for row in captions(600, 40) if len(row) >= 7]
    new_rows = augmented(rows, 0.3, 7)
    operation = operations(len(rows), 7)
    for row, new, kind in zip(rows, new_rows, operation, strict=True):
        count = changes(row, 0.3)
        added = Counter(new) - Counter(row)
        if kind == 0:
            assert len(new) == len(row)
            assert set(added) <= {other for word in row for other in SYNONYMS.get(word, ())}
            assert len({old for old, now in zip(row, new, strict=True) if old != now}) <= count
        elif kind == 1:
            able = any(word in SYNONYMS for word in row)
            assert len(new) == len(row) + count * able
            assert is_part(row, new)
        elif kind == 2:
            assert sorted(new) == sorted(row)
            moved = sum(old != now for old, now in zip(row, new, strict=True))
            assert moved <= 2 * count
        else:
            assert is_part(new, row)


def test_operations_are_equally_likely() -> None:
    """Each of the four operations is drawn for a quarter of the captions."""
    shares = np.bincount(operations(8000, 3), minlength=4) / 8000
    assert shares == pytest.approx([0.25] * 4, abs=0.02)


def test_deletion_drops_each_word_with_its_probability() -> None:
    """Of long captions a share alpha of the words goes, whatever their place."""
    rows = [list(range(20)) for _ in range(4000)]
    new_rows = augmented(rows, 0.2, 5)
    deleted = [new for new, kind in zip(new_rows, operations(4000, 5), strict=True) if kind == 3]
    kept = np.bincount([word for row in deleted for word in row], minlength=20) / len(deleted)
    assert kept == pytest.approx([0.8] * 20, abs=0.06)


def test_deletion_never_leaves_nothing() -> None:
    """At a probability of 1 exactly one word stays, each equally often."""
    rows: Rows = [[1, 2, 3, 4]] * 2000
    part = eda._Part(laid(rows), streams(2000))
    part.delete(1.0)
    assert part.captions.counts.tolist() == [1] * 2000
    kept = np.bincount(part.captions.words, minlength=5)[1:] / 2000
    assert kept == pytest.approx([0.25] * 4, abs=0.05)


def test_places_and_synonyms_are_drawn_evenly() -> None:
    """Insertions use each synonym and each of the places, the ends included, equally often."""
    rows: Rows = [[2, 13, 14]] * 6000  # word 2 has the synonyms 22, 23, 24
    part = eda._Part(laid(rows), streams(6000))
    part.change(eda.INSERT, 0.1, synonym_table())
    assert part.captions.counts.tolist() == [4] * 6000
    words = part.captions.words.reshape(6000, 4)
    place = (words >= 20).argmax(axis=1)
    assert np.bincount(place, minlength=4) / 6000 == pytest.approx([0.25] * 4, abs=0.03)
    inserted = words[np.arange(6000), place]
    assert np.bincount(inserted)[22:25] / 6000 == pytest.approx([1 / 3] * 3, abs=0.03)


def test_replacement_draws_among_words_that_have_synonyms() -> None:
    """Of two words with synonyms each is replaced half of the time, one without never."""
    rows: Rows = [[13, 1, 5, 14]] * 4000
    part = eda._Part(laid(rows), streams(4000))
    part.change(eda.REPLACE, 0.1, synonym_table())
    changed = (part.captions.words.reshape(4000, 4) != np.array(rows)).mean(axis=0)
    assert changed == pytest.approx([0, 0.5, 0.5, 0], abs=0.04)
    assert changed[1] + changed[2] == 1.0


def test_nothing_to_change_is_left_alone() -> None:
    """Empty captions stay empty, and no captions at all are no error."""
    assert augmented([[], [], [], [], [], [], [], []], 0.5) == [[]] * 8
    assert augmented([], 0.1) == []


def test_inputs_are_not_changed() -> None:
    """The captions handed in are the same afterwards; results depend on the streams alone."""
    rows = captions(50, 12)
    given = laid(rows)
    augment_words(given, synonym_table(), 0.5, streams(50))
    assert read(given) == rows
    assert augmented(rows, 0.3, 1) == augmented(rows, 0.3, 1)
    assert augmented(rows, 0.3, 1) != augmented(rows, 0.3, 2)


def test_a_caption_is_augmented_alike_whoever_else_is_in_the_batch() -> None:
    """Half of a batch, in another order, gives the same captions: each process makes its own."""
    rows = captions(300, 30)
    whole = augmented(rows, 0.3, 4)
    own = generator(0, "own").permutation(300)[:150]
    given = laid([rows[row] for row in own])
    part = augment_words(given, synonym_table(), 0.3, streams(300, 4).of(own))
    assert read(part) == [whole[row] for row in own]


def test_without_any_synonyms_words_are_swapped_and_repeated() -> None:
    """Data without a table still give views: as many captions change as with one."""
    nothing = Synonyms(np.zeros((NUM_WORDS, 1), np.int32), np.zeros(NUM_WORDS, np.int32))
    row = list(range(1, 13))
    new_rows = read(augment_words(laid([row] * 4000), nothing, 0.1, streams(4000, 9)))
    changed = {0: 0, 1: 0, 2: 0, 3: 0}
    for new, operation in zip(new_rows, operations(4000, 9), strict=True):
        changed[operation] += new != row
        if operation == 1:
            assert len(new) == 13
            assert set(new) == set(row)
            assert is_part(row, new)
        elif operation != 3:
            assert new in swaps(row)
    # A swap may draw one place twice (1 in 12), a deletion spare all twelve (0.9^12).
    shares = [changed[operation] / 1000 for operation in range(4)]
    assert shares == pytest.approx([11 / 12, 1, 11 / 12, 1 - 0.9**12], abs=0.08)


def published(row: list[int], alpha: float, rng: np.random.Generator) -> list[int]:
    """One caption as the code of the paper has it: no insertion at the end, swaps of two places."""
    count, words = changes(row, alpha), list(row)
    operation = int(rng.integers(4))
    if operation == 0:
        able = [word for word in dict.fromkeys(row) if word in SYNONYMS]
        for word in rng.permutation(able).tolist()[:count]:
            other = int(rng.choice(SYNONYMS[word]))
            words = [other if old == word else old for old in words]
    elif operation == 1:
        for _ in range(count):
            able = [word for word in words if word in SYNONYMS]
            if able:
                other = int(rng.choice(SYNONYMS[int(rng.choice(able))]))
                words.insert(int(rng.integers(len(words))), other)
    elif operation == 2:
        for _ in range(count):
            first, second = rng.choice(len(words), 2, replace=False).tolist()
            words[first], words[second] = words[second], words[first]
    else:
        words = [word for word in row if rng.random() > alpha] or [int(rng.choice(row))]
    return words


def shares(rows: Rows, new_rows: Rows) -> list[float]:
    """Shares of captions that stayed, were permuted, grew, shrank, and had words replaced."""
    counts = [0] * 5
    for row, new in zip(rows, new_rows, strict=True):
        if new == row:
            kind = 0
        elif sorted(new) == sorted(row):
            kind = 1
        else:
            kind = 2 if len(new) > len(row) else 3 if len(new) < len(row) else 4
        counts[kind] += 1
    return [count / len(rows) for count in counts]


def test_captions_change_as_often_and_as_much_as_in_the_papers_code() -> None:
    """As many stay, are permuted, grow, shrink and have words replaced, to three points.

    Of swaps one in as many as a caption has words is of a word with itself here.
    """
    rows = [[1, *row, 2] for row in captions(8000, 18, "published") if len(row) >= 8]
    rng = generator(2, "published")
    expected = shares(rows, [published(row, 0.1, rng) for row in rows])
    assert shares(rows, augmented(rows, 0.1, 11)) == pytest.approx(expected, abs=0.03)
    assert min(expected) > 0.05
