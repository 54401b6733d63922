"""The evaluator: every number of a model, from held-out pairs and an attack's probes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clipbench.contracts import (
    EvaluationSet,
    LabelledImages,
    Probes,
    Progress,
    Retrieval,
    no_progress,
)
from clipbench.evaluation.attack_success import attack_success_metrics, check_probes
from clipbench.evaluation.features import image_features, similarity, text_features
from clipbench.evaluation.retrieval import recall_at_k
from clipbench.evaluation.zeroshot import (
    label_ranks,
    mean_per_class_recall,
    top_k_correct,
    zeroshot_classifier,
)
from clipbench.models import Tokenizer

Metrics = dict[str, dict[str, Any]]  # each {"value", "k", "n", "low", "high"}, None where no share


def evaluate(
    model: nn.Module,
    tokenizer: Tokenizer,
    evaluation: EvaluationSet,
    probes: Probes | None = None,
    *,
    device: torch.device | str | None = None,
    batch_size: int = 512,
    progress: Progress = no_progress,
) -> Metrics:
    """Return zero-shot, retrieval and attack metrics of a model.

    Args:
        model: an open_clip model; its mode is restored.
        tokenizer: the model's tokenizer.
        evaluation: a classification task, a retrieval task, or both.
        probes: what an attack wants misread; None or none: no attack metrics.
        device: where to encode; the model is moved there. Default: where the model is.
        batch_size: images or texts encoded at once; no count depends on it (see `features`).
        progress: called after each batch.

    Returns:
        Of a classification ``zeroshot_top1``, ``zeroshot_top5`` and ``mean_per_class_recall``, of
        a retrieval ``image_to_text_r1`` and ``text_to_image_r1`` (also ``r5`` and ``r10``), of
        probes those of `attack_metrics`.

    Raises:
        BadSetting: there are probes and no classes among which they could be read.
    """
    encoding: dict[str, Any] = {"device": device, "batch_size": batch_size, "progress": progress}
    metrics: Metrics = {}
    known: dict[int, Tensor] = {}  # features by identity of the images; the tasks may share them
    attacked = probes is not None and len(probes) > 0
    if evaluation.classification is not None or attacked:
        classifier = zeroshot_classifier(model, tokenizer, evaluation.classes, **encoding)
    if evaluation.classification is not None:
        pictures = evaluation.test.images
        known[id(pictures)] = image_features(model, pictures, **encoding)
        metrics |= _zeroshot_metrics(known[id(pictures)], classifier, evaluation.test)
    if evaluation.retrieval is not None:
        pictures = evaluation.retrieval.images
        if id(pictures) not in known:
            known[id(pictures)] = image_features(model, pictures, **encoding)
        images = known[id(pictures)]
        metrics |= _retrieval_metrics(model, tokenizer, images, evaluation.retrieval, encoding)
    if probes is not None and attacked:
        metrics |= attack_metrics(model, classifier, probes, **encoding)
    return metrics


def attack_metrics(
    model: nn.Module,
    classifier: Tensor,
    probes: Probes,
    *,
    device: torch.device | str | None = None,
    batch_size: int = 512,
    progress: Progress = no_progress,
) -> Metrics:
    """Return an attack's metrics alone, for controls and for a history by epoch.

    Args:
        model: an open_clip model; its mode is restored.
        classifier: ``(D, C)``, of `zeroshot_classifier` for the same model.
        probes: what the attack wants misread.
        device: where to encode; the model is moved there. Default: where the model is.
        batch_size: images encoded at once.
        progress: called after each batch.

    Returns:
        ``attack_success``, ``attack_success_top5``, ``attack_margin`` and ``poisoned_accuracy``;
        nothing without probes.
    """
    if not len(probes):
        return {}
    check_probes(probes.labels, probes.goals)
    features = image_features(
        model, probes.images, device=device, batch_size=batch_size, progress=progress
    )
    return attack_success_metrics(similarity(features, classifier.T), probes.labels, probes.goals)


def _retrieval_metrics(
    model: nn.Module,
    tokenizer: Tokenizer,
    images: Tensor,
    retrieval: Retrieval,
    encoding: Mapping[str, Any],
) -> Metrics:
    captions = [caption for several in retrieval.captions for caption in several]
    counts = [len(several) for several in retrieval.captions]
    image_of_text = np.repeat(np.arange(len(counts)), counts)
    texts = text_features(model, tokenizer, captions, **encoding)
    shares = recall_at_k(images, texts, image_of_text)
    return {name: share.to_json() for name, share in shares.items()}


def _zeroshot_metrics(test: Tensor, classifier: Tensor, labelled: LabelledImages) -> Metrics:
    labels = labelled.labels
    ranks = label_ranks(similarity(test, classifier.T), labels)
    recall = mean_per_class_recall(ranks, labels)
    return {
        "zeroshot_top1": top_k_correct(ranks, 1).to_json(),
        "zeroshot_top5": top_k_correct(ranks, 5).to_json(),
        "mean_per_class_recall": {
            "value": recall,
            "k": None,
            "n": len(np.unique(labels)),
            "low": None,
            "high": None,
        },
    }
