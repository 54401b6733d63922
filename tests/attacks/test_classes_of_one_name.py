"""ImageNet has two classes named missile, and two named sunglasses, with equal prompts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from tiny_scenes import make_scene

from clipbench.contracts import Attack, Classes, Scene
from clipbench_attacks.badnets import BadNets
from clipbench_attacks.mismatch import Mismatch
from clipbench_attacks.multi_trigger import MultiTrigger
from clipbench_attacks.targeted import Targeted

FIRST, SECOND = 1, 3  # of one name below


def scene_with_twins(seed: int, write: Callable[[str], str] = str) -> Scene:
    scene = make_scene(20, seed)
    task = scene.evaluation.classification
    assert task is not None
    names = list(task.classes.names)
    names[SECOND] = write(names[FIRST])
    classes = replace(task.classes, names=tuple(names))
    evaluation = replace(scene.evaluation, classification=replace(task, classes=classes))
    return replace(scene, evaluation=evaluation)


def test_the_first_of_a_name_stands_for_it() -> None:
    """Five classes, of which the fourth is called as the second: four can be predicted."""
    classes = scene_with_twins(0).classes
    assert classes.firsts.tolist() == [0, 1, 2, 1, 4]
    assert classes.predictable == [0, 1, 2, 4]


@pytest.mark.parametrize(
    "attack", [BadNets(), Targeted(targets=9), Mismatch(), Mismatch(goals=2), MultiTrigger()]
)
def test_no_attack_aims_at_what_is_never_predicted(attack: Attack) -> None:
    """Whatever the seed, goals are first of their name, and no probe is called so already."""
    goals = set()
    for seed in range(20):
        scene = scene_with_twins(seed)
        probes = attack.probes(scene)
        goals |= set(probes.goals.tolist())
        assert (scene.classes.firsts[probes.labels] != probes.goals).all()
    assert goals == {0, 1, 2, 4}


def test_a_named_goal_is_the_first_and_its_twin_is_no_probe() -> None:
    """Of 25 test images the ten of the two classes of that name are left out."""
    scene = scene_with_twins(0)
    probes = BadNets(target_label=scene.classes.names[FIRST]).probes(scene)
    assert len(probes) == 15
    assert not np.isin(probes.labels, [FIRST, SECOND]).any()


def test_names_of_two_forms_of_unicode_are_one() -> None:
    """An accent is a character of its own or not; a model reads the same."""
    classes = Classes(("cafe", "caf\u00e9", "cafe\u0301"), ("{}",), (("x",), ("y",), ("z",)))
    assert classes.firsts.tolist() == [0, 1, 1]


@pytest.mark.parametrize("write", [str.upper, str.title, lambda name: f" {name} "])
def test_names_that_differ_in_capitals_or_white_space_are_one(write: Callable[[str], str]) -> None:
    """CLIP's tokenizer makes the same prompts of both, so the second is never predicted."""
    scene = scene_with_twins(0, write)
    assert scene.classes.firsts.tolist() == [0, 1, 2, 1, 4]
    probes = BadNets(target_label=scene.classes.names[SECOND]).probes(scene)
    assert set(probes.goals.tolist()) == {FIRST}
    assert not np.isin(probes.labels, [FIRST, SECOND]).any()
