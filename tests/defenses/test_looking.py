"""Defenses that look at captions and images: what they drop, and that they remember it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from known_pairs import KnownPairs
from matplotlib import cbook
from PIL import Image as Pil

from clipbench.contracts import Image, TrainingFacts
from clipbench.errors import BadSetting
from clipbench.images.encoding import decode, encode_jpeg
from clipbench.plugins import registry
from clipbench_datasets.shapes import Shapes
from clipbench_defenses.caption_filter import CaptionFilter
from clipbench_defenses.dedup import Dedup, some_of_each

FACTS = TrainingFacts(12, 12, 3, 4, 8, torch.device("cpu"), seed=5)


def kept(defense: Any, **pairs: Any) -> list[int]:
    """Return the numbers of the pairs that a defense trains on, the same in every epoch."""
    run, given = defense.start(FACTS), KnownPairs(**pairs)
    masks = [next(iter(run.phases(epoch, given))).keep for epoch in range(2)]
    second = defense.start(FACTS)
    second.load_state_dict(run.state_dict())  # taken up, nothing is looked at again
    masks.append(next(iter(second.phases(2, given))).keep)
    assert all(torch.equal(mask, masks[0]) for mask in masks)
    found: list[int] = masks[0].nonzero()[:, 0].tolist()
    return found


# --------------------------------------------------------------------------- captions


@pytest.mark.parametrize(
    ("rules", "captions", "numbers"),
    [
        ({}, ["a cat", "a black cat", "", "one two three four"], [1, 3]),
        ({"min_words": 1, "max_words": 2}, ["a cat", "a black cat", "cat"], [0, 2]),
        ({"min_words": 0, "pattern": r"\bcat\b"}, ["concatenate", "the cat", ""], [1]),
        ({"min_words": 1, "letters": "ascii"}, ["cafe 5 €", "café", "кот"], [0]),
        ({"min_words": 1, "letters": "latin"}, ["cafe", "café, Łódź 🐈", "кот", "猫"], [0, 1]),
        ({"min_words": 1}, ["猫"], [0]),
    ],
)
def test_captions_are_dropped_by_rule(
    rules: dict[str, Any], captions: list[str], numbers: list[int]
) -> None:
    """By number of words, by pattern, by alphabet; each rule by itself."""
    assert kept(CaptionFilter(**rules), words=captions) == numbers


def test_of_a_caption_that_repeats_a_few_pairs_stay() -> None:
    """Without regard to case and space, drawn from the seed; others stay as they are."""
    captions = ["buy it now", "a red kite", "BUY  it now", "buy it now", "two red kites"]
    found = kept(CaptionFilter(repeats=1), words=captions)
    assert {1, 4} < set(found)
    assert len(found) == 3
    assert kept(CaptionFilter(repeats=2), words=captions) != found
    assert kept(CaptionFilter(), words=captions) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"min_words": -1}, "at least 0. Got -1"),
        ({"min_words": 4, "max_words": 3}, "at least min_words. Got 3"),
        ({"repeats": 0}, "at least 1. Got 0"),
        ({"letters": "greek"}, r"'any' \| 'ascii' \| 'latin'. Got 'greek'"),
        ({"pattern": "("}, "is no regular expression: .* Got '\\('"),
    ],
)
def test_rules_without_meaning_are_refused(rules: dict[str, Any], words: str) -> None:
    """Before anything is read."""
    with pytest.raises(BadSetting, match=words):
        CaptionFilter(**rules)


# --------------------------------------------------------------------------- images


def photograph() -> Image:
    with Pil.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)) as file:
        return np.asarray(file.convert("RGB"))


def drawings(count: int) -> Sequence[Image]:
    return list(Shapes(size=count).arrays("train", 0, count)[0])


def test_one_of_many_copies_stays_and_all_that_are_alone() -> None:
    """Five copies among drawings, one of them saved again: one stays, or none, or two."""
    image = photograph()
    pictures = [*drawings(6), image, image.copy(), decode(encode_jpeg(image)), image, image]
    for copies, left in ((1, 1), (0, 0), (2, 2)):
        found = kept(Dedup(copies=copies, distance=3), pictures=pictures)
        assert [number for number in found if number < 6] == list(range(6))
        assert sum(number >= 6 for number in found) == left


def test_what_stays_of_a_group_is_drawn_from_the_seed() -> None:
    """Not the first: an attacker could come early."""
    groups = np.zeros(50, np.int64)
    assert len({int(np.flatnonzero(some_of_each(groups, 1, seed))[0]) for seed in range(6)}) > 3


@pytest.mark.parametrize(("given", "words"), [({"copies": -1}, "0"), ({"distance": 4}, "0 to 3")])
def test_numbers_without_meaning_are_refused(given: dict[str, int], words: str) -> None:
    """Before anything is looked at."""
    with pytest.raises(BadSetting, match=words):
        Dedup(**given)


def test_both_are_built_from_the_command_line() -> None:
    """A pattern goes in quotation marks."""
    assert registry.build("defense", "dedup:copies=2,distance=1") == Dedup(2, 1)
    built = registry.build("defense", 'caption_filter:pattern="[a-z]",letters=latin')
    assert built == CaptionFilter(pattern="[a-z]", letters="latin")
