"""The linear probe: what it learns from, what it says, and what it refuses."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from clipbench.contracts import (
    Classes,
    Classification,
    EvaluationSet,
    Image,
    LabelledImages,
    Probes,
)
from clipbench.errors import BadSetting
from clipbench.evaluation.encoder import Encoder, SetAndFeatures
from clipbench.evaluation.metrics.linear_probe import LinearProbe
from clipbench.images.lazy import LazyImages
from clipbench.models.openclip import create_model
from clipbench.plugins import registry
from clipbench.rng import generator

NAMES = ("red", "green", "blue")
COLORS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]])
CLASSES = Classes(NAMES, ("{}",), tuple((name,) for name in NAMES))
SHARP = 40  # noise at which every image shows its color
HARD = 230  # noise at which some do not


def colored(labels: Any, noise: int, seed: int = 0) -> Any:
    """Images of one color a class; the color as a whole is off by noise, pixels by a little."""
    rng = generator(seed, "noise")
    whole = rng.integers(-noise, noise + 1, (len(labels), 1, 1, 3))
    single = rng.integers(-20, 21, (len(labels), 32, 32, 3))
    colors = COLORS[labels][:, None, None, :]
    return np.clip(colors + whole + single, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def model() -> tuple[nn.Module, Any]:
    """A model whose features are random functions of the image, which tell colors apart."""
    return create_model("shapes-32", 0)


def measured(
    model: tuple[nn.Module, Any],
    *,
    train: LabelledImages | None,
    test_noise: int = SHARP,
    probes: Probes | None = None,
    classes: Classes = CLASSES,
) -> SetAndFeatures:
    """Return what a metric is given: 30 test images, and the training images."""
    labels = np.arange(30) % len(classes)
    test = LabelledImages(colored(labels, test_noise, seed=1), labels)
    return SetAndFeatures(
        EvaluationSet("colors", Classification(classes, test, train)),
        probes,
        0,
        Encoder(*model),
    )


def training(count: int = 36, noise: int = SHARP, classes: int = 3) -> LabelledImages:
    """Return labelled training images."""
    labels = np.arange(count) % classes
    return LabelledImages(colored(labels, noise), labels)


def test_colors_can_be_told_apart(model: tuple[nn.Module, Any]) -> None:
    """On features that separate the classes the probe is right on every test image."""
    found = LinearProbe().measure(measured(model, train=training()))
    top1: Any = found["linear_probe_top1"]
    assert (top1.k, top1.n) == (30, 30)
    assert found["linear_probe_images"] == 36
    assert "linear_probe_attack_success" not in found


@pytest.mark.filterwarnings(
    "ignore:of .* are among the training"
)  # of full color, which are all alike
def test_the_probe_is_scikit_learns_at_the_strength_that_is_named(
    model: tuple[nn.Module, Any],
) -> None:
    """Fitted to all training images at the C of the result, scikit-learn gets the same accuracy."""
    given = measured(model, train=training(60, HARD), test_noise=HARD)
    found: Any = LinearProbe().measure(given)
    task = given.evaluation.classification
    assert task is not None
    assert task.train is not None
    fit = LogisticRegression(C=found["linear_probe_c"], max_iter=1000)
    fit.fit(given.image_features(task.train.images).numpy().astype(float), task.train.labels)
    read = fit.predict(given.image_features(task.test.images).numpy().astype(float))
    assert found["linear_probe_top1"].k == int((read == task.test.labels).sum())
    assert 10 < found["linear_probe_top1"].k < 30  # neither chance nor everything
    assert 1e-6 <= found["linear_probe_c"] <= 1e6


@pytest.mark.filterwarnings(
    "ignore:of .* are among the training"
)  # of full color, which are all alike
def test_it_learns_from_training_images_alone(model: tuple[nn.Module, Any]) -> None:
    """Other test images change neither the strength chosen nor how other images are read."""
    goals = np.arange(24) % 3
    probes = Probes(colored(goals, HARD, seed=2), (goals + 1) % 3, goals)
    runs: list[Any] = [
        LinearProbe().measure(
            measured(model, train=training(60, HARD), test_noise=noise, probes=probes)
        )
        for noise in (SHARP, HARD)
    ]
    assert runs[0]["linear_probe_top1"] != runs[1]["linear_probe_top1"]
    for name in ("linear_probe_c", "linear_probe_attack_success", "linear_probe_poisoned_accuracy"):
        assert runs[0][name] == runs[1][name]


def test_attack_success_is_read_through_the_probe(model: tuple[nn.Module, Any]) -> None:
    """Images of the goal's color are successes, all of them over all probes."""
    goals = np.arange(9) % 3
    probes = Probes(colored(goals, SHARP, seed=3), (goals + 1) % 3, goals)
    found: Any = LinearProbe().measure(measured(model, train=training(), probes=probes))
    assert (found["linear_probe_attack_success"].k, found["linear_probe_attack_success"].n) == (
        9,
        9,
    )
    assert found["linear_probe_poisoned_accuracy"].k == 0


def test_test_images_that_are_learned_from_are_counted(model: tuple[nn.Module, Any]) -> None:
    """Splits that overlap made an accuracy of what was learned by heart, without a word."""
    own = training()
    tests = measured(model, train=None).evaluation.test
    for copies in (0, 1, 4):
        train = LabelledImages(
            np.concatenate([own.images, tests.images[:copies]]),
            np.concatenate([own.labels, tests.labels[:copies]]),
        )
        told = f"of 30 test images of colors {copies} are among the training images"
        with pytest.warns(UserWarning, match=told) if copies else nullcontext():
            found = LinearProbe().measure(measured(model, train=train))
        assert found["linear_probe_copies"] == copies


def test_images_of_the_attack_that_are_learned_from_are_counted(
    model: tuple[nn.Module, Any],
) -> None:
    """A target that the probe has learned as what it is resists any attack."""
    own = training()
    probes = Probes(own.images[:5], own.labels[:5], (own.labels[:5] + 1) % 3)
    with pytest.warns(UserWarning, match="of 5 images of the attack 5 are .* success is too low"):
        found = LinearProbe().measure(measured(model, train=own, probes=probes))
    assert (found["linear_probe_attack_copies"], found["linear_probe_copies"]) == (5, 0)


def test_images_that_only_look_alike_to_a_model_are_no_copies() -> None:
    """One whose features are all the same says nothing of images; their pixels do."""
    net, tokenizer = create_model("shapes-32", 0)
    last = [module for module in net.visual.modules() if isinstance(module, nn.BatchNorm2d)][-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(1)
    given = measured((net, tokenizer), train=training())
    assert given.image_features(given.evaluation.test.images).unique(dim=0).shape[0] == 1
    assert LinearProbe().measure(given)["linear_probe_copies"] == 0


def test_shots_take_so_many_images_of_each_class(model: tuple[nn.Module, Any]) -> None:
    """Only the images that are learned from are looked at, the same ones every time."""
    whole = training(90)
    seen: list[int] = []

    def look(number: int) -> Image:
        seen.append(number)
        return whole.images[number]

    lazy = LabelledImages(LazyImages(range(90), look), whole.labels)
    runs = []
    for _ in range(2):
        seen.clear()
        found = LinearProbe(shots=4).measure(measured(model, train=lazy))
        runs.append((sorted({*seen}), found))
    assert runs[0] == runs[1]
    assert np.bincount(whole.labels[runs[0][0]]).tolist() == [4, 4, 4]
    assert runs[0][1]["linear_probe_images"] == 12


def test_two_classes_are_enough(model: tuple[nn.Module, Any]) -> None:
    """Two classes, of which scikit-learn gives one score, are read as any other number is."""
    two = Classes(NAMES[:2], ("{}",), CLASSES.aliases[:2])
    found: Any = LinearProbe().measure(measured(model, train=training(20, classes=2), classes=two))
    assert (found["linear_probe_top1"].k, found["linear_probe_top1"].n) == (30, 30)


def test_without_training_images_nothing_is_measured(model: tuple[nn.Module, Any]) -> None:
    """There is no number where nothing can be learned from."""
    assert LinearProbe().measure(measured(model, train=None)) == {}


def test_a_class_without_training_images_is_refused(model: tuple[nn.Module, Any]) -> None:
    """A class the probe cannot answer would be counted as wrong; the set and the class say so."""
    few = training(20, classes=2)
    with pytest.raises(BadSetting, match="the fewest of 3 classes of colors are 0"):
        LinearProbe().measure(measured(model, train=few))


@pytest.mark.parametrize("parameter", ["shots=1", "validation=1", "validation=0", "iterations=0"])
def test_parameters_out_of_range_are_refused(parameter: str) -> None:
    """Each by name."""
    with pytest.raises(BadSetting, match=rf"linear_probe\.{parameter.partition('=')[0]} must be"):
        registry.build("metric", f"linear_probe:{parameter}")
