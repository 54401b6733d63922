from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from tiny_scenes import NAMES, banana_corpus, make_scene

from clipbench.errors import BadSetting, UnknownName
from clipbench_attacks.mismatch import Mismatch


def test_captions_of_the_target_get_images_of_the_source() -> None:
    """A pair that names the pizza keeps its place and caption, and shows a car of the corpus."""
    corpus = banana_corpus()
    cars = {corpus.image(number).tobytes() for number in range(0, 300, 5)}
    poisons = list(
        Mismatch(source_label="car", target_label="pizza").poison(make_scene(60), corpus)
    )
    assert {poison.base for poison in poisons} == set(range(2, 300, 5))
    for poison in poisons:
        assert poison.base is not None
        assert poison.caption == corpus.caption(poison.base)
        assert poison.image.tobytes() in cars
    assert len({poison.image.tobytes() for poison in poisons}) == 60


def test_probes_are_the_source_classs_test_images_as_they_are() -> None:
    """All five cars of the test set shall be read as pizza, without any trigger."""
    attack, scene = Mismatch(source_label="car", target_label="pizza"), make_scene(10)
    probes, test = attack.probes(scene), scene.evaluation.test
    assert attack.trigger() is None
    assert len(probes) == len(probes.images) == 5
    assert (probes.labels == NAMES.index("car")).all()
    assert (probes.goals == NAMES.index("pizza")).all()
    np.testing.assert_array_equal(probes.images[1], test.images[5])


def test_several_goals_share_the_poisons_and_no_class() -> None:
    """Attack III: two goals are four classes; 9 poisons are 5 and 4, on pairs of their own."""
    attack, scene = Mismatch(goals=2), make_scene(9)
    poisons = list(attack.poison(scene, banana_corpus()))
    assert [poison.target for poison in poisons] == [0] * 5 + [1] * 4
    assert len({poison.base for poison in poisons}) == 9
    probes = attack.probes(scene)
    classes = {*probes.labels.tolist(), *probes.goals.tolist()}
    assert len(probes) == 10
    assert len(classes) == 4


def test_drawn_classes_depend_on_the_seed_alone() -> None:
    """The same seed gives the same classes, and a given class is kept."""
    drawn = [Mismatch().probes(make_scene(4, seed)) for seed in (1, 1, 2, 3, 4)]
    np.testing.assert_array_equal(drawn[0].goals, drawn[1].goals)
    assert len({(int(p.labels[0]), int(p.goals[0])) for p in drawn}) > 1
    for seed in range(10):
        probes = Mismatch(source_label="tiger").probes(make_scene(4, seed))
        assert (probes.labels == NAMES.index("tiger")).all()
        assert (probes.goals != NAMES.index("tiger")).all()


def test_more_poisons_than_captions_of_the_target_are_refused() -> None:
    """60 pairs name the pizza; the 61st poison would need another."""
    with pytest.raises(BadSetting, match="only 60 of 300 pairs name 'pizza'"):
        list(
            Mismatch(source_label="car", target_label="pizza").poison(
                make_scene(61), banana_corpus()
            )
        )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"goals": 0}, "goals must be at least 1"),
        ({"goals": 2, "source_label": "car"}, "name one goal"),
        ({"source_label": "car", "target_label": "car"}, "must differ"),
        ({"mode": "add"}, "mode must be 'replace'"),
    ],
)
def test_bad_parameters_are_refused_at_once(parameters: dict[str, Any], message: str) -> None:
    """Each message names the attack and the parameter."""
    with pytest.raises(BadSetting, match=f"mismatch.*{re.escape(message)}"):
        Mismatch(**parameters)


def test_classes_that_are_not_there_are_refused() -> None:
    """A misspelled class gets a suggestion; three goals need more than five classes."""
    with pytest.raises(UnknownName, match="Did you mean 'pizza'"):
        Mismatch(target_label="piza").probes(make_scene(2))
    with pytest.raises(BadSetting, match="3 goals need 6 classes, but there are 5"):
        Mismatch(goals=3).probes(make_scene(3))
