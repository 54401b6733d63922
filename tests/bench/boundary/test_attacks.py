"""What an attack can't do by mistake, and what it is told where it tries."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mistaken import corpus, line_of, pixels, scene, with_mistake

from clipbench.boundary import attacks
from clipbench.contracts import LabelledImages, Scene
from clipbench.errors import BrokenContract, PluginFault
from clipbench.images.lazy import LazyImages
from clipbench.plugins import registry
from clipbench.plugins.spec import SpecLike


def poisons_of(attack: Any) -> list[Any]:
    return list(attacks.poisons(attack, scene(), corpus()))


def triggered(attack: Any) -> Any:
    trigger = attacks.trigger(attack)
    assert trigger is not None
    return trigger(scene().evaluation.test.images[0])


@pytest.mark.parametrize("asked", ["probes", "poison", "trigger"])
def test_a_trigger_that_draws_in_place_is_told_the_line_and_changes_nothing(
    tmp_path: Path, asked: str
) -> None:
    """`stamped = image` for `image.copy()`: the likeliest mistake of a first attack."""
    attack = with_mistake("solid_patch", "stamped = image.copy()", "stamped = image", tmp_path)
    given = scene()
    before = pixels(given)
    ask: dict[str, Callable[[], object]] = {
        "probes": lambda: attacks.probes(attack, given),
        "poison": lambda: list(attacks.poisons(attack, given, corpus())),
        "trigger": lambda: triggered(attack),
    }
    with pytest.raises(BrokenContract) as told:
        ask[asked]()
    line = line_of(tmp_path, "stamped[-self.side")
    assert f"mine.py:{line}, {asked} of attack mine: ValueError" in str(told.value)
    assert "image.copy()" in str(told.value)
    assert pixels(given) == before


@dataclass(frozen=True)
class Forcing:
    """An attack that lifts the flag and draws on test images all the same."""

    mode: str = "replace"

    def num_targets(self, count: int) -> int:
        return min(count, 1)

    def poison(self, scene: Scene, corpus: Any) -> Iterator[Any]:  # noqa: ARG002
        self._draw(scene)
        yield from ()

    def probes(self, scene: Scene) -> Any:
        self._draw(scene)

    def trigger(self) -> None:
        return None

    def _draw(self, scene: Scene) -> None:
        image: Any = scene.evaluation.test.images[0]
        while image.base is not None:
            image = image.base
        image[...] = 0


@pytest.mark.parametrize("kind", ["array", "list", "decoded on access"])
def test_what_flags_do_not_hinder_hashes_find(kind: str) -> None:
    """Test images are hashed before and after, in whatever form they are handed out."""
    whole = scene()
    held: list[Any] = [image.copy() for image in whole.evaluation.test.images]
    sequences: dict[str, Any] = {
        "array": np.stack(held),
        "list": held,
        "decoded on access": LazyImages(range(len(held)), held.__getitem__),
    }
    task: Any = whole.evaluation.classification
    test = LabelledImages(sequences[kind], task.test.labels)
    evaluation = type(whole.evaluation)("forced", type(task)(task.classes, test))
    given = Scene(evaluation, whole.held_out, 3, 0)
    for ask in (attacks.probes, lambda *a: list(attacks.poisons(*a, corpus()))):
        held[0][...] = 77
        if kind == "array":
            sequences[kind][...] = 77
        with pytest.raises(BrokenContract, match="it changed the test images it was handed"):
            ask(Forcing(), given)


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ("yield Poison(caption", "yield Poison('   '", "has no visible character. Got '   '"),
        ("yield Poison(caption", "yield Poison(7", "the caption of poison 0 must be a text. Got 7"),
        ("base=base)", "base=base + 40)", "must be at least 0 and at most 39. Got"),
        ("base=base)", "base=base, target='a')", "target of poison 0 must be a whole number"),
        ("yield Poison(caption, self", "yield dict(c=caption, i=self", "Poison.* Got a dict"),
        ("return stamped\n", "return stamped / 255\n", r"\(H, W, 3\)\. Got float64 of shape \(32"),
        ("rng = scene.classes.names", "rng = scene.classes.nomes", "AttributeError: .* 'nomes'"),
    ],
)
def test_a_poison_that_is_none_is_told_where_it_is_made(
    tmp_path: Path, right: str, wrong: str, words: str
) -> None:
    """What was wanted and what came, with file and line, before anything is made of it."""
    attack = with_mistake("solid_patch", right, wrong, tmp_path)
    with pytest.raises(PluginFault, match=words) as told:
        poisons_of(attack)
    assert re.search(r"mine\.py:\d+, poison of attack mine: ", str(told.value))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("stamped[:16]", r"of uint8 of shape \(32, 32, 3\) it made uint8 of shape \(16, 32, 3\)"),
        ("stamped.astype(float)", r"it made float64 of shape \(32, 32, 3\)"),
        (
            "stamped ^ np.random.default_rng().integers(256, size=stamped.shape, dtype=np.uint8)",
            "two images of the same",
        ),
        ("None", "it made None"),
    ],
)
def test_a_trigger_is_a_pure_function_of_images_of_one_shape(
    tmp_path: Path, wrong: str, words: str
) -> None:
    """Of another shape or type, or drawn anew each time, it is no trigger."""
    attack = with_mistake("solid_patch", "return stamped\n", f"return {wrong}\n", tmp_path)
    with pytest.raises(BrokenContract, match=words):
        triggered(attack)


def test_poisons_that_are_drawn_anew_each_time_are_told(tmp_path: Path) -> None:
    """Unseeded random numbers give other poisons the second time."""
    seeded = 'scene.rng("solid_patch", "poison")'
    attack = with_mistake("solid_patch", seeded, "np.random.default_rng()", tmp_path)
    first = poisons_of(attack)
    with pytest.raises(BrokenContract, match=r"asked twice, .* draw random numbers from scene.rng"):
        attacks.check_repeats(attack, scene(), corpus(), first)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("None", "it must return Probes or TextProbes. Got None"),
        ("Probes(images, test.labels, test.labels[others])", r"labels must be an integer array of"),
        ("Probes(images, test.labels[others], [goal] * len(others))", "goals must be .* a list"),
        (
            "__import__('clipbench.contracts', fromlist=['contracts']).TextProbes(['a'], images,"
            " np.zeros(1, int), np.ones(1, int), groups=np.zeros(1, int))",
            "groups must be .* one for each candidate",
        ),
        (
            "Probes(images, test.labels[others], 0 * others + goal, parts={'a': 3})",
            r"parts must say of each trigger how many of the \d+ probes",
        ),
    ],
)
def test_probes_that_are_none_are_told(tmp_path: Path, wrong: str, words: str) -> None:
    """Labels and goals are integer arrays, one for each image."""
    right = "Probes(images, test.labels[others], goals, clean_images=clean)"
    attack = with_mistake("solid_patch", right, wrong, tmp_path)
    with pytest.raises(BrokenContract, match=words):
        attacks.probes(attack, scene())


def test_a_sound_attack_passes(tmp_path: Path) -> None:
    """The example as it is: poisons, probes that can't be written to, and a trigger."""
    attack = with_mistake("solid_patch", "Ge(1)] = 8", "Ge(1)] = 9", tmp_path)
    made = poisons_of(attack)
    attacks.check_repeats(attack, scene(), corpus(), made)
    probes = attacks.probes(attack, scene())
    assert len(made) == attacks.num_targets(attack, 3) + 2
    assert not probes.goals.flags.writeable
    assert triggered(attack).shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("attack", "shapes"),
    [
        ("badnets:at_size=16", {(16, 16, 3)}),
        ({"name": "adaptive", "base": "badnets:at_size=16"}, {(16, 16, 3)}),
        (
            {"name": "multi_trigger", "triggers": ["badnets:at_size=16", "blended"]},
            {(16, 16, 3), (32, 40, 3)},
        ),
    ],
)
def test_a_trigger_of_a_size_of_its_own_makes_squares_of_it(
    attack: SpecLike, shapes: set[tuple[int, ...]]
) -> None:
    """An attack with `at_size` fits an image first; so does one that is made of such attacks."""
    trigger = attacks.trigger(registry.build("attack", attack))
    assert trigger is not None
    images = (np.full((32, 40, 3), value, np.uint8) for value in range(16))
    assert {trigger(image).shape for image in images} == shapes
