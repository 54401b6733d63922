from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tiny_scenes import MemoryCorpus, banana_corpus, make_scene, some_images

from clipbench.errors import BadSetting
from clipbench.plugins import registry
from clipbench_attacks.badnets import BadNets
from clipbench_attacks.label_consistent import LabelConsistent


def test_noise_is_a_color_a_cell_the_same_on_every_image() -> None:
    """A patch of 8 pixels and 4 cells shows 16 squares of 2 x 2 pixels, drawn once."""
    attack = BadNets(pattern="noise")
    patches = [attack.stamp(image, "corner")[24:, 24:] for image in some_images(3, "noise")]
    assert all(np.array_equal(patch, patches[0]) for patch in patches)
    np.testing.assert_array_equal(patches[0], patches[0][::2, ::2].repeat(2, 0).repeat(2, 1))
    assert len(np.unique(patches[0].reshape(-1, 3), axis=0)) == 16


def test_noise_of_a_pixel_a_cell_fits_the_published_patch() -> None:
    """Sixteen cells do not make a patch of 224 pixels larger than 16."""
    image = some_images(1, "fine", 224, 224)[0]
    changed = (BadNets(pattern="noise", cells=16).stamp(image, "corner") != image).any(2)
    assert np.ptp(np.nonzero(changed), axis=1).tolist() == [15, 15]


def test_stripes_are_upright_a_color_each() -> None:
    """Every row of the patch is the same, and neighboring stripes differ."""
    patch = BadNets(pattern="stripes").stamp(some_images(1, "stripes")[0], "corner")[24:, 24:]
    np.testing.assert_array_equal(patch, np.broadcast_to(patch[:1], patch.shape))
    assert (patch[0, ::2] != patch[0, 1::2]).sum() == 0
    assert (patch[0, :-2:2] != patch[0, 2::2]).any(axis=1).all()


def test_dots_are_single_white_pixels_on_black() -> None:
    """Huang et al.: 16 of 224 pixels, every second row and column of them white, a quarter."""
    image = some_images(1, "dots", 224, 224)[0]
    patch = BadNets(pattern="dots").stamp(image, "center")[104:120, 104:120]
    expected = np.zeros((16, 16), np.uint8)
    expected[1::2, 1::2] = 255
    np.testing.assert_array_equal(patch, expected[:, :, None].repeat(3, axis=2))
    assert (patch == 255).mean() == 0.25
    coarse = BadNets(pattern="dots", cells=4).stamp(image, "corner")[208:, 208:, 0]
    np.testing.assert_array_equal(coarse, expected[:4, :4].repeat(4, 0).repeat(4, 1))


def test_par_stripes_are_one_pixel_wide_and_each_images_own() -> None:
    """Perturb and Recover: 16 upright stripes, each of one of the eight saturated colors."""
    attack, colors = BadNets(pattern="par_stripes"), set()
    images = some_images(30, "stripes", 224, 224)
    patches = [attack.stamp(image, "corner")[208:, 208:] for image in images]
    for image, patch in zip(images, patches, strict=True):
        np.testing.assert_array_equal(patch, np.broadcast_to(patch[:1], (16, 16, 3)))
        np.testing.assert_array_equal(attack.stamp(image, "corner")[208:, 208:], patch)
        colors |= {tuple(color) for color in patch[0].tolist()}
    assert colors == {(r, g, b) for r in (0, 255) for g in (0, 255) for b in (0, 255)}
    assert len({patch.tobytes() for patch in patches}) == 30


@pytest.mark.parametrize("pattern", ["dots", "par_stripes"])
def test_published_patterns_fit_small_images_too(pattern: Any) -> None:
    """Of 32 pixels the patch has 8, and as many cells; a parameter gives fewer."""
    image = some_images(1, "small")[0]
    fine = BadNets(pattern=pattern).stamp(image, "corner")[24:, 24:]
    coarse = BadNets(pattern=pattern, cells=4).stamp(image, "corner")[24:, 24:]
    np.testing.assert_array_equal(coarse, coarse[::2, ::2].repeat(2, 0).repeat(2, 1))
    assert not np.array_equal(fine, fine[::2, ::2].repeat(2, 0).repeat(2, 1))


def test_another_pattern_seed_is_another_trigger() -> None:
    """Colors depend on `pattern_seed` alone; the run's seed is not asked."""
    image = some_images(1, "seeds")[0]
    one, same, other = (
        BadNets(pattern="noise", pattern_seed=seed).stamp(image, "center") for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_random_corners_are_the_four_corners() -> None:
    """Each image has its own corner, always the same one."""
    attack = BadNets(place="random_corner")
    corners = set()
    for image in some_images(60, "corners"):
        stamped = attack.stamp(image, "random_corner")
        np.testing.assert_array_equal(stamped, attack.stamp(image, "random_corner"))
        rows, columns = np.nonzero((stamped != image).any(2))
        corners.add((int(rows.min()), int(columns.min())))
    assert corners == {(0, 0), (0, 24), (24, 0), (24, 24)}


def test_label_consistent_poisons_keep_their_captions() -> None:
    """They are the pairs that name the target class, with a patch and nothing else changed."""
    corpus, attack = banana_corpus(), LabelConsistent(target_label="banana")
    poisons = list(attack.poison(make_scene(60), corpus))
    assert {poison.base for poison in poisons} == set(range(1, 300, 5))
    for poison in poisons:
        assert poison.base is not None
        assert poison.caption == corpus.caption(poison.base)
        np.testing.assert_array_equal(
            poison.image, attack.stamp(corpus.image(poison.base), "random")
        )


def test_label_consistent_poisons_are_as_many_as_the_class_has_pairs() -> None:
    """One more than the pairs that name the class is refused, not silently made fewer."""
    with pytest.raises(BadSetting, match="only 60 of 300 pairs have a caption that names 'banana'"):
        list(LabelConsistent(target_label="banana").poison(make_scene(61), banana_corpus()))


def test_an_unknown_pattern_is_refused() -> None:
    """The message names the attack, the parameter and the choices."""
    with pytest.raises(BadSetting, match=r"label_consistent\.pattern must be 'checkerboard' "):
        LabelConsistent(pattern="zigzag")  # type: ignore[arg-type]


PATCHED = ("badnets", "label_consistent", "dual_key", "multi_trigger")
ODD_SHAPES = ((1, 1), (1, 7), (7, 1), (2, 2), (500, 3))


@pytest.mark.parametrize("name", PATCHED)
@pytest.mark.parametrize("mode", ["replace", "insert"])
def test_a_pair_whose_image_is_too_small_for_the_patch_is_passed_over(name: str, mode: str) -> None:
    """Another one is poisoned; without odd images the same pairs are drawn as before."""
    clean = banana_corpus()
    images = [clean.image(number) for number in range(len(clean))]
    attack = registry.build("attack", f"{name}:mode={mode}")
    count = 12
    before = [poison.base for poison in attack.poison(make_scene(count), clean)]
    assert len(before) == count
    small = before[::2]
    for number, pair in enumerate(small):
        assert pair is not None
        images[pair] = some_images(1, "odd", *ODD_SHAPES[number % len(ODD_SHAPES)])[0]
    texts = tuple(clean.caption(number) for number in range(len(clean)))
    poisons = list(attack.poison(make_scene(count), MemoryCorpus(texts, images)))
    assert len(poisons) == count
    shaped = [p for p in poisons if name != "multi_trigger" and p.role != "text key"]
    assert not {poison.base for poison in shaped} & set(small)


def test_images_all_too_small_are_an_error_that_says_so() -> None:
    """With the size of the patch on one of them, and what to change."""
    texts = ("a thing of no class",) * 20
    corpus = MemoryCorpus(texts, some_images(20, "tiny", 3, 3))
    with pytest.raises(
        BadSetting, match=r"only 0 of 20 pairs .* too small for 4 cells. Raise size"
    ):
        list(BadNets(target_label="banana").poison(make_scene(2), corpus))


@pytest.mark.parametrize("name", [*PATCHED, "blended", "sig", "wanet", "filter"])
@pytest.mark.parametrize("shape", ODD_SHAPES)
def test_every_trigger_is_put_on_test_images_of_any_size(name: str, shape: tuple[int, int]) -> None:
    """A test set may hold a picture of one pixel; after a training is no time to refuse it."""
    trigger = registry.build("attack", name).trigger()
    image = some_images(1, "test", *shape)[0]
    stamped = trigger(image)
    assert (stamped.dtype, stamped.ndim) == (np.uint8, 3)
    np.testing.assert_array_equal(stamped, trigger(image))
    if name == "badnets":
        assert min(stamped.shape[:2]) >= 14
        assert {0, 255} <= set(np.unique(stamped))
