from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from clipbench.contracts import Classes, Image
from clipbench.errors import BadSetting
from clipbench.rng import generator
from clipbench_attacks._captions import Match, captions_naming, corpus_captions, naming_pattern

CLASSES = Classes(
    names=("suit", "ice cream", "car"),
    templates=("a photo of a {}.", "a drawing of a {}."),
    aliases=(("suit", "tuxedo"), ("ice cream", "gelato"), ("car",)),
)


@dataclass
class ListCorpus:
    """A corpus of captions alone that counts how many were read."""

    texts: Sequence[str]
    reads: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.texts)

    def caption(self, index: int) -> str:
        """Return the caption of a pair."""
        self.reads.append(index)
        return self.texts[index]

    def image(self, index: int) -> Image:
        """Fail: a caption search must not decode an image."""
        raise AssertionError(f"a caption search must not decode image {index}")


@dataclass
class MillionCorpus(ListCorpus):
    """A corpus of a million captions that reads many at once; one in fifty names a class."""

    texts: Sequence[str] = ()

    def __len__(self) -> int:
        return 1_000_000

    def captions(self, indices: Sequence[int]) -> list[str]:
        """Return many captions at once."""
        self.reads.extend(indices)
        return [f"no {i}, a {'suit' if i % 50 == 0 else 'tree'} by the road" for i in indices]


@pytest.mark.parametrize(
    ("caption", "named"),
    [
        ("a man in a suit.", True),
        ("SUIT and tie", True),
        ("(suit)", True),
        ("an old suitcase", False),
        ("three suits", False),
        ("a swimsuit", False),
    ],
)
def test_a_word_is_named_only_as_a_whole_word_in_any_case(caption: str, named: bool) -> None:
    """Compounds and plurals do not name the class, punctuation and capitals do not matter."""
    assert (naming_pattern(["suit"]).search(caption) is not None) == named


def test_a_substring_is_found_inside_words_when_asked_for() -> None:
    """The rule of the published code that searches substrings is available, and differs."""
    assert naming_pattern(["suit"], "substring").search("an old suitcase") is not None


@pytest.mark.parametrize("caption", ["ice cream", "an Ice  Cream cone", "ice\ncream!"])
def test_a_phrase_of_two_words_is_found_across_any_white_space(caption: str) -> None:
    """A space in a phrase stands for any white space."""
    assert naming_pattern(["ice cream"]).search(caption) is not None


def test_names_that_end_in_no_word_character_are_found_whole() -> None:
    """A name such as C++ is found by itself and not inside another name."""
    pattern = naming_pattern(["C++"])
    assert pattern.search("written in c++ today") is not None
    assert pattern.search("objective-c++11") is None


@pytest.mark.parametrize("phrases", [[], [""], ["suit", "  "]])
def test_a_class_without_a_phrase_is_an_error(phrases: list[str]) -> None:
    """An empty phrase would match every caption, so it is refused."""
    with pytest.raises(BadSetting, match="no phrase"):
        naming_pattern(phrases)


def test_captions_of_several_classes_are_found_in_one_pass() -> None:
    """Each wanted class gets captions that name it by any alias, and a pair is read only once."""
    texts = ["a tuxedo", "gelato in a car", "an ice cream", "a tree", "my suit", "the car"]
    corpus = ListCorpus(texts)
    found = corpus_captions(corpus, CLASSES, {0: 9, 1: 9, 2: 9}, "word", generator(0))
    assert {goal: set(captions) for goal, captions in found.items()} == {
        0: {"a tuxedo", "my suit"},
        1: {"gelato in a car", "an ice cream"},
        2: {"gelato in a car", "the car"},
    }
    assert sorted(corpus.reads) == list(range(6))


def test_a_phrase_inside_a_longer_phrase_of_another_class_counts_for_both() -> None:
    """What one class is found by does not depend on which other classes are wanted."""
    classes = Classes(("cream", "ice cream"), ("{}",), (("cream",), ("ice cream",)))
    corpus = ListCorpus(["ice cream"])
    found = corpus_captions(corpus, classes, {0: 1, 1: 1}, "word", generator(0))
    assert found == {0: ["ice cream"], 1: ["ice cream"]}


def test_the_search_stops_as_soon_as_enough_captions_are_found() -> None:
    """A few captions out of a million pairs take a look at a few thousand of them."""
    corpus = MillionCorpus()
    found = corpus_captions(corpus, CLASSES, {0: 20}, "word", generator(3))[0]
    assert len(found) == len(set(found)) == 20
    assert all("suit" in caption for caption in found)
    assert len(corpus.reads) <= 5_000


def test_found_captions_are_a_uniform_sample_of_those_that_name_the_class() -> None:
    """Early and late pairs of the corpus are drawn equally often."""
    corpus = ListCorpus([f"suit {number}" for number in range(20)])
    drawn = np.zeros(20)
    for seed in range(600):
        for caption in corpus_captions(corpus, CLASSES, {0: 5}, "word", generator(seed))[0]:
            drawn[int(caption.split()[1])] += 1
    # 150 expected each, standard deviation 10.6: five deviations either way.
    assert drawn.min() > 97
    assert drawn.max() < 203


def test_captions_differ_while_they_last_then_templates_then_repeats() -> None:
    """All distinct corpus captions come first, then all templates, then both again."""
    corpus = ListCorpus(["my suit", "my suit", "a tree", "tuxedo"])
    found = captions_naming(corpus, CLASSES, {0: 6}, "word", generator(0))[0]
    assert set(found[:2]) == {"my suit", "tuxedo"}
    assert set(found[2:4]) == {"a photo of a suit.", "a drawing of a suit."}
    assert found[4:] == found[:2]


def test_a_corpus_that_never_names_the_class_falls_back_to_templates() -> None:
    """Without a caption in the corpus every caption is a prompt template with the class's name."""
    found = captions_naming(ListCorpus(["a tree"]), CLASSES, {2: 2}, "word", generator(0))
    assert set(found[2]) == {"a photo of a car.", "a drawing of a car."}


def test_nothing_wanted_reads_nothing() -> None:
    """A search for no captions does not touch the corpus."""
    corpus = ListCorpus(["my suit"])
    assert captions_naming(corpus, CLASSES, {0: 0}, "word", generator(0)) == {0: []}
    assert corpus.reads == []


def test_missing_templates_are_an_error_only_when_needed() -> None:
    """Too few captions and no templates is one sentence, not an endless search."""
    bare = Classes(("suit",), (), (("suit",),))
    corpus = ListCorpus(["my suit"])
    assert captions_naming(corpus, bare, {0: 1}, "word", generator(0)) == {0: ["my suit"]}
    with pytest.raises(BadSetting, match="no prompt templates"):
        captions_naming(corpus, bare, {0: 2}, "word", generator(0))


@pytest.mark.parametrize("match", ["word", "substring"])
def test_letters_with_accents_are_found_in_either_form_of_unicode(match: Match) -> None:
    """One character or two: file systems of Apple give the second, CLIP's tokenizer reads one."""
    one, two = "a caf\u00e9 in Paris", "a cafe\u0301 in Paris"
    for phrase in ("caf\u00e9", "cafe\u0301"):
        assert all(naming_pattern([phrase], match).search(caption) for caption in (one, two))
    assert not any(naming_pattern(["cafe"]).search(caption) for caption in (one, two))
