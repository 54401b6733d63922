"""What every registered attack owes the bench (contracts.Attack), built-in or not."""

import dataclasses
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from clipbench.configuration.resolution import resolve
from clipbench.contracts import Attack, Crafted, Image, Poison, Probes, Scene, TextProbes
from clipbench.plugins import registry
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
    """The attack as a run on these data has it."""
    count = None if name == "none" else COUNT
    spec = resolve(data="shapes:size=400", attack=name, poisons=count).attack
    built: Attack = registry.build("attack", spec)
    return built


@lru_cache
def ready(name: str) -> Attack:
    """The attack as it is when it has learned what it learns from the corpus."""
    attack = attack_of(name)
    if isinstance(attack, Crafted):
        return attack.crafted(Scene(DATA.evaluation(), DATA.targets, COUNT, seed=3), DrawnCorpus())
    return attack


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
    attack = ready(name)
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
    first, second = (list(ready(name).poison(empty, corpus)) for _ in range(2))
    assert content(first) == content(second)
    one, two = (ready(name).probes(empty) for _ in range(2))
    np.testing.assert_array_equal(one.goals, two.goals)
    if isinstance(one, TextProbes) and isinstance(two, TextProbes):
        assert one.texts == two.texts
        shown, again = one.candidates, two.candidates
    elif isinstance(one, Probes) and isinstance(two, Probes):
        shown, again = one.images, two.images
    else:
        pytest.fail("probes of two kinds")
    assert all(np.array_equal(shown[i], again[i]) for i in range(len(shown)))
    assert [corpus.image(index).tobytes() for index in range(len(corpus))] == before


@pytest.mark.parametrize("name", POISONING)
def test_probes_want_another_class_than_the_true_one(name: str, scene: Scene) -> None:
    """Every goal is a class or a candidate image, and never the probe's own."""
    probes = ready(name).probes(scene)
    assert len(probes) > 0
    if isinstance(probes, TextProbes):
        queries, choices = len(probes.texts), len(probes.candidates)
    else:
        queries, choices = len(probes.images), len(scene.classes)
    assert queries == len(probes.labels) == len(probes.goals)
    assert probes.goals.min() >= 0
    assert probes.goals.max() < choices
    assert (probes.goals != probes.labels).all()


@pytest.mark.parametrize("name", POISONING)
def test_a_trigger_is_pure_and_changes_the_image(name: str, scene: Scene) -> None:
    """It leaves its input as it was, gives the same twice, and keeps shape and type."""
    trigger = ready(name).trigger()
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
