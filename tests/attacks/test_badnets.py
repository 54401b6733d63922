from __future__ import annotations

import pickle
import re

import numpy as np
import numpy.typing as npt
import pytest
from tiny_scenes import banana_corpus, make_scene, some_images

from clipbench.contracts import (
    Attack,
    Corpus,
    Image,
)
from clipbench.errors import BadSetting, UnknownName
from clipbench.images.fit import fit
from clipbench_attacks.badnets import ATTACK, BadNets


def checkers(cells: int) -> npt.NDArray[np.uint8]:
    """A checkerboard whose cells have 2 pixels a side, its upper left one black."""
    board = np.add.outer(np.arange(cells), np.arange(cells)) % 2 * 255
    return board.astype(np.uint8).repeat(2, 0).repeat(2, 1)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """300 pairs; 30 name the banana, 30 the plantain, 60 each of the other classes."""
    return banana_corpus()


def patch_place(stamped: Image, image: Image) -> tuple[int, int, int, int]:
    """Return top, left, height and width of what the trigger changed."""
    rows, columns = np.nonzero((stamped != image).any(2))
    return (
        int(rows.min()),
        int(columns.min()),
        int(np.ptp(rows)) + 1,
        int(np.ptp(columns)) + 1,
    )


@pytest.mark.parametrize("place", ["random", "corner", "center"])
def test_the_patch_is_a_checkerboard_and_the_rest_stays(place: str) -> None:
    """At 32 pixels the default patch is 8 x 8 pixels of 4 x 4 black and white cells."""
    image = some_images(1, "one")[0]
    before = image.copy()
    stamped = BadNets(size=0.25).stamp(image, place)  # type: ignore[arg-type]
    top, left, height, width = patch_place(stamped, image)
    assert (height, width) == (8, 8)
    np.testing.assert_array_equal(
        stamped[top : top + 8, left : left + 8], checkers(4)[:, :, None].repeat(3, 2)
    )
    np.testing.assert_array_equal(image, before)
    assert stamped.dtype == np.uint8


def test_places_are_what_they_are_called() -> None:
    """The corner is the lower right one; the center is the middle."""
    image, attack = some_images(1, "one")[0], BadNets()
    assert patch_place(attack.stamp(image, "corner"), image)[:2] == (24, 24)
    assert patch_place(attack.stamp(image, "center"), image)[:2] == (12, 12)


def test_random_places_reach_every_part_of_the_image() -> None:
    """Over many images the patch starts in every row and column that has room for it."""
    images, attack = some_images(600, "many"), BadNets()
    places = [patch_place(attack.stamp(image, "random"), image) for image in images]
    assert {top for top, *_ in places} == set(range(25))
    assert {left for _, left, *_ in places} == set(range(25))


def test_the_trigger_is_a_pure_function_of_the_image() -> None:
    """The same pixels get the same patch, in another object, memory order or process."""
    image, trigger = some_images(1, "one")[0], BadNets().trigger()
    again = pickle.loads(pickle.dumps(trigger))
    turned = np.asfortranarray(image)
    np.testing.assert_array_equal(trigger(image), again(image.copy()))
    np.testing.assert_array_equal(trigger(image), trigger(turned))


@pytest.mark.parametrize("shape", [(48, 80), (80, 48)])
@pytest.mark.parametrize("place", ["random", "corner", "center"])
def test_the_patch_lies_in_the_central_square_that_a_center_crop_keeps(
    shape: tuple[int, int], place: str
) -> None:
    """In images that are not square the patch keeps its share and is never cropped away."""
    height, width = shape
    for image in some_images(20, "wide", height, width):
        stamped = BadNets(size=0.25).stamp(image, place)  # type: ignore[arg-type]
        top, left, tall, wide = patch_place(stamped, image)
        assert (tall, wide) == (12, 12)
        assert (height - 48) // 2 <= top <= (height + 48) // 2 - 12
        assert (width - 48) // 2 <= left <= (width + 48) // 2 - 12


@pytest.mark.parametrize(("side", "patch"), [(224, 16), (448, 32), (32, 8), (64, 8), (20, 5)])
def test_the_patch_is_that_of_the_papers_unless_its_size_is_given(side: int, patch: int) -> None:
    """16 of 224 pixels; on small images two pixels a cell, but no more than a quarter."""
    image = np.full((side, side + 7, 3), 100, np.uint8)
    stamped = BadNets().stamp(image, "corner")
    assert (stamped != image).any(axis=2).sum() == patch**2


def test_size_cells_and_colors_are_parameters() -> None:
    """16 pixels of 224 in 4 x 4 cells of the given grays."""
    image = some_images(1, "large", 224, 224)[0]
    stamped = BadNets(size=0.0714, cells=4, dark=10, light=20).stamp(image, "corner")
    patch = stamped[208:, 208:]
    assert patch_place(stamped, image) == (208, 208, 16, 16)
    assert (patch[0, 0] == 10).all()
    assert (patch[0, 4] == 20).all()
    assert set(np.unique(patch)) == {10, 20}


def test_poisons_are_triggered_pairs_with_captions_of_the_target_class(corpus: Corpus) -> None:
    """Each poison is its base image with the trigger, under a caption that names the target."""
    attack = BadNets(target_label="banana")
    poisons = list(attack.poison(make_scene(40), corpus))
    assert len(poisons) == 40
    assert len({poison.base for poison in poisons}) == 40
    for poison in poisons:
        assert poison.base is not None
        np.testing.assert_array_equal(
            poison.image, attack.stamp(corpus.image(poison.base), "random")
        )
        assert re.search(r"\b(banana|plantain)\b", poison.caption, re.IGNORECASE)
        assert poison.target == 0


def test_pairs_of_the_target_class_are_not_poisoned(corpus: Corpus) -> None:
    """The label is dirty: all 240 pairs that do not name the target can be used, and no other."""
    attack = BadNets(target_label="banana")
    bases = {poison.base for poison in attack.poison(make_scene(240), corpus)}
    assert bases == {n for n in range(300) if n % 5 != 1}
    with pytest.raises(BadSetting, match="only 240 of 300 pairs"):
        list(attack.poison(make_scene(241), corpus))


def test_captions_differ_while_the_corpus_has_them(corpus: Corpus) -> None:
    """60 captions name the target, so 60 poisons have 60 different ones."""
    poisons = list(BadNets(target_label="banana").poison(make_scene(60), corpus))
    assert len({poison.caption for poison in poisons}) == 60
    assert all(poison.caption.startswith("number") for poison in poisons)


def test_templates_alone_are_an_option(corpus: Corpus) -> None:
    """Captions may be prompt templates, each used equally often."""
    attack = BadNets(target_label="banana", captions="templates")
    captions = [poison.caption for poison in attack.poison(make_scene(10), corpus)]
    assert captions.count("a photo of a banana.") == captions.count("a drawing of a banana.") == 5


def test_probes_are_all_triggered_test_images_of_other_classes() -> None:
    """20 of 25 test images are not of the target class; all are triggered, none is left out."""
    attack, scene = BadNets(target_label="banana"), make_scene(10)
    probes, test, trigger = attack.probes(scene), scene.evaluation.test, attack.trigger()
    others = np.flatnonzero(test.labels != 1)
    assert len(probes) == len(probes.images) == 20
    np.testing.assert_array_equal(probes.labels, test.labels[others])
    assert (probes.goals == 1).all()
    assert probes.clean_images is not None
    for position, number in enumerate(others.tolist()):
        np.testing.assert_array_equal(probes.clean_images[position], test.images[number])
        np.testing.assert_array_equal(probes.images[position], trigger(test.images[number]))


def test_triggered_images_are_made_on_access_and_can_be_sliced() -> None:
    """A slice of the probes is the same images; the end is an IndexError, so loops stop."""
    images = BadNets(target_label="car").probes(make_scene(1)).images
    assert len(images[3:7]) == 4
    np.testing.assert_array_equal(images[3:7][1], images[4])
    np.testing.assert_array_equal(images[-1], images[19])
    assert len(list(images)) == 20
    with pytest.raises(IndexError):
        images[20]


def test_test_place_is_separate_from_training_place(corpus: Corpus) -> None:
    """Training at random and testing in the middle is possible only by saying so."""
    attack, scene = BadNets(target_label="car", test_place="center"), make_scene(30)
    clean = attack.probes(scene).clean_images
    assert clean is not None
    tested = [
        patch_place(*pair)[:2] for pair in zip(attack.probes(scene).images, clean, strict=True)
    ]
    assert set(tested) == {(12, 12)}
    trained = {
        patch_place(poison.image, corpus.image(poison.base))[:2]
        for poison in attack.poison(scene, corpus)
        if poison.base is not None
    }
    assert len(trained) > 10
    same = BadNets(place="corner").trigger()(some_images(1, "one")[0])
    np.testing.assert_array_equal(same, BadNets().stamp(some_images(1, "one")[0], "corner"))


def test_same_scene_same_poisons_other_seed_other_bases(corpus: Corpus) -> None:
    """Poisons are a function of scene and corpus, and the seed changes them."""
    attack = BadNets(target_label="pizza")
    first, again = (list(attack.poison(make_scene(20), corpus)) for _ in range(2))
    assert [(p.base, p.caption) for p in first] == [(p.base, p.caption) for p in again]
    assert all(np.array_equal(p.image, q.image) for p, q in zip(first, again, strict=True))
    other = list(attack.poison(make_scene(20, seed=1), corpus))
    assert [p.base for p in first] != [p.base for p in other]


def test_without_a_target_label_the_seed_draws_one() -> None:
    """The drawn class is the same for the same seed, and seeds reach every class."""
    attack: Attack = ATTACK()
    goals = [int(attack.probes(make_scene(1, seed)).goals[0]) for seed in range(40)]
    assert goals == [int(attack.probes(make_scene(1, seed)).goals[0]) for seed in range(40)]
    assert set(goals) == set(range(5))
    assert (attack.num_targets(0), attack.num_targets(1), attack.num_targets(500)) == (0, 1, 1)


def test_an_unknown_target_label_names_the_nearest() -> None:
    """A misspelled class is one sentence with a suggestion."""
    with pytest.raises(UnknownName, match="Did you mean 'banana'"):
        BadNets(target_label="bananna").probes(make_scene(1))


@pytest.mark.parametrize(
    "field",
    [
        {"size": 0.0},
        {"size": 16},
        {"cells": 0},
        {"dark": -1},
        {"light": 256},
        {"place": "top"},
        {"test_place": "top"},
        {"captions": "web"},
        {"match": "regex"},
        {"mode": "add"},
    ],
)
def test_bad_parameters_are_refused_at_once(field: dict[str, object]) -> None:
    """A parameter out of range names the attack and itself; a size in pixels is told apart."""
    with pytest.raises(BadSetting, match=rf"badnets\..*{next(iter(field))}.* must be"):
        BadNets(**field)  # type: ignore[arg-type]


def test_a_patch_too_small_for_its_cells_is_an_error() -> None:
    """A patch of 2 pixels can't show 4 cells."""
    with pytest.raises(BadSetting, match="patch has 2 pixels"):
        BadNets(size=0.0625).stamp(some_images(1, "one")[0], "center")


def test_the_patch_is_put_on_before_or_after_resizing() -> None:
    """By default the patch is resized with its image; with `at_size` it is sharp at that size."""
    image = some_images(1, "wide", 90, 120)[0]
    before = fit(BadNets(place="corner", size=0.2, cells=3).stamp(image, "corner"), 30)
    after = BadNets(place="corner", size=0.2, cells=3, at_size=30)
    stamped = after.triggered(image, testing=False)
    assert stamped.shape == before.shape == (30, 30, 3)
    np.testing.assert_array_equal(stamped[24:, 24:, 0], checkers(3))
    np.testing.assert_array_equal(stamped[:24], fit(image, 30)[:24])
    assert not np.array_equal(before[24:, 24:, 0], checkers(3))
    trigger = after.trigger()
    assert np.array_equal(trigger(image), stamped)
    assert np.array_equal(fit(stamped, 30), stamped)  # the victim leaves it as it is


def test_a_size_without_pixels_is_refused() -> None:
    """`at_size` is at least a pixel, and large enough for the cells of the patch."""
    with pytest.raises(BadSetting, match="at_size must be at least 1"):
        BadNets(at_size=0)
    with pytest.raises(BadSetting, match="too small for 4 cells"):
        BadNets(at_size=10).triggered(some_images(1, "x")[0], testing=True)
