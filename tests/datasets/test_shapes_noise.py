"""Training captions that do not fit, or do not name the class, as captions of the web do."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipbench.plugins.part import Part
from clipbench.shards.reader import ShardSet
from clipbench_datasets._shapes_noise import AMONG, sources
from clipbench_datasets._shapes_scene import COLORS, SHAPES
from clipbench_datasets._shapes_words import ALIASES, COLOR_WORDS, SHAPE_WORDS, THINGS
from clipbench_datasets.shapes import Shapes

COUNT = 3 * AMONG
_PHRASES = {phrase: label for label, phrases in enumerate(ALIASES) for phrase in phrases}


def training(count: int = COUNT, **settings: Any) -> list[str]:
    """Return the captions of the first training pairs."""
    return Shapes(**settings).arrays("train", 0, count)[2]


def named(caption: str) -> set[int]:
    """Return the classes a caption names, by any pair of neighboring words."""
    pairs = map(" ".join, pairwise(caption.split()))
    return {_PHRASES[pair] for pair in pairs if pair in _PHRASES}


def test_a_set_without_them_is_the_set_that_it_was() -> None:
    """Nothing of it says that there is a choice, so that its runs keep their ids."""
    spec = {"size": 400, "caption_noise": 0, "caption_detail": 0.0}
    told = Part[Any].of("dataset", {"name": "shapes", **spec}).to_json()
    assert told == Part[Any].of("dataset", "shapes:size=400").to_json()
    assert not [key for key in told if key.startswith("caption")]
    assert Shapes(size=400)._source().keys() == {"size", "image_size", "seed", "encoding"}
    noisy = Shapes(size=400, caption_noise=0.2)._source()
    assert noisy["caption_noise"] == 0.2


@pytest.mark.parametrize("share", [0.1, 0.2, 0.4, 1.0])
def test_the_share_is_exact_and_every_caption_is_used_once(share: float) -> None:
    """In each thousand pairs; a pair whose caption is swapped has that of another."""
    found = sources(0, 0, COUNT, share)
    moved = found != np.arange(COUNT)
    assert moved.reshape(-1, AMONG).sum(axis=1).tolist() == [round(share * AMONG)] * 3
    assert sorted(found.tolist()) == list(range(COUNT))
    assert Counter(training(caption_noise=share)) == Counter(training())


def test_captions_move_and_images_stay() -> None:
    """One pair in a hundred of those that move names the right class by chance."""
    clean, noisy = (Shapes(caption_noise=share).arrays("train", 0, COUNT) for share in (0, 0.4))
    np.testing.assert_array_equal(clean[0], noisy[0])
    np.testing.assert_array_equal(clean[1], noisy[1])
    wrong = sum(named(text) != {label} for text, label in zip(noisy[2], noisy[1], strict=True))
    assert 0.97 * 0.4 * COUNT < wrong <= 0.4 * COUNT


def test_a_caption_depends_neither_on_the_range_nor_on_the_size() -> None:
    """Sets are nested; with more noise other pairs are swapped besides."""
    data = Shapes(caption_noise=0.2, caption_detail=0.3)
    whole = data.arrays("train", 0, COUNT)[2]
    assert data.arrays("train", 970, 1_030)[2] == whole[970:1_030]
    assert (
        Shapes(size=50, caption_noise=0.2, caption_detail=0.3).arrays("train", 0, 50)[2]
        == (whole[:50])
    )
    few, many = (sources(0, 0, COUNT, share) != np.arange(COUNT) for share in (0.1, 0.4))
    assert (many | ~few).all()


def test_another_seed_swaps_other_captions() -> None:
    """The noise is drawn from the seed of the set."""
    assert (sources(0, 0, AMONG, 0.2) != sources(1, 0, AMONG, 0.2)).any()


def test_what_is_held_out_is_clean() -> None:
    """Test images, targets, captions of the evaluation, and pairs known to be clean."""
    clean, noisy = Shapes(), Shapes(caption_noise=0.4, caption_detail=0.5)
    one, other = clean.evaluation(), noisy.evaluation()
    assert one.retrieval is not None
    assert other.retrieval is not None
    assert one.retrieval.captions == other.retrieval.captions
    np.testing.assert_array_equal(one.test.labels, other.test.labels)
    np.testing.assert_array_equal(clean.targets().labels, noisy.targets().labels)
    trusted = Shapes(caption_noise=0.4).trusted(500)
    assert trusted == clean.trusted(500)


def test_captions_of_details_name_no_class_and_say_nothing_false() -> None:
    """As many as asked for; half have the shape's color, and none says its shape."""
    plain, detailed = training(), training(caption_detail=0.3)
    labels = Shapes().arrays("train", 0, COUNT)[1].tolist()
    others = [number for number in range(COUNT) if not named(detailed[number])]
    assert 0.27 * COUNT < len(others) < 0.33 * COUNT
    words = {word for name in SHAPES for word in SHAPE_WORDS.get(name, (name,))}
    colored = 0
    for number in others:
        told, color = detailed[number].split(), list(COLORS)[labels[number] % len(COLORS)]
        assert not words & set(told)
        place = next(place for place, word in enumerate(told) if word in THINGS)
        known = {word for name in COLORS for word in COLOR_WORDS.get(name, (name,))}
        if told[place - 1] in known:
            assert told[place - 1] in COLOR_WORDS.get(color, (color,))
            colored += 1
        assert len(told) <= len(plain[number].split())
    assert 0.4 < colored / len(others) < 0.6
    rest = set(range(COUNT)) - set(others)
    assert all(plain[number] == detailed[number] for number in rest)


def test_noise_and_details_are_in_the_name_of_the_folder(tmp_path: Path) -> None:
    """And their shards hold those captions."""
    settings = [(noise, detail) for noise in (0, 0.5) for detail in (0, 0.5)]
    sets = [Shapes(size=20, caption_noise=noise, caption_detail=d) for noise, d in settings]
    found = [ShardSet.open(data.prepare(tmp_path)) for data in sets]
    told = [[shards.caption(number) for number in range(20)] for shards in found]
    assert told == [data.arrays("train", 0, 20)[2] for data in sets]
    assert len({tuple(captions) for captions in told}) == 4
