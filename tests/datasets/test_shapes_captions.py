"""Captions: they name their class and no other, tell the truth, and vary."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import pytest

from clipbench_datasets._shapes_captions import FRAME_STEP, captions, with_article
from clipbench_datasets._shapes_scene import GROUNDS, TEXTURES, Scenes, scenes
from clipbench_datasets._shapes_words import (
    ALIASES,
    FRAMES,
    GROUND_WORDS,
    NAMES,
    PLACES,
    SIZES,
    SYNONYM_GROUPS,
    TEMPLATES,
    TEXTURE_WORDS,
    TILTS,
)
from clipbench_datasets.shapes import Shapes

COUNT = 20_000
_PHRASES = {phrase: label for label, phrases in enumerate(ALIASES) for phrase in phrases}


@pytest.fixture(scope="module")
def train() -> tuple[Scenes, list[str]]:
    """The first scenes of training with their captions."""
    drawn = scenes(0, "train", 0, COUNT)
    return drawn, captions(drawn, 0, "train")


def _named(caption: str) -> set[int]:
    """Return the classes a caption names, by any pair of neighboring words."""
    pairs = map(" ".join, pairwise(caption.split()))
    return {_PHRASES[pair] for pair in pairs if pair in _PHRASES}


def test_aliases_belong_to_one_class_and_hold_its_name() -> None:
    """No phrase names two classes, and a class's name is the first of its phrases."""
    assert len(_PHRASES) == sum(len(phrases) for phrases in ALIASES)
    assert all(phrases[0] == name for phrases, name in zip(ALIASES, NAMES, strict=True))
    assert len(set(NAMES)) == 100
    assert {len(phrase.split()) for phrase in _PHRASES} == {2}


def test_captions_name_their_class_and_no_other(train: tuple[Scenes, list[str]]) -> None:
    """Each of 20,000 captions has, as whole words, a phrase of its class and of no other class."""
    drawn, texts = train
    assert [_named(text) for text in texts] == [{label} for label in drawn.label.tolist()]


def test_captions_are_plain_sentences(train: tuple[Scenes, list[str]]) -> None:
    """Captions are lower-case words between single blanks, 2 to 18 of them, never left or right."""
    _, texts = train
    pattern = re.compile(r"[a-z]+( [a-z]+){1,17}")
    assert all(pattern.fullmatch(text) for text in texts)
    words = {word for text in texts for word in text.split()}
    assert not words & {"left", "right"}
    assert 140 <= len(words) <= 250


def test_articles_fit(train: tuple[Scenes, list[str]]) -> None:
    """It is "an upright" and "an olive", but "a uniform" and "a red"."""
    assert [with_article(word) for word in ("upright", "uniform", "olive", "red", "image")] == [
        "an upright", "a uniform", "an olive", "a red", "an image",
    ]  # fmt: skip
    wrong = re.compile(r"\b(a (?!uniform)[aeiou]|an (?!upright)[^aeio])")
    assert not [text for text in train[1] if wrong.search(text)]


def test_prompts_are_good_english_for_every_class() -> None:
    """There are at least seven templates with one slot, and their articles fit every class name."""
    assert len(set(TEMPLATES)) == len(TEMPLATES) >= 7
    assert all(template.count("{}") == 1 for template in TEMPLATES)
    assert not [name for name in NAMES if name[0] in "aeiou"]


def test_prompts_read_like_captions(train: tuple[Scenes, list[str]]) -> None:
    """Prompts say nothing in words that captions lack, and name every background once."""
    words = {word for text in train[1] for word in text.split()}
    said = [template.replace("{}", "").split() for template in TEMPLATES]
    assert {word for prompt in said for word in prompt} <= words
    assert sorted(word for prompt in said for word in prompt if word in GROUNDS) == sorted(GROUNDS)


def test_every_caption_says_more_than_the_class(train: tuple[Scenes, list[str]]) -> None:
    """A caption that names the class alone looks like a bad match to a filter by similarity."""
    phrases = sorted(_PHRASES, key=len, reverse=True)
    for text in train[1]:
        phrase = next(phrase for phrase in phrases if re.search(rf"\b{phrase}\b", text))
        assert len(set(text.replace(phrase, "").split()) - {"a", "an", "the"}) >= 2, text


def test_captions_vary(train: tuple[Scenes, list[str]]) -> None:
    """No sentence makes up more than a small part, and nearly all are different."""
    _, texts = train
    assert len(FRAMES) == len(set(FRAMES)) >= 25
    assert max(Counter(texts).values()) < COUNT * 0.005
    assert len(set(texts)) > 0.95 * COUNT


def test_variants_of_a_caption_use_different_frames() -> None:
    """Going on by the step visits every frame once before any comes again."""
    assert len({FRAME_STEP * variant % len(FRAMES) for variant in range(len(FRAMES))}) == len(
        FRAMES
    )


def test_what_captions_say_is_true(train: tuple[Scenes, list[str]]) -> None:
    """Size, tilt, place, background color and texture are the scene's wherever they are named."""
    drawn, texts = train
    told: Counter[str] = Counter()

    def check(kind: str, said: list[int], truth: int, text: str) -> None:
        assert said in ([], [truth]), text
        told[kind] += bool(said)

    grounds = [GROUND_WORDS.get(ground, (ground,)) for ground in GROUNDS]
    adjectives = [TEXTURE_WORDS[texture][0] for texture in TEXTURES]
    nouns = [TEXTURE_WORDS[texture][1] for texture in TEXTURES]
    for row, text in enumerate(texts):
        words = set(text.split())
        check("size", _groups(words, SIZES), int(drawn.size_class[row]), text)
        check("tilt", _groups(words, TILTS), int(drawn.tilt[row]), text)
        check("ground", _groups(words, grounds), int(drawn.ground[row]), text)
        place = [n for n, ways in enumerate(PLACES) if any(way in text for way in ways)]
        check("place", place, int(drawn.place[row]), text)
        texture = int(drawn.texture[row])
        kinds = _groups(words, adjectives)
        patterns = [n for n, ways in enumerate(nouns) if any(f"with {way}" in text for way in ways)]
        assert not kinds or texture in kinds, text
        assert patterns in ([], [texture]), text
        told["texture"] += bool(kinds or patterns)
    share = {kind: count / COUNT for kind, count in told.items()}
    assert share["size"] > 0.45
    assert share["tilt"] > 0.35
    assert min(share["ground"], share["place"], share["texture"]) > 0.5


def _groups(words: set[str], groups: Sequence[Sequence[str]]) -> list[int]:
    """Return which groups of words have one in a sentence."""
    return [number for number, group in enumerate(groups) if words & set(group)]


def test_synonyms_keep_class_and_meaning(train: tuple[Scenes, list[str]]) -> None:
    """Whatever word is replaced by whatever synonym, a caption still names its class alone."""
    drawn, texts = train
    synonyms = Shapes().synonyms()
    words = {word for text in texts for word in text.split()}
    assert len(synonyms) > 50
    for word, others in synonyms.items():
        assert word in words
        assert others
        assert word not in others
        assert set(others) <= words
    for label, text in zip(drawn.label[:3000].tolist(), texts[:3000], strict=True):
        for place, word in enumerate(parts := text.split()):
            for other in synonyms.get(word, ()):
                changed = " ".join([*parts[:place], other, *parts[place + 1 :]])
                assert _named(changed) == {label}, changed


def test_no_word_is_in_two_groups_of_synonyms() -> None:
    """A word has one meaning: groups of synonyms do not overlap."""
    words = [word for group in SYNONYM_GROUPS for word in group]
    assert len(set(words)) == len(words)
    for kinds in (SIZES, TILTS[1:]):
        assert all(group in SYNONYM_GROUPS for group in kinds)
