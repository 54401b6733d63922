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
from clipbench.images.encoding import decode, encode_jpeg, encode_png
from clipbench.plugins import registry
from clipbench.poisoning.disguise import image_like
from clipbench.toolkit.lookalikes import alike, hashes_of, phash
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


def apart(one: Image, two: Image) -> int:
    return (phash(one) ^ phash(two)).bit_count()


def test_a_photograph_keeps_its_hash_through_what_crawlers_do() -> None:
    """JPEG, another size, another brightness: a few bits of 64; another picture: some thirty."""
    image = photograph()
    smaller = np.asarray(Pil.fromarray(image).resize((120, 140), Pil.Resampling.BICUBIC))
    brighter = (image * 0.8 + 40).astype(np.uint8)
    assert apart(image, decode(encode_jpeg(image, 30, 2))) <= 3
    assert apart(image, smaller) <= 3
    assert apart(image, brighter) <= 3
    assert apart(image, image[:, ::-1]) > 16
    assert apart(image, image[200:400, 100:300]) > 16


@pytest.mark.parametrize("quality", [20, 40, 75, 95, None])
def test_a_poison_is_known_again_however_its_neighbors_are_saved(quality: int | None) -> None:
    """Poisons are saved as the files whose places they take; copies of one stay within 3 bits."""
    image = photograph()[:224, :224]
    other = np.ascontiguousarray(photograph()[200:400, 100:400])
    reference = encode_png(other) if quality is None else encode_jpeg(other, quality, 2)
    saved = image_like(image, reference)
    assert saved != reference
    assert apart(image, decode(saved)) <= 3


def test_one_of_many_copies_stays_and_all_that_are_alone() -> None:
    """Five copies among drawings, one of them saved again: one stays, or none, or two."""
    image = photograph()
    pictures = [*drawings(6), image, image.copy(), decode(encode_jpeg(image)), image, image]
    for copies, left in ((1, 1), (0, 0), (2, 2)):
        found = kept(Dedup(copies=copies, distance=3), pictures=pictures)
        assert [number for number in found if number < 6] == list(range(6))
        assert sum(number >= 6 for number in found) == left


def test_near_hashes_are_found_as_by_comparing_all() -> None:
    """Through the quarters that near hashes share, in chains; against the pairs one by one."""
    rng = np.random.default_rng(3)
    hashes = rng.integers(0, 2**63, 300, dtype=np.uint64)
    for number in range(0, 60, 2):  # up to four bits from another
        for bit in rng.integers(0, 64, rng.integers(1, 5)):
            hashes[number] = hashes[number + 1] ^ np.uint64(1 << int(bit))
    hashes[70] = hashes[71]
    for distance in range(4):
        groups = alike(hashes, distance)
        bits = np.array([[(int(a) ^ int(b)).bit_count() for b in hashes] for a in hashes])
        together = groups[:, None] == groups[None]
        assert together[bits <= distance].all()
        for group in np.unique(groups):  # and nobody is in a group without a neighbor there
            members = np.flatnonzero(groups == group)
            near = (bits[np.ix_(members, members)] <= distance).sum(axis=1)
            assert len(members) == 1 or (near > 1).all()


def test_drawings_are_told_apart() -> None:
    """Of 500 different drawings hardly one looks like another to the hash."""
    groups = alike(hashes_of(drawings(500)), 0)
    assert some_of_each(groups, 1, seed=0).sum() >= 495


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
