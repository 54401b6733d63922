from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import open_clip
import pytest
import torch
from PIL import Image as PillowImage
from torch import nn

from clipbench.contracts import (
    Classes,
    Classification,
    EvaluationSet,
    LabelledImages,
    Probes,
    Retrieval,
    TextProbes,
)
from clipbench.errors import BadInput, BadSetting
from clipbench.evaluation.encoder import Encoder
from clipbench.evaluation.evaluator import evaluate, probe_metrics, reading_set
from clipbench.evaluation.measured import Metric, metrics_json
from clipbench.evaluation.outcomes import unpack
from clipbench.evaluation.statistics import Proportion
from clipbench.rng import generator

TOKENIZER = open_clip.SimpleTokenizer(context_length=24)
NAMES = ("black", "red", "green", "blue", "white", "yellow")
COLORS = np.array(
    [[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [255, 255, 0]]
)
CLASSES = Classes(NAMES, ("a {} thing", "{}"), tuple((name,) for name in NAMES))
ATTACK_METRICS = {
    "attack_success",
    "attack_success_top5",
    "attack_margin",
    "poisoned_accuracy",
}


def colored(labels: Any) -> Any:
    """Images of one color a class with a little noise."""
    noise = generator(0, "noise").integers(-40, 41, (len(labels), 32, 32, 3))
    return np.clip(COLORS[labels][:, None, None, :] + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """A tiny open_clip model, trained for a few steps to tell six colors apart."""
    torch.manual_seed(0)
    made: Any = open_clip.CLIP(
        32,
        {"image_size": 32, "patch_size": 8, "width": 32, "head_width": 16, "layers": 1},
        {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    )
    transform = open_clip.image_transform(32, is_train=False)
    images = torch.stack([transform(PillowImage.fromarray(i)) for i in colored(np.arange(6))])
    texts = TOKENIZER([f"a {name} thing" for name in NAMES])
    optimizer = torch.optim.Adam(made.parameters(), lr=1e-3)
    for _ in range(25):
        to_text, to_image = made.get_logits(images, texts)
        loss: Any = nn.functional.cross_entropy(to_text, torch.arange(6))
        loss = loss + nn.functional.cross_entropy(to_image, torch.arange(6))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    trained: nn.Module = made.eval()
    return trained


def evaluation_set(**changes: Any) -> EvaluationSet:
    """60 test images; the first 20 with two captions each are the retrieval task."""
    labels = np.arange(60) % 5
    test = LabelledImages(colored(labels), labels)
    captions = [
        [f"a {NAMES[label]} thing", f"{NAMES[label]} {n}"] for n, label in enumerate(labels)
    ]
    parts = {
        "classification": Classification(CLASSES, test),
        "retrieval": Retrieval(test.images[:20], captions[:20]),
    }
    return EvaluationSet(**{"name": "colors", **parts, **changes})


def goal_probes() -> Probes:
    """Images of the goal's color whose labels say otherwise: read as the goal by a good model."""
    goals = np.arange(10) % 5
    return Probes(colored(goals), (goals + 1) % 5, goals)


def test_every_metric_of_a_trained_model(model: nn.Module) -> None:
    """A model that tells the colors apart is right on all of them, with exact counts."""
    metrics = evaluate(model, TOKENIZER, evaluation_set(), goal_probes(), batch_size=16)
    retrieval = {f"{way}_r{k}" for way in ("image_to_text", "text_to_image") for k in (1, 5, 10)}
    assert set(metrics) == {
        "zeroshot_top1",
        "zeroshot_top5",
        "mean_per_class_recall",
        *retrieval,
        *ATTACK_METRICS,
    }
    told = metrics_json(metrics)
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert msgspec.convert(told, dict[str, Metric]) == metrics
    assert (metrics["zeroshot_top1"].k, metrics["zeroshot_top1"].n) == (60, 60)
    assert metrics["mean_per_class_recall"].value == 1.0
    assert metrics["mean_per_class_recall"].n == 5
    assert metrics["image_to_text_r1"].n == 20
    assert metrics["text_to_image_r1"].n == 40
    assert metrics["text_to_image_r10"].k >= 20  # four images a color, found before the rest
    assert (metrics["attack_success"].k, metrics["attack_success"].n) == (10, 10)
    assert metrics["poisoned_accuracy"].k == 0
    assert metrics["attack_margin"].value > 0
    del told["attack_success"]["outcomes"]
    assert all(list(entry) == ["value", "k", "n", "low", "high"] for entry in told.values())


def test_a_cutoff_that_every_candidate_is_within_is_not_measured(model: nn.Module) -> None:
    """Among the first five of five classes is every class: it would be 100%, whatever the model."""
    five = Classes(NAMES[:5], CLASSES.templates, CLASSES.aliases[:5])
    labels = np.arange(60) % 5
    few = evaluation_set(
        classification=Classification(five, LabelledImages(colored(labels), labels)),
        retrieval=Retrieval(colored(labels)[:5], [[name, f"a {name}"] for name in NAMES[:5]]),
    )
    metrics = evaluate(model, TOKENIZER, few, goal_probes())
    assert {name for name in metrics if name[-1].isdigit()} == {
        "zeroshot_top1",
        "image_to_text_r1",
        "image_to_text_r5",  # of ten captions
        "text_to_image_r1",  # of five images
    }
    assert set(metrics) >= ATTACK_METRICS - {"attack_success_top5"}


def test_without_probes_there_are_no_attack_metrics(model: nn.Module) -> None:
    """No attack, or one without probes, leaves its cells missing rather than zero."""
    nothing = np.zeros(0, np.int64)
    for probes in (None, Probes((), nothing, nothing)):
        metrics = evaluate(model, TOKENIZER, evaluation_set(), probes)
        assert not set(metrics) & ATTACK_METRICS


def test_a_task_that_is_absent_leaves_no_metric(model: nn.Module) -> None:
    """A classification set has no recall, a retrieval set no accuracy, and neither is zero."""
    whole = evaluate(model, TOKENIZER, evaluation_set())
    classified = evaluate(model, TOKENIZER, evaluation_set(retrieval=None))
    retrieved = evaluate(model, TOKENIZER, evaluation_set(classification=None))
    assert not set(classified) & set(retrieved)
    assert {**classified, **retrieved} == whole


def test_an_attack_without_classes_is_refused(model: nn.Module) -> None:
    """Success is read among classes; the error names the set and says what to add."""
    with pytest.raises(BadSetting, match=r"colors has no classes.*--eval"):
        evaluate(model, TOKENIZER, evaluation_set(classification=None), goal_probes())


def test_the_batch_size_changes_no_count(model: nn.Module) -> None:
    """Every k is the same for batches of 1, of 7 and of everything."""
    counts = [
        {
            name: entry.k
            for name, entry in evaluate(
                model, TOKENIZER, evaluation_set(), goal_probes(), batch_size=size
            ).items()
        }
        for size in (1, 7, 512)
    ]
    assert counts[0] == counts[1] == counts[2]


def test_attack_metrics_alone_are_those_of_the_whole_evaluation(model: nn.Module) -> None:
    """A control or an epoch's history measures what the final row measures."""
    alone = probe_metrics(Encoder(model, TOKENIZER), evaluation_set(), goal_probes())
    whole = evaluate(model, TOKENIZER, evaluation_set(), goal_probes())
    assert alone == {name: whole[name] for name in ATTACK_METRICS}


def test_images_shared_by_both_tasks_are_encoded_once(model: nn.Module) -> None:
    """When retrieval uses the test images themselves, only they are encoded."""
    images = evaluation_set().test.images
    classification = evaluation_set().classification
    assert classification is not None
    shared = evaluation_set(
        classification=Classification(CLASSES, LabelledImages(images, classification.test.labels)),
        retrieval=Retrieval(images, [[f"picture {n}"] for n in range(60)]),
    )
    encoded: list[int] = []
    hook = model.get_submodule("visual").register_forward_hook(
        lambda _module, inputs, _output: encoded.append(len(inputs[0]))
    )
    metrics = evaluate(model, TOKENIZER, shared)
    hook.remove()
    assert sum(encoded) == 60
    assert metrics["image_to_text_r1"].n == 60


def test_evaluation_leaves_the_model_as_it_was(model: nn.Module) -> None:
    """Weights and mode are untouched, and no gradient is left behind."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    model.zero_grad()
    evaluate(model, TOKENIZER, evaluation_set(), goal_probes())
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    model.eval()


def test_probes_of_their_goals_class_are_refused_before_work(model: nn.Module) -> None:
    """A data error shows before minutes of encoding are spent on it."""
    probes = Probes(colored(np.zeros(3, np.int64)), np.zeros(3, np.int64), np.zeros(3, np.int64))

    def refuse(what: str, done: int, total: int) -> None:
        raise AssertionError(f"{what}: {done} of {total}")

    with pytest.raises(BadInput, match="3 of 3 probes"):
        probe_metrics(Encoder(model, TOKENIZER, progress=refuse), evaluation_set(), probes)


def test_captions_for_other_images_are_an_error(model: nn.Module) -> None:
    """A data set with more captioned images than images is one sentence."""
    one_too_many = Retrieval(evaluation_set().test.images[:20], [["a"]] * 21)
    with pytest.raises(BadInput, match="caption for every image"):
        evaluate(model, TOKENIZER, evaluation_set(retrieval=one_too_many))


# --------------------------------------------------------------------------- from the text's side


def test_captions_that_find_the_attackers_image(model: nn.Module) -> None:
    """Three of four captions are about the last candidate; success counts what comes first."""
    candidates = colored(np.array([0, 1, 2, 3]))
    texts = ["a blue thing", "a blue thing", "a blue thing", "a green thing"]
    probes = TextProbes(texts, candidates, np.array([0, 1, 2, 2]), np.full(4, 3))
    metrics = evaluate(model, TOKENIZER, evaluation_set(classification=None), probes)
    assert (metrics["attack_success"].k, metrics["attack_success"].n) == (3, 4)
    assert (metrics["poisoned_accuracy"].k, metrics["poisoned_accuracy"].n) == (1, 4)


def test_prompts_of_the_attackers_and_variants(model: nn.Module) -> None:
    """Under the attacker's prompts another class is read; a variant has numbers of its own."""
    labels = np.full(6, 1)
    goals = np.full(6, 3)

    def blue(template: str) -> str:  # what is asked for red asks for blue, and the other way round
        return template.replace("{}", "{} blue blue blue")

    red = colored(labels)
    plain = Probes(red, labels, goals)
    both = Probes(colored(goals), labels, goals, prompt=blue, variants={"plain": plain})
    metrics = probe_metrics(Encoder(model, TOKENIZER), evaluation_set(), both)
    assert metrics["plain_attack_success"].k == 0
    assert metrics["plain_poisoned_accuracy"].k == 6
    altered = Classes(NAMES, tuple(map(blue, CLASSES.templates)), CLASSES.aliases)
    classification = evaluation_set().classification
    assert classification is not None
    told = evaluation_set(classification=Classification(altered, classification.test))
    same = probe_metrics(Encoder(model, TOKENIZER), told, Probes(both.images, labels, goals))
    assert metrics["attack_success"] == same["attack_success"]
    assert metrics["attack_margin"] == same["attack_margin"]


def test_success_says_of_which_triggers_probes_are(model: nn.Module) -> None:
    """In their order, where there are several."""
    labels, goals = np.full(6, 1), np.full(6, 3)
    several = Probes(colored(goals), labels, goals, parts={"b": 4, "a": 2})
    metrics = probe_metrics(Encoder(model, TOKENIZER), evaluation_set(), several)
    told = metrics["attack_success"].to_json()
    assert list(told) == ["value", "k", "n", "low", "high", "outcomes", "parts"]
    assert told["parts"] == [{"name": "b", "n": 4}, {"name": "a", "n": 2}]
    one = Probes(several.images, labels, goals, parts={"b": 6})
    found = probe_metrics(Encoder(model, TOKENIZER), evaluation_set(), one)
    assert "parts" not in found["attack_success"].to_json()


def test_success_of_each_dose_is_told(model: nn.Module) -> None:
    """A share of the probes of each, with its interval."""
    probes = replace(goal_probes(), parts={"1": 3, "8": 7}, parts_by="dose")
    success = probe_metrics(Encoder(model, TOKENIZER), evaluation_set(), probes)["attack_success"]
    assert success.parts_by == "dose"
    outcomes = unpack(success.outcomes, success.n)
    shares = [Proportion(int(own.sum()), len(own)) for own in (outcomes[:3], outcomes[3:])]
    named = zip(("1", "8"), shares, strict=True)
    told = success.to_json()
    assert list(told)[-2:] == ["parts", "parts_by"]
    # In this order, as files of earlier versions have it.
    assert list(told["parts"][0]) == ["name", "n", "value", "k", "low", "high"]
    assert told["parts"] == [{"name": name, **share.to_json()} for name, share in named]


def test_success_is_read_where_it_can_be() -> None:
    """Images on the first set with classes, captions on the first with captions."""
    classes, captions = evaluation_set(retrieval=None), evaluation_set(classification=None)
    texts = TextProbes(["a"], colored(np.array([0, 1])), np.zeros(1), np.ones(1))
    assert reading_set([captions, classes], goal_probes()) is classes
    assert reading_set([classes, captions], texts) is captions
    assert reading_set([classes], texts) is classes
