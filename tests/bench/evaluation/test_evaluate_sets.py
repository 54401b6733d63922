"""Several evaluation sets and metrics by plugin, measured on one checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from clipbench.contracts import (
    Classes,
    Classification,
    EvaluationSet,
    LabelledImages,
    Measured,
    Probes,
    Retrieval,
)
from clipbench.errors import BadInput, BadSetting
from clipbench.evaluation.encoder import Encoder
from clipbench.evaluation.evaluator import evaluate, evaluate_sets
from clipbench.evaluation.measured import Metric
from clipbench.evaluation.statistics import Proportion
from clipbench.models.openclip import create_model
from clipbench.rng import generator


@dataclass(frozen=True)
class Says:
    """Returns what it is told to, and keeps what it was given."""

    values: Mapping[str, Any]
    given: list[Measured]

    def measure(self, measured: Measured) -> Mapping[str, Any]:
        self.given.append(measured)
        return self.values if measured.evaluation.classification else {}


def images(count: int, seed: int) -> Any:
    """Noise, in the model's size."""
    return generator(seed, "images").integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)


def classification(name: str, count: int, seed: int, names: tuple[str, ...]) -> EvaluationSet:
    """A set with classes alone."""
    classes = Classes(names, ("a {}",), tuple((item,) for item in names))
    labels = np.arange(count) % len(names)
    return EvaluationSet(name, Classification(classes, LabelledImages(images(count, seed), labels)))


WORDS = EvaluationSet(
    "words", retrieval=Retrieval(images(5, 0), [[f"n {i}", "x"] for i in range(5)])
)
ANIMALS = classification("animals", 8, 1, ("cat", "dog"))
COLORS = classification("colors", 9, 2, ("red", "green", "blue"))
SETS = (WORDS, ANIMALS, COLORS)
PROBES = Probes(images(4, 3), np.zeros(4, np.int64), np.ones(4, np.int64))


@pytest.fixture(scope="module")
def model() -> tuple[nn.Module, Any]:
    return create_model("shapes-32", 0)


def test_sets_of_one_name_are_numbered(model: tuple[nn.Module, Any]) -> None:
    """Two folders of images are both `imagefolder`; each keeps its numbers."""
    found = evaluate_sets(Encoder(*model), (ANIMALS, COLORS, ANIMALS, ANIMALS), None, {}, seed=0)
    names = [item.name for item in found.evaluations]
    assert names == ["animals", "colors", "animals (2)", "animals (3)"]


def test_each_set_has_its_own_metrics_and_the_first_fit_come_first(
    model: tuple[nn.Module, Any],
) -> None:
    """Classes of animals, captions of words; an attack is read among the animals alone."""
    found = evaluate_sets(Encoder(*model), SETS, PROBES, {}, seed=0)
    assert [item.name for item in found.evaluations] == ["words", "animals", "colors"]
    alone = [evaluate(*model, item, PROBES if item is ANIMALS else None) for item in SETS]
    assert [item.metrics for item in found.evaluations] == alone
    assert found.metrics == {**alone[0], **alone[1]}
    assert found.metrics["attack_success"].n == 4
    assert found.metrics["zeroshot_top1"].n == 8


def test_everything_is_encoded_once(model: tuple[nn.Module, Any]) -> None:
    """However many metrics look at an image or a text, the model sees it once."""
    seen: dict[str, int] = {"visual": 0}
    hook = (
        model[0]
        .get_submodule("visual")
        .register_forward_hook(
            lambda _module, given, _output: seen.update(visual=seen["visual"] + len(given[0]))
        )
    )

    class Looks(Says):
        def measure(self, measured: Measured) -> Mapping[str, Any]:
            task = measured.evaluation.classification
            if task is None:
                return {}
            first = measured.image_features(task.test.images)
            known = first.clone()
            first.zero_()  # a metric's own copy: others see what the model saw
            assert torch.equal(measured.image_features(task.test.images), known)
            assert measured.classifier().shape[1] == len(task.classes)
            return {"looked": 1.0}

    evaluate_sets(Encoder(*model), SETS, PROBES, {"looks": Looks({}, [])}, seed=0)
    hook.remove()
    assert seen["visual"] == 5 + 8 + 9 + 4


def test_a_plugin_is_given_set_probes_and_seed(model: tuple[nn.Module, Any]) -> None:
    """Its entries stand beside the others; shares get an interval, numbers do not."""
    says = Says({"mine": Proportion(1, 4), "size": 2.5}, [])
    found = evaluate_sets(Encoder(*model), SETS, PROBES, {"says": says}, seed=7, standard=False)
    assert [(item.evaluation.name, item.probes is PROBES) for item in says.given] == [
        ("words", False),
        ("animals", True),
        ("colors", False),
    ]
    assert {item.seed for item in says.given} == {7}
    assert found.metrics == {
        "mine": Metric.of(Proportion(1, 4)),
        "size": Metric(value=2.5),
    }
    assert found.evaluations[0].metrics == {}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"zeroshot_top1": 1.0}, "returns 'zeroshot_top1', a name that is taken"),
        ({"mine": float("nan")}, "must be a Proportion or a finite number"),
        ({"mine": "0.5"}, "must be a Proportion or a finite number"),
        ({"attack_success": 1.0}, "returns 1.0 as 'attack_success'; it must be a Proportion"),
    ],
)
def test_a_plugin_that_returns_nonsense_is_refused(
    model: tuple[nn.Module, Any], values: dict[str, Any], message: str
) -> None:
    """Names that are taken, and values that are no measurement."""
    with pytest.raises(BadInput, match=message):
        evaluate_sets(Encoder(*model), [ANIMALS], None, {"says": Says(values, [])}, seed=0)


def test_a_plugin_with_nothing_to_measure_is_an_error(model: tuple[nn.Module, Any]) -> None:
    """What was asked for and cannot be had is said, not left out."""
    with pytest.raises(BadSetting, match="'says' has nothing to measure on words"):
        evaluate_sets(Encoder(*model), [WORDS], None, {"says": Says({"a": 1.0}, [])}, seed=0)


def test_an_attack_needs_classes(model: tuple[nn.Module, Any]) -> None:
    """Among captions alone nothing can be misread."""
    with pytest.raises(BadSetting, match="words has no classes"):
        evaluate_sets(Encoder(*model), [WORDS], PROBES, {}, seed=0)
