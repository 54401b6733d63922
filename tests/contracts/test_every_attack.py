"""What every registered attack owes the bench (contracts.Attack), built-in or not."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from clipbench import registry
from clipbench.contracts import Attack, Image, Poison, Scene
from clipbench_datasets.shapes import Shapes

COUNT = 6
DATA = Shapes(size=400, test_size=100, targets_size=100)
NAMES = registry.names("attack")
POISONING = [name for name in NAMES if name != "none"]


class DrawnCorpus:
    """The training pairs of a small data set, in memory."""

    def __init__(self) -> None:
        images, _, self._captions = DATA.arrays("train", 0, 400)
        self._images = images

    def __len__(self) -> int:
        return len(self._captions)

    def caption(self, index: int) -> str:
        """Return a caption."""
        return self._captions[index]

    def captions(self, indices: Sequence[int]) -> list[str]:
        """Return captions."""
        return [self._captions[index] for index in indices]

    def image(self, index: int) -> Image:
        """Return an image."""
        return self._images[index]


@pytest.fixture(scope="module")
def corpus() -> DrawnCorpus:
    """Return the clean pairs."""
    return DrawnCorpus()


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Return what the attacker knows."""
    return Scene(DATA.evaluation(), DATA.targets, COUNT, seed=3)


def attack_of(name: str) -> Attack:
    built: Attack = registry.build("attack", name)
    return built


def content(poisons: list[Poison]) -> list[tuple[Any, ...]]:
    return [(p.caption, p.image.tobytes(), p.base, p.target, p.role) for p in poisons]


@pytest.mark.parametrize("name", NAMES)
def test_an_attack_is_its_parameters(name: str) -> None:
    """It is a frozen dataclass that can be made again from what the record says of it."""
    attack: Any = attack_of(name)
    assert type(attack).__dataclass_params__.frozen
    assert type(attack)(**dataclasses.asdict(attack)) == attack
    assert registry.build("attack", {"name": name, **registry.spec_of(attack)}) == attack


@pytest.mark.parametrize("name", POISONING)
def test_an_attack_makes_exactly_the_poisons_asked_for(
    name: str, scene: Scene, corpus: DrawnCorpus
) -> None:
    """As many as the count, with sound captions and images, spread over all its targets."""
    attack = attack_of(name)
    poisons = list(attack.poison(scene, corpus))
    assert len(poisons) == COUNT
    assert {poison.target for poison in poisons} == set(range(attack.num_targets(COUNT)))
    for poison in poisons:
        assert poison.caption.strip()
        assert poison.image.shape == (32, 32, 3)
        assert poison.image.dtype == np.uint8


@pytest.mark.parametrize("name", NAMES)
def test_an_attack_is_a_function_of_its_scene(name: str, scene: Scene, corpus: DrawnCorpus) -> None:
    """The same scene gives the same poisons and probes, and the corpus is left as it was."""
    before = [corpus.image(index).tobytes() for index in range(len(corpus))]
    empty = dataclasses.replace(scene, count=0) if name == "none" else scene
    first, second = (list(attack_of(name).poison(empty, corpus)) for _ in range(2))
    assert content(first) == content(second)
    one, two = (attack_of(name).probes(empty) for _ in range(2))
    np.testing.assert_array_equal(one.goals, two.goals)
    assert all(np.array_equal(one.images[i], two.images[i]) for i in range(len(one)))
    assert [corpus.image(index).tobytes() for index in range(len(corpus))] == before


@pytest.mark.parametrize("name", POISONING)
def test_probes_want_another_class_than_the_true_one(name: str, scene: Scene) -> None:
    """Every goal is a class, and never the image's own."""
    probes = attack_of(name).probes(scene)
    assert len(probes) > 0
    assert len(probes.images) == len(probes.labels) == len(probes.goals)
    assert probes.goals.min() >= 0
    assert probes.goals.max() < len(scene.classes)
    assert (probes.goals != probes.labels).all()


@pytest.mark.parametrize("name", POISONING)
def test_a_trigger_is_pure_and_changes_the_image(name: str, scene: Scene) -> None:
    """It leaves its input as it was, gives the same twice, and keeps shape and type."""
    trigger = attack_of(name).trigger()
    if trigger is None:
        return
    image = scene.evaluation.test.images[0]
    before = image.tobytes()
    once = trigger(image)
    np.testing.assert_array_equal(once, trigger(image))
    assert image.tobytes() == before
    assert once.shape == image.shape
    assert once.dtype == np.uint8
    assert not np.array_equal(once, image)
