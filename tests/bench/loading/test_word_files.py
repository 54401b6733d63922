"""Caption tables on disk: those of memory, made once, mapped by all, resumed."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest

from clipbench.images.encoding import encode_png
from clipbench.loading import word_files
from clipbench.loading.word_files import Reading, stored_words
from clipbench.loading.words import WordTable, word_table
from clipbench.shards.reader import ShardSet
from clipbench.shards.writer import Sample, write_set
from clipbench.system.processes import Elsewhere, spread_over

LENGTH = 16
TOKENIZER = open_clip.SimpleTokenizer(context_length=LENGTH)
SYNONYMS = {"red": ["crimson", "scarlet"], "nowhere": ["red"]}
CAPTIONS = [
    "a red circle",
    "A Red SQUARE &amp; a circle",
    "日本語 の caption",
    "one\x1cword\x85more 😀",
    "supercalifragilisticexpialidocious " * 9,
    "a red circle",
    "last",
]


def write(folder: Path, captions: Sequence[str]) -> ShardSet:
    """Return a set of these captions, two in a shard."""
    image = encode_png(np.zeros((8, 8, 3), np.uint8))

    def samples(start: int, stop: int) -> Any:
        return (Sample(image, "png", captions[number], {}) for number in range(start, stop))

    return write_set(
        folder, len(captions), samples, name="x", source={}, pairs_per_shard=2, workers=0
    )


@pytest.fixture
def shards(tmp_path: Path) -> ShardSet:
    """Return four shards."""
    return write(tmp_path / "set", CAPTIONS)


def table(shards: ShardSet, cache: Path, synonyms: Any = None) -> WordTable:
    return stored_words(shards, Reading(TOKENIZER, synonyms or SYNONYMS, LENGTH), cache)


def assert_same(found: WordTable, wanted: WordTable) -> None:
    for name, one, other in zip(WordTable._fields, found, wanted, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name)


def test_a_table_on_disk_is_that_in_memory(shards: ShardSet, tmp_path: Path) -> None:
    """By one process and by an executor's tasks: words are numbered in the order of the set."""
    wanted = word_table(CAPTIONS, TOKENIZER, SYNONYMS, LENGTH)
    found = table(shards, tmp_path / "one")
    assert_same(found, wanted)
    with ThreadPoolExecutor(2) as executor, spread_over(Elsewhere(executor, 3)):
        assert_same(table(shards, tmp_path / "two"), wanted)
    assert found.words.base is not None, "it is mapped"


def test_a_table_is_of_the_version_that_cleaned_its_captions(
    shards: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one may find other words: they are found anew."""
    table(shards, tmp_path / "cache")
    monkeypatch.setattr(word_files, "version_of", lambda name: f"{name} 99")
    word_files._identity.cache_clear()
    table(shards, tmp_path / "cache")
    word_files._identity.cache_clear()
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_captions_are_read_once_for_all_processes(
    shards: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks again, at the same time or later, maps what is there."""
    with ThreadPoolExecutor(3) as processes:
        made = list(processes.map(lambda _: table(shards, tmp_path), range(3)))
    monkeypatch.setattr(ShardSet, "captions", None)  # which nobody needs now
    for each in [*made, table(shards, tmp_path)]:
        assert_same(each, made[0])
    assert len([*tmp_path.glob("*/table.json")]) == 1


def test_other_pairs_synonyms_and_tokenizers_have_tables_of_their_own(
    shards: ShardSet, tmp_path: Path
) -> None:
    """Nothing that decides tokens or their augmentation is left out of a table's name."""
    table(shards, tmp_path)
    table(shards, tmp_path, {"red": ["ruby"]})
    table(write(tmp_path / "other", ["other", *CAPTIONS[1:]]), tmp_path)
    stored_words(shards, Reading(TOKENIZER, SYNONYMS, LENGTH + 1), tmp_path)
    kept = open_clip.SimpleTokenizer(context_length=LENGTH, clean="whitespace")
    found = stored_words(shards, Reading(kept, SYNONYMS, LENGTH), tmp_path)
    assert_same(found, word_table(CAPTIONS, kept, SYNONYMS, LENGTH))
    assert len([*tmp_path.glob("*/table.json")]) == 5


def test_a_table_that_changed_on_the_disk_is_made_again(shards: ShardSet, tmp_path: Path) -> None:
    """One byte is enough."""
    table(shards, tmp_path)
    [file] = tmp_path.glob("*/words.npy")
    content = bytearray(file.read_bytes())
    content[-4] ^= 1
    file.write_bytes(content)
    assert_same(table(shards, tmp_path), word_table(CAPTIONS, TOKENIZER, SYNONYMS, LENGTH))


def test_a_table_goes_on_where_it_was_stopped(
    shards: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shards whose words are known are not read again; one that is torn is."""
    work, read = word_files._captions, []

    def noting(pairs: ShardSet, first: int, count: int) -> Any:
        read.append(first // 2)
        if len(read) == 3:
            raise KeyboardInterrupt
        return work(pairs, first, count)

    monkeypatch.setattr(word_files, "_captions", noting)
    with pytest.raises(KeyboardInterrupt):
        table(shards, tmp_path)
    [torn] = tmp_path.glob("*.partial/shards/000000.npz")
    torn.write_bytes(torn.read_bytes()[:-30])
    assert_same(table(shards, tmp_path), word_table(CAPTIONS, TOKENIZER, SYNONYMS, LENGTH))
    assert read == [0, 1, 2, 0, 2, 3]
