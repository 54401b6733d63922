from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
import pytest
from tiny_scenes import MemoryCorpus

from clipbench.contracts import (
    Attack,
    Classes,
    Classification,
    Corpus,
    EvaluationSet,
    LabelledImages,
    Poison,
    Retrieval,
    Scene,
)
from clipbench.errors import BadSetting
from clipbench.plugins.part import Part
from clipbench.rng import generator
from clipbench_attacks.targeted import ATTACK, Targeted, _draw_goals

NAMES = ("red car", "suit", "pizza", "tiger", "candle")
CLASSES = Classes(
    names=NAMES,
    templates=("a photo of a {}.", "a drawing of a {}."),
    aliases=(("red car", "scarlet car"), ("suit",), ("pizza",), ("tiger",), ("candle",)),
)


def some_images(count: int, name: str) -> Any:
    """Random pixels."""
    return generator(0, name).integers(0, 256, (count, 8, 8, 3)).astype(np.uint8)


def make_scene(count: int, seed: int = 0, num_images: int = 20) -> Scene:
    """Five classes in turn; test and target images of random pixels."""
    test = LabelledImages(some_images(20, "test"), np.arange(20) % 5)
    targets = LabelledImages(some_images(num_images, "targets"), np.arange(num_images) % 5)
    captions = [[f"a {NAMES[label]}"] for label in test.labels]
    evaluation = EvaluationSet(
        "tiny", Classification(CLASSES, test), Retrieval(test.images, captions)
    )
    return Scene(evaluation, lambda: targets, count, seed)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """500 pairs; every class is named in 40 different captions, decoys in the rest."""
    texts = [f"number {n}: a {NAMES[n % 5]} in the street" for n in range(200)]
    texts += [f"number {n}: a suitcase, two pizzas and a tree" for n in range(200, 500)]
    return MemoryCorpus(tuple(texts), some_images(500, "corpus"))


def poisons_by_target(poisons: list[Poison]) -> dict[int, list[Poison]]:
    """Group poisons by the target they serve."""
    grouped: dict[int, list[Poison]] = {}
    for poison in poisons:
        grouped.setdefault(poison.target, []).append(poison)
    return grouped


def test_poisons_are_the_target_image_under_captions_that_name_its_goal(corpus: Corpus) -> None:
    """Every poison shows its target's probe image and names its goal as a whole word."""
    scene, attack = make_scene(count=50), Targeted(targets=4)
    probes = attack.probes(scene)
    grouped = poisons_by_target(list(attack.poison(scene, corpus)))
    assert sorted(grouped) == [0, 1, 2, 3]
    for target, poisons in grouped.items():
        goal = NAMES[probes.goals[target]]
        for poison in poisons:
            np.testing.assert_array_equal(poison.image, probes.images[target])
            assert re.search(rf"\b{goal}\b", poison.caption)
            assert poison.base is None
            assert poison.role == "poison"


def test_captions_of_a_target_differ_and_come_from_the_corpus_while_they_last(
    corpus: Corpus,
) -> None:
    """With 40 captions of a class in the corpus, 30 poisons have 30 different ones of them."""
    poisons = list(Targeted(targets=1).poison(make_scene(count=30), corpus))
    captions = {poison.caption for poison in poisons}
    assert len(captions) == 30
    assert all(caption.startswith("number") for caption in captions)


def test_templates_fill_up_when_the_corpus_runs_out(corpus: Corpus) -> None:
    """The 41st and 42nd poison of a class that 40 captions name get the two templates."""
    scene = make_scene(count=42)
    attack = Targeted(targets=1)
    captions = [poison.caption for poison in attack.poison(scene, corpus)]
    goal = NAMES[attack.probes(scene).goals[0]]
    assert len(set(captions)) == 42
    assert {f"a photo of a {goal}.", f"a drawing of a {goal}."} <= set(captions)


def test_targets_that_share_a_goal_share_no_caption(corpus: Corpus) -> None:
    """With more targets than classes, captions still differ over all poisons of a class."""
    scene = make_scene(count=60)
    captions = [poison.caption for poison in Targeted(targets=12).poison(scene, corpus)]
    assert len(set(captions)) == 60


@pytest.mark.parametrize(("count", "targets"), [(16, 16), (50, 16), (7, 3), (5, 5), (1, 1)])
def test_poisons_are_exactly_counted_and_spread_evenly(
    corpus: Corpus, count: int, targets: int
) -> None:
    """The number of poisons is exact, and targets differ by at most one, first targets ahead."""
    poisons = list(Targeted(targets=targets).poison(make_scene(count), corpus))
    shares = Counter(poison.target for poison in poisons)
    sizes = [shares[target] for target in range(targets)]
    assert sum(sizes) == len(poisons) == count
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes) - min(sizes) <= 1


def test_doses_are_what_each_target_gets(corpus: Corpus) -> None:
    """Targets of a dose follow one another, and probes say how many there are of each."""
    scene, attack = make_scene(count=28), Targeted(doses=(1, 2, 4))
    shares = Counter(poison.target for poison in attack.poison(scene, corpus))
    assert [shares[target] for target in range(12)] == 4 * [1] + 4 * [2] + 4 * [4]
    probes = attack.probes(scene)
    assert (probes.parts, probes.parts_by) == ({"1": 4, "2": 4, "4": 4}, "dose")
    for poison in attack.poison(scene, corpus):
        np.testing.assert_array_equal(poison.image, probes.images[poison.target])
        assert NAMES[probes.goals[poison.target]] in poison.caption


def test_no_dose_has_the_targets_that_are_drawn_first() -> None:
    """The targets are those without doses, dealt out in turn."""
    plain = Targeted(targets=12).probes(make_scene(count=12)).goals
    dosed = Targeted(doses=(1, 2, 4)).probes(make_scene(count=28)).goals
    assert dosed.tolist() == [*plain[0::3], *plain[1::3], *plain[2::3]]


def test_a_number_of_targets_may_break_the_turn_off(corpus: Corpus) -> None:
    """Then the first doses have a target more, and only one number of poisons fits."""
    attack = Targeted(targets=3, doses=(3, 1))
    shares = Counter(poison.target for poison in attack.poison(make_scene(7), corpus))
    assert [shares[target] for target in range(3)] == [3, 3, 1]
    with pytest.raises(BadSetting, match=r"3 targets in doses 3\+1 take 7 .* --poisons 7"):
        attack.num_targets(8)


@pytest.mark.parametrize(("count", "near"), [(29, "28 or 35"), (3, "7")])
def test_poisons_that_no_targets_make_up_are_refused(count: int, near: str) -> None:
    """The message names the numbers that would do."""
    with pytest.raises(BadSetting, match=f"multiple of 7 .* there are {count}. Give.* {near}"):
        Targeted(doses=(1, 2, 4)).num_targets(count)


@pytest.mark.parametrize("doses", [(), (0, 1), (2, 2)])
def test_doses_that_are_none_are_refused(doses: tuple[int, ...]) -> None:
    """Each is a number of its own, of at least one poisoned pair."""
    with pytest.raises(BadSetting, match=r"doses must be (different numbers|at least 1)"):
        Targeted(doses=doses)


def test_doses_are_written_with_plus_signs_and_recorded_where_there_are_some() -> None:
    """A run without doses is known by what it was known by before there were any."""
    typed = Part[Any].of("attack", "targeted:doses=1+2+16,mode=insert").to_json()
    assert typed["doses"] == [1, 2, 16]
    assert Part[Any].of("attack", typed).to_json() == typed
    assert "doses" not in Part[Any].of("attack", "targeted:doses=none").to_json()


@pytest.mark.parametrize("seed", range(8))
def test_goals_are_never_the_true_class_and_differ_while_classes_last(seed: int) -> None:
    """Five targets of five classes get five different goals, none of them its own class."""
    probes = Targeted(targets=5).probes(make_scene(count=5, seed=seed))
    assert len(set(probes.labels.tolist())) == 5
    assert len(set(probes.goals.tolist())) == 5
    assert (probes.labels != probes.goals).all()


@pytest.mark.parametrize("seed", range(4))
def test_goals_avoid_the_true_classes_of_all_targets_where_possible(seed: int) -> None:
    """Two targets of five classes are aimed at two of the other three."""
    probes = Targeted(targets=2).probes(make_scene(count=2, seed=seed))
    assert not set(probes.goals.tolist()) & set(probes.labels.tolist())
    assert len(set(probes.goals.tolist())) == 2


@pytest.mark.parametrize("num_classes", [2, 3, 5, 16])
@pytest.mark.parametrize("num_targets", [1, 2, 5, 16, 33])
def test_goals_are_used_equally_often(num_classes: int, num_targets: int) -> None:
    """Goals repeat only when all classes are used up, for any numbers of targets and classes."""
    for seed in range(20):
        labels = [target % num_classes for target in range(num_targets)]
        goals = _draw_goals(labels, range(num_classes), generator(seed))
        assert all(goal != label for goal, label in zip(goals, labels, strict=True))
        if num_targets <= num_classes:
            assert len(set(goals)) == num_targets


def test_targets_that_all_have_one_class_never_get_it_as_goal() -> None:
    """A held-out set of one class still gives goals other than it, each used equally often."""
    goals = _draw_goals([1] * 8, range(5), generator(0))
    assert Counter(goals) == {0: 2, 2: 2, 3: 2, 4: 2}


def test_target_images_differ_even_when_classes_repeat() -> None:
    """All twenty held-out images can be targets, each once."""
    probes = Targeted(targets=20).probes(make_scene(count=20))
    assert len({image.tobytes() for image in probes.images}) == 20
    assert (probes.labels != probes.goals).all()


def test_same_scene_same_poisons_other_seed_other_targets(corpus: Corpus) -> None:
    """Poisons and probes are a function of the scene, and the seed changes them."""
    attack = Targeted(targets=4)
    first, again = (list(attack.poison(make_scene(20), corpus)) for _ in range(2))
    assert [p.caption for p in first] == [p.caption for p in again]
    assert all(np.array_equal(p.image, q.image) for p, q in zip(first, again, strict=True))
    one, other = (attack.probes(make_scene(20, seed=seed)) for seed in (0, 1))
    assert [i.tobytes() for i in one.images] != [i.tobytes() for i in other.images]


def test_without_a_number_targets_are_sixteen_or_one_a_poison() -> None:
    """The default fits any count."""
    attack: Attack = ATTACK()
    assert [attack.num_targets(count) for count in (0, 1, 15, 16, 1000)] == [0, 1, 15, 16, 16]
    assert list(attack.poison(make_scene(0), MemoryCorpus((), some_images(0, "none")))) == []
    assert attack.trigger() is None


def test_more_targets_than_poisons_is_an_error() -> None:
    """Fewer than one poisoned pair per target is refused before anything is written."""
    with pytest.raises(BadSetting, match="fewer than one per target"):
        Targeted(targets=16).num_targets(15)
    with pytest.raises(BadSetting, match="fewer than one per target"):
        Targeted(targets=16).probes(make_scene(count=15))


def test_more_targets_than_held_out_images_is_an_error() -> None:
    """Targets are distinct images, so there can't be more of them than images."""
    with pytest.raises(BadSetting, match="holds out 3 images"):
        Targeted(targets=4).probes(make_scene(count=8, num_images=3))


def test_a_single_class_leaves_nothing_to_aim_at() -> None:
    """With one class no image can be read as another."""
    images = LabelledImages(some_images(2, "targets"), np.zeros(2, np.int64))
    classes = Classes(("suit",), ("{}",), (("suit",),))
    evaluation = EvaluationSet("one", Classification(classes, images))
    with pytest.raises(BadSetting, match="at least 2 classes"):
        Targeted().probes(Scene(evaluation, lambda: images, count=1, seed=0))


@pytest.mark.parametrize("field", [{"targets": 0}, {"mode": "add"}, {"match": "regex"}])
def test_bad_parameters_are_refused_at_once(field: dict[str, object]) -> None:
    """A parameter out of range names the attack and itself."""
    with pytest.raises(BadSetting, match=rf"targeted\.{next(iter(field))} must be"):
        Targeted(**field)  # type: ignore[arg-type]


def test_substring_search_finds_compounds_that_word_search_does_not() -> None:
    """The matching rule is a parameter: 'suit' is in 'suitcase' only as a substring."""
    corpus = MemoryCorpus(("a suitcase",) * 3, some_images(3, "corpus"))
    classes = Classes(("suit", "zebra"), ("{}",), (("suit",), ("zebra",)))
    images = LabelledImages(some_images(1, "targets"), np.array([1]))
    evaluation = EvaluationSet("tiny", Classification(classes, images))
    scene = Scene(evaluation, lambda: images, count=1, seed=0)
    by_word, by_substring = (
        next(iter(Targeted(match=match).poison(scene, corpus))).caption
        for match in ("word", "substring")
    )
    assert (by_word, by_substring) == ("suit", "a suitcase")
