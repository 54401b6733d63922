"""The evaluator: every number of a model, from held-out pairs and an attack's probes."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from msgspec import structs
from torch import Tensor, nn

from clipbench import contracts
from clipbench.boundary.attacks import check_goals
from clipbench.boundary.metrics import measure
from clipbench.contracts import (
    AnyProbes,
    EvaluationSet,
    LabelledImages,
    Probes,
    Progress,
    Retrieval,
    TextProbes,
    no_progress,
)
from clipbench.errors import BadInput, BadSetting
from clipbench.evaluation.attack_success import attack_success_metrics, retrieval_success_metrics
from clipbench.evaluation.encoder import Encoder, SetAndFeatures
from clipbench.evaluation.measured import PROPORTIONS, Evaluation, Metric, Metrics, Part
from clipbench.evaluation.outcomes import unpack
from clipbench.evaluation.retrieval import recall_at_k
from clipbench.evaluation.statistics import Proportion, measured_cutoffs
from clipbench.evaluation.zeroshot import label_ranks, mean_per_class_recall, top_k_correct
from clipbench.models.features import similarity
from clipbench.models.openclip import Tokenizer

_CUTOFFS = (1, 5, 10)  # of retrieval


def evaluate(
    model: nn.Module,
    tokenizer: Tokenizer,
    evaluation: EvaluationSet,
    probes: AnyProbes | None = None,
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
        probes: what an attack wants misclassified; None or none: no attack metrics.
        device: where to encode; the model is moved there. Default: where the model is.
        batch_size: images or texts encoded at once; no count depends on it (see `features`).
        progress: called after each batch.

    Returns:
        Of a classification ``zeroshot_top1``, ``zeroshot_top5`` and ``mean_per_class_recall``, of
        a retrieval ``image_to_text_r1`` and ``text_to_image_r1`` (also ``r5`` and ``r10``), of
        probes those of `attack_success_metrics`. A cut-off that every candidate is within, such as
        the first five of five classes, is not measured.

    Raises:
        BadSetting: there are probes and no classes among which they could be read.
    """
    encoder = Encoder(model, tokenizer, device=device, batch_size=batch_size, progress=progress)
    return standard_metrics(encoder, evaluation, probes)


def standard_metrics(
    encoder: Encoder, evaluation: EvaluationSet, probes: AnyProbes | None
) -> dict[str, Metric]:
    """Return what `evaluate` returns, with features that are shared with other metrics."""
    metrics: dict[str, Metric] = {}
    if evaluation.classification is not None:
        classifier = encoder.classifier(evaluation.classes)
        test = encoder.images(evaluation.test.images)
        metrics |= _zeroshot_metrics(test, classifier, evaluation.test)
    if evaluation.retrieval is not None:
        metrics |= _retrieval_metrics(encoder, evaluation.retrieval)
    if probes is not None and len(probes):
        metrics |= probe_metrics(encoder, evaluation, probes)
    return metrics


def probe_metrics(
    encoder: Encoder, evaluation: EvaluationSet, probes: AnyProbes
) -> dict[str, Metric]:
    """Return an attack's metrics alone, see `attack_success_metrics`; for controls, for a history.

    Images are read among the classes of the evaluation set, captions among candidate images. Of
    variants of the probes success and poisoned accuracy are told, under their names. Success says
    of which parts the probes are, where there are several.

    Args:
        encoder: gives the features, and shares them with other metrics.
        evaluation: has the classes among which probes are read.
        probes: what the attack wants misclassified; at least one.

    Raises:
        BadSetting: images shall be read, and there are no classes.
    """
    check_goals(probes.labels, probes.goals)
    if isinstance(probes, TextProbes):
        scores = similarity(encoder.texts(probes.texts), encoder.images(probes.candidates))
        return retrieval_success_metrics(scores, probes.labels, probes.goals, probes.groups)
    classes = evaluation.classes
    if probes.prompt is not None:
        templates = tuple(probes.prompt(template) for template in classes.templates)
        classes = replace(classes, templates=templates)
    scores = similarity(encoder.images(probes.images), encoder.classifier(classes).T)
    metrics = attack_success_metrics(scores, probes.labels, probes.goals)
    if len(probes.parts) > 1:
        metrics["attack_success"] = _of_parts(probes, metrics["attack_success"])
    for name, variant in probes.variants.items():
        found = probe_metrics(encoder, evaluation, variant)
        metrics |= {f"{name}_{key}": found[key] for key in ("attack_success", "poisoned_accuracy")}
    return metrics


def _of_parts(probes: Probes, success: Metric) -> Metric:
    """Return success with the parts of its probes: of doses, which are a curve, with shares."""
    names, counts = list(probes.parts), list(probes.parts.values())
    if probes.parts_by == "trigger":
        parts = [Part(name, n) for name, n in zip(names, counts, strict=True)]
        return structs.replace(success, parts=tuple(parts))
    outcomes = np.split(unpack(success.outcomes, sum(counts)), np.cumsum(counts)[:-1])
    shares = [Proportion(int(own.sum()), len(own)) for own in outcomes]
    told = tuple(map(Part.of, names, shares))
    return structs.replace(success, parts=told, parts_by=probes.parts_by)


def reading_set(sets: Sequence[EvaluationSet], probes: AnyProbes | None) -> EvaluationSet:
    """Return the set on which an attack's success is read: the first that has what that needs."""
    if isinstance(probes, TextProbes):
        return next((item for item in sets if item.retrieval), sets[0])
    return next((item for item in sets if item.classification), sets[0])


@dataclass(frozen=True)
class Measurements:
    """The numbers of one checkpoint on all evaluation sets.

    Args:
        metrics: those of the first classification set, its attack included, and of the first
            retrieval set: what tables show.
        evaluations: for each set its name, which no two share, and its own metrics.
        given: names of the metrics that each plugin gave, by its name.
    """

    metrics: Metrics
    evaluations: Sequence[Evaluation]
    given: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def evaluate_sets(
    encoder: Encoder,
    sets: Sequence[EvaluationSet],
    probes: AnyProbes | None,
    plugins: Mapping[str, contracts.Metric],
    *,
    seed: int,
    standard: bool = True,
    must_measure: bool = True,
    taken: Collection[str] = (),
) -> Measurements:
    """Return the metrics of a checkpoint on every evaluation set.

    Args:
        encoder: gives the features.
        sets: the evaluation sets.
        probes: what an attack wants misclassified; read on the first set that has what that needs.
        plugins: further metrics by name.
        seed: the run's seed, for plugins.
        standard: whether to measure what every row has; False measures the plugins alone.
        must_measure: whether a plugin that has nothing to measure on any set is an error.
        taken: names of metrics that no plugin may give, beside those that are measured here.

    Raises:
        BadSetting: there are probes and no classes, or a plugin has nothing to measure on any set.
        BadInput: a plugin returns what is no measurement, or a name that is taken.
    """
    first = next((item for item in sets if item.classification), sets[0])
    retrieving = next((item for item in sets if item.retrieval), first)
    reading = reading_set(sets, probes)
    given: dict[str, dict[str, None]] = {name: {} for name in plugins}
    found: list[dict[str, Metric]] = []
    for item in sets:
        own = probes if item is reading else None
        metrics = standard_metrics(encoder, item, own) if standard else {}
        for name, plugin in plugins.items():
            values = measure(plugin, SetAndFeatures(item, own, seed, encoder))
            _add(metrics, values, name, taken)
            given[name] |= dict.fromkeys(values)
        found.append(metrics)
    for name in plugins:
        if must_measure and not given[name]:
            raise nothing_to_measure(name, sets)
    by_set = [Evaluation(name, own) for name, own in zip(_names(sets), found, strict=True)]
    of_first, of_retrieving = (found[_position(sets, item)] for item in (first, retrieving))
    # What both measured is told of the first; its entries come first, too.
    of_all = {**of_first, **of_retrieving, **of_first}
    return Measurements(of_all, by_set, {name: tuple(own) for name, own in given.items()})


def nothing_to_measure(name: str, sets: Sequence[EvaluationSet]) -> BadSetting:
    """Return the error of a metric that no set has the data for."""
    return BadSetting(
        f"The metric {name!r} has nothing to measure on {', '.join(item.name for item in sets)};"
        f" `clipbench describe {name}` says what it needs."
    )


def _names(sets: Sequence[EvaluationSet]) -> list[str]:
    """Return the sets' names; of several of one name, all but the first get a number."""
    names: list[str] = []
    for item in sets:
        others = (f"{item.name} ({number})" for number in itertools.count(2))
        names.append(next(n for n in itertools.chain([item.name], others) if n not in names))
    return names


def _position(sets: Sequence[EvaluationSet], wanted: EvaluationSet) -> int:
    """Return where a set stands; by identity, since sets with arrays cannot be compared."""
    return next(number for number, item in enumerate(sets) if item is wanted)


def _add(
    metrics: dict[str, Metric], values: Mapping[str, object], plugin: str, taken: Collection[str]
) -> None:
    """Add what a plugin returned."""
    for name, value in values.items():
        if name in metrics or name in taken:
            raise BadInput(f"The metric {plugin!r} returns {name!r}, a name that is taken.")
        if isinstance(value, Proportion):
            metrics[name] = Metric.of(value)
        elif name in PROPORTIONS:
            raise BadInput(
                f"The metric {plugin!r} returns {value!r} as {name!r}; it must be a Proportion."
            )
        elif isinstance(value, (int, float)) and np.isfinite(value):
            metrics[name] = Metric(value=float(value))
        else:
            raise BadInput(
                f"The metric {plugin!r} returns {value!r} as {name!r}; it must be a Proportion or a"
                " finite number."
            )


def _retrieval_metrics(encoder: Encoder, retrieval: Retrieval) -> Metrics:
    captions = [caption for several in retrieval.captions for caption in several]
    counts = [len(several) for several in retrieval.captions]
    image_of_text = np.repeat(np.arange(len(counts)), counts)
    images = encoder.images(retrieval.images)
    shares = recall_at_k(images, encoder.texts(captions), image_of_text, _CUTOFFS)
    candidates = {"image_to_text": len(captions), "text_to_image": len(counts)}
    return {
        (name := f"{direction}_r{k}"): Metric.of(shares[name])
        for direction, count in candidates.items()
        for k in measured_cutoffs(_CUTOFFS, count)
    }


def _zeroshot_metrics(test: Tensor, classifier: Tensor, labelled: LabelledImages) -> Metrics:
    labels = labelled.labels
    ranks = label_ranks(similarity(test, classifier.T), labels)
    recall = mean_per_class_recall(ranks, labels)
    metrics = {
        f"zeroshot_top{k}": Metric.of(top_k_correct(ranks, k))
        for k in measured_cutoffs((1, 5), classifier.shape[1])
    }
    return metrics | {"mean_per_class_recall": Metric(value=recall, n=len(np.unique(labels)))}
