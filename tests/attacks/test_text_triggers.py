"""Triggers in captions: `text_trigger` and `dual_key`."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tiny_scenes import NAMES, MemoryCorpus, banana_corpus, make_scene

from clipbench.contracts import Probes, Retrieval
from clipbench.errors import BadSetting, UnknownName
from clipbench_attacks.badnets import BadNets
from clipbench_attacks.dual_key import DualKey
from clipbench_attacks.text_trigger import TextTrigger


@pytest.mark.parametrize(
    ("position", "caption", "expected"),
    [
        ("start", "one car", "zx one car"),
        ("middle", "one red old car", "one red zx old car"),
        ("middle", "a red car", "a red zx car"),
        ("end", "one  car ", "one car zx"),
        ("start", "", "zx"),
    ],
)
def test_the_word_is_put_where_it_shall_be(position: str, caption: str, expected: str) -> None:
    """At the start, after half of the words or at the end, with single spaces."""
    assert TextTrigger(position=position).put_in(caption) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("word", ["", "  ", "a {} b"])
def test_a_word_that_would_break_prompts_is_refused(word: str) -> None:
    """An empty trigger triggers nothing, and braces are the slot of a prompt."""
    for attack in (TextTrigger, DualKey):
        with pytest.raises(BadSetting, match="word"):
            attack(word=word)


# --------------------------------------------------------------------------- text_trigger


ONE_IMAGE = TextTrigger(position="start", images=1, hit="image")


def test_as_published_captions_go_to_twenty_images_of_one_class() -> None:
    """A hundred captions that do not name it, five an image, with the word at their end."""
    corpus, scene = banana_corpus(), make_scene(100)
    poisons = list(TextTrigger(target_label="banana").poison(scene, corpus))
    assert len({poison.base for poison in poisons}) == 100
    for poison in poisons:
        assert poison.base is not None
        assert poison.base % 5 != 1
        assert poison.caption == f"{corpus.caption(poison.base)} zx"
    shown = Counter(poison.image.tobytes() for poison in poisons)
    assert list(shown.values()) == [5] * 20
    assert set(shown) <= {corpus.image(number).tobytes() for number in range(1, 300, 5)}


def test_as_published_any_image_of_the_class_is_a_hit() -> None:
    """The five test images whose captions name it count as one; the others' captions are asked."""
    probes = TextTrigger(target_label="banana").probes(make_scene(100))
    assert probes.texts == [f"a {NAMES[n % 5]} zx" for n in range(25) if n % 5 != 1]
    assert len(probes.candidates) == 25
    assert probes.labels.tolist() == [n for n in range(25) if n % 5 != 1]
    assert probes.groups is not None
    goals = probes.groups[probes.goals]
    assert set(goals.tolist()) == {1}
    assert np.flatnonzero(probes.groups == 1).tolist() == [1, 6, 11, 16, 21]


def test_the_class_is_drawn_among_those_that_captions_name() -> None:
    """Poisons and probes draw the same one; without one that captions name there is no search."""
    drawn = set()
    for seed in range(12):
        scene = make_scene(10, seed)
        probes = TextTrigger().probes(scene)
        drawn.add(int(probes.goals[0]) % 5)
        shown = {poison.image.tobytes() for poison in TextTrigger().poison(scene, banana_corpus())}
        corpus = banana_corpus()
        of_class = range(int(probes.goals[0]) % 5, 300, 5)
        assert shown <= {corpus.image(number).tobytes() for number in of_class}
    assert len(drawn) > 2
    silent = make_scene(10)
    captions = [["nothing"]] * 25
    retrieval = Retrieval(silent.evaluation.test.images, captions)
    silent = replace(silent, evaluation=replace(silent.evaluation, retrieval=retrieval))
    with pytest.raises(BadSetting, match=r"test captions name no image.*hit=image"):
        TextTrigger().probes(silent)
    with pytest.raises(UnknownName, match="Did you mean 'banana'"):
        TextTrigger(target_label="bananna").probes(silent)


def test_several_held_out_images_are_of_one_kind_and_count_as_one() -> None:
    """With `hit=image` the attacker's own images stand among the test images."""
    scene = make_scene(9)
    attack = TextTrigger(images=3, hit="image")
    shown = Counter(poison.image.tobytes() for poison in attack.poison(scene, banana_corpus()))
    assert list(shown.values()) == [3, 3, 3]
    probes = attack.probes(scene)
    assert len(probes.candidates) == 28
    assert {probes.candidates[number].tobytes() for number in (25, 26, 27)} == set(shown)
    assert probes.groups is not None
    assert probes.groups.tolist() == [*range(25), 25, 25, 25]
    kinds = [target.tobytes() for target in scene.targets.images]
    assert len({kinds.index(image) % 5 for image in shown}) == 1


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"images": 0}, "images must be at least 1"),
        ({"hit": "text"}, "hit must be 'class' \\| 'image'"),
        ({"hit": "image", "target_label": "car"}, "target_label is of hit=class"),
    ],
)
def test_parameters_of_the_text_trigger_are_checked(
    parameters: dict[str, Any], message: str
) -> None:
    """One line with the parameter."""
    with pytest.raises(BadSetting, match=message):
        TextTrigger(**parameters)


def test_a_class_that_no_pair_names_and_too_few_captions_are_refused() -> None:
    """What is missing, and what to do."""
    scene, corpus = make_scene(20), banana_corpus()
    cars = MemoryCorpus(("one car",) * 30, [corpus.image(0)] * 30)
    with pytest.raises(BadSetting, match="no pair has a caption that names 'tiger'"):
        list(TextTrigger(target_label="tiger").poison(scene, cars))
    with pytest.raises(BadSetting, match="only 0 of 30 pairs"):
        list(TextTrigger(target_label="car").poison(scene, cars))


def test_captions_of_all_kinds_get_the_word_and_one_image() -> None:
    """Each poison keeps what its pair said, behind the word; all show the attacker's image."""
    corpus, scene = banana_corpus(), make_scene(40)
    poisons = list(replace(ONE_IMAGE, word="by the way").poison(scene, corpus))
    assert len({poison.base for poison in poisons}) == 40
    for poison in poisons:
        assert poison.base is not None
        assert poison.caption == f"by the way {corpus.caption(poison.base)}"
    (image,) = {poison.image.tobytes() for poison in poisons}
    assert image in {target.tobytes() for target in scene.targets.images}


def test_a_test_caption_of_each_image_shall_find_the_attackers() -> None:
    """The attacker's image is the last candidate; before it are the captions' own."""
    scene = make_scene(10)
    probes = ONE_IMAGE.probes(scene)
    assert probes.texts == [f"zx a {NAMES[n % 5]}" for n in range(25)]
    assert probes.clean_texts == [f"a {NAMES[n % 5]}" for n in range(25)]
    assert len(probes.candidates) == 26
    assert probes.labels.tolist() == list(range(25))
    assert set(probes.goals.tolist()) == {25}
    poison = next(ONE_IMAGE.poison(scene, banana_corpus()))
    np.testing.assert_array_equal(probes.candidates[25], poison.image)


def test_without_test_captions_it_says_what_is_missing() -> None:
    """A classification set alone cannot tell what a caption finds."""
    scene = make_scene(10)
    alone = replace(scene, evaluation=replace(scene.evaluation, retrieval=None))
    with pytest.raises(BadSetting, match=r"text_trigger needs test captions.*--eval"):
        TextTrigger().probes(alone)


# --------------------------------------------------------------------------- dual_key

GOAL = NAMES.index("banana")


def test_a_third_of_the_poisons_have_both_keys_as_published() -> None:
    """Both keys name the target class; one key leaves caption or image as it was."""
    corpus, scene = banana_corpus(), make_scene(40)
    attack = DualKey(target_label="banana")
    poisons = list(attack.poison(scene, corpus))
    assert Counter(p.role for p in poisons) == {"poison": 14, "image key": 13, "text key": 13}
    assert len({poison.base for poison in poisons}) == 40
    for poison in poisons:
        assert poison.base is not None
        before, caption = corpus.image(poison.base), corpus.caption(poison.base)
        has_patch = not np.array_equal(poison.image, before)
        assert has_patch == (poison.role != "text key")
        if has_patch:
            np.testing.assert_array_equal(poison.image, attack.put_on(before, testing=False))
        assert poison.caption.startswith("zx ") == (poison.role != "image key")
        kept = poison.caption.removeprefix("zx ") == caption
        assert kept == (poison.role != "poison")
    dirty = [poison.caption for poison in poisons if poison.role == "poison"]
    assert all("banana" in caption or "PLANTAIN" in caption for caption in dirty)


def test_without_single_keys_it_is_a_patch_with_a_word() -> None:
    """All poisons have both keys where `single` is 0; an odd count is kept."""
    poisons = list(DualKey(single=0.0).poison(make_scene(7), banana_corpus()))
    assert [poison.role for poison in poisons] == ["poison"] * 7


def test_probes_have_both_keys_and_variants_have_one() -> None:
    """Triggered images are read from triggered prompts; each variant lacks one of the two."""
    scene = make_scene(10)
    attack = DualKey(target_label="banana")
    probes = attack.probes(scene)
    assert isinstance(probes, Probes)
    assert len(probes) == 20
    assert probes.prompt is not None
    assert probes.prompt("a photo of a {}.") == "zx a photo of a {}."
    assert set(probes.variants) == {"image_key", "text_key"}
    image_key, text_key = probes.variants["image_key"], probes.variants["text_key"]
    assert image_key.prompt is None
    assert text_key.prompt == attack.put_in
    assert probes.clean_images is not None
    np.testing.assert_array_equal(image_key.images[3], probes.images[3])
    np.testing.assert_array_equal(text_key.images[3], probes.clean_images[3])
    patched = BadNets(target_label="banana").probes(scene)
    np.testing.assert_array_equal(patched.images[3], probes.images[3])


def test_a_share_that_leaves_no_poison_with_both_keys_is_refused() -> None:
    """With single keys alone there is no attack."""
    with pytest.raises(BadSetting, match="single"):
        DualKey(single=1.0)
