"""The evaluator beside CLIP_benchmark's own code, on the same model and the same images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image as Pil
from sklearn.datasets import load_sample_images
from sklearn.metrics import top_k_accuracy_score
from torch import Tensor, nn

from clipbench.contracts import (
    Classes,
    Classification,
    EvaluationSet,
    Image,
    LabelledImages,
    Retrieval,
)
from clipbench.evaluation.evaluator import evaluate
from clipbench.evaluation.zeroshot import zeroshot_classifier
from clipbench.models.features import image_features
from clipbench.models.openclip import create_model
from clipbench.rng import generator

theirs_classification = pytest.importorskip(
    "clip_benchmark.metrics.zeroshot_classification", exc_type=ImportError
)
theirs_retrieval = pytest.importorskip(
    "clip_benchmark.metrics.zeroshot_retrieval", exc_type=ImportError
)

CLASSES = Classes(
    ("temple", "flower", "sky", "roof", "water", "leaf"),
    ("a photo of a {}.", "{}", "a bad photo of the {}."),
    tuple((name,) for name in ("temple", "flower", "sky", "roof", "water", "leaf")),
)
COUNT = 48


@pytest.fixture(scope="module")
def parts() -> tuple[nn.Module, Any, Sequence[Image]]:
    """A model that is not trained, its tokenizer, and crops of photographs of other sizes."""
    model, tokenizer = create_model("shapes-32", 3)
    wholes = load_sample_images().images
    rng = generator(0, "crops")
    images = []
    for number in range(COUNT):
        top, left = rng.integers(300), rng.integers(500)
        height, width = rng.integers(32, 90, size=2)
        images.append(wholes[number % 2][top : top + height, left : left + width])
    return model.eval(), tokenizer, images


class Batches:
    """What CLIP_benchmark is given for a loader: batches of transformed images with targets."""

    def __init__(self, model: Any, images: Sequence[Image], targets: Sequence[Any]) -> None:
        size = model.visual.image_size
        transform = open_clip.image_transform(
            size,
            is_train=False,
            mean=getattr(model.visual, "image_mean", None),
            std=getattr(model.visual, "image_std", None),
        )
        self.images = torch.stack([transform(Pil.fromarray(image)) for image in images])
        self.targets = targets
        self.dataset = self
        self.classes = CLASSES.names

    def __iter__(self) -> Iterator[tuple[Tensor, Any]]:
        for start in range(0, len(self.images), 7):
            targets = self.targets[start : start + 7]
            whole = isinstance(targets[0], (int, np.integer))
            yield self.images[start : start + 7], torch.tensor(targets) if whole else targets


def test_zero_shot_classification_agrees(parts: Any) -> None:
    """Class embeddings agree to 1e-5, top-1, top-5 and mean per-class recall to 1e-4.

    Embeddings and scores are CLIP_benchmark's. Its function of the accuracy itself does not run
    with numpy from 2.4; scikit-learn's, which it takes for the recall, counts in its place.
    """
    model, tokenizer, images = parts
    labels = generator(0, "labels").integers(len(CLASSES), size=COUNT)
    templates = [template.replace("{}", "{c}") for template in CLASSES.templates]
    classifier = theirs_classification.zero_shot_classifier(
        model, tokenizer, list(CLASSES.names), templates, "cpu", amp=False
    )
    mine = zeroshot_classifier(model, tokenizer, CLASSES)
    torch.testing.assert_close(mine, classifier, atol=1e-5, rtol=0)
    scores, truth = theirs_classification.run_classification(
        model, classifier, Batches(model, images, labels.tolist()), "cpu", amp=False
    )
    expected = {
        "zeroshot_top1": top_k_accuracy_score(truth, scores, k=1),
        "zeroshot_top5": top_k_accuracy_score(truth, scores, k=5),
        "mean_per_class_recall": theirs_classification.balanced_accuracy_score(
            truth, scores.argmax(1)
        ),
    }
    task = Classification(CLASSES, LabelledImages(images, labels))
    ours = evaluate(model, tokenizer, EvaluationSet("crops", task))
    for name, value in expected.items():
        assert ours[name].value == pytest.approx(value, abs=1e-4)
    # Or there was nothing to tell apart.
    assert 0 < expected["zeroshot_top1"] < expected["zeroshot_top5"] < 1


def test_retrieval_with_several_captions_agrees(parts: Any) -> None:
    """Recall both ways at 1, 5 and 10 agrees to 1e-4, with one to four captions an image."""
    model, tokenizer, images = parts
    captions = [
        [f"crop {number} of {CLASSES.names[(number + way) % 6]}" for way in range(1 + number % 4)]
        for number in range(COUNT)
    ]
    expected = theirs_retrieval.evaluate(
        model,
        Batches(model, images, captions),
        tokenizer,
        "cpu",
        amp=False,
        recall_k_list=[1, 5, 10],
    )
    ours = evaluate(model, tokenizer, EvaluationSet("crops", retrieval=Retrieval(images, captions)))
    for k in (1, 5, 10):
        to_image = expected[f"image_retrieval_recall@{k}"]
        to_text = expected[f"text_retrieval_recall@{k}"]
        assert ours[f"text_to_image_r{k}"].value == pytest.approx(to_image, abs=1e-4)
        assert ours[f"image_to_text_r{k}"].value == pytest.approx(to_text, abs=1e-4)
    assert 0 < expected["image_retrieval_recall@10"] < 1
    assert 0 < expected["text_retrieval_recall@10"] < 1


def test_features_equal_open_clips_transform(parts: Any) -> None:
    """Resizing by threads and normalizing by batch give the features of open_clip's transform."""
    model, _, images = parts
    with torch.no_grad():
        whole = model.encode_image(Batches(model, images, [0] * COUNT).images)
    expected = nn.functional.normalize(whole, dim=-1)
    torch.testing.assert_close(image_features(model, images), expected, atol=1e-5, rtol=0)


def test_threads_change_no_bit(parts: Any) -> None:
    """Features are the same bits with one thread, with five and with the default."""
    model, _, images = parts
    one = image_features(model, images, threads=1, batch_size=7)
    for threads in (5, None):
        assert torch.equal(image_features(model, images, threads=threads, batch_size=7), one)
