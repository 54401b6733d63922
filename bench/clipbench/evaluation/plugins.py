"""Metrics by plugin: which a run asks for, which its result holds, and adding those it lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clipbench.contracts import AnyProbes, EvaluationSet, Metric
from clipbench.errors import BadSetting
from clipbench.evaluation.encoder import Encoder
from clipbench.evaluation.evaluator import Metrics, evaluate_sets, probe_metrics, reading_set
from clipbench.models.openclip import create_model, load_weights
from clipbench.parallel.group import Processes
from clipbench.plugins import registry
from clipbench.plugins.part import Part

SUCCESS = "attack_success"
CONTROL = "_control"


def built(parts: Sequence[Part[Metric]]) -> dict[str, Metric]:
    """Return metrics by the name they are shown by.

    Raises:
        UnknownName, BadInput: a metric that is not there or cannot be used.
        BadSetting: a metric is asked for twice.
    """
    found: dict[str, Metric] = {}
    for part in parts:
        name = part.label
        if name in found:
            raise BadSetting(f"The metric {name!r} is asked for twice; give --metric {name} once.")
        found[name] = part.plugin
    return found


def records(specs: Sequence[Mapping[str, Any]]) -> list[dict[str, object]]:
    """Return what a result says about each metric that was measured."""
    return [
        {
            "name": registry.short_name(spec["name"]),
            "parameters": {key: value for key, value in spec.items() if key != "name"},
            "code_sha256": registry.code_sha256(spec["name"]),
        }
        for spec in specs
    ]


def missing(
    parts: Sequence[Part[Metric]],
    told: Sequence[Mapping[str, object]],
    result: Mapping[str, Any],
) -> list[tuple[Part[Metric], dict[str, object]]]:
    """Return the metrics that a result lacks, each with what it will say of it.

    One with other parameters, or with another file where a parameter names one, is another metric.

    Args:
        parts: the metrics that are asked for.
        told: the same as JSON, with what lies there in the place of every location.
        result: the result.
    """
    known = result.get("metric_plugins", [])
    pairs = zip(parts, records(told), strict=True)
    return [(part, record) for part, record in pairs if record not in known]


def add_missing(
    result: dict[str, Any],
    lacking: Sequence[tuple[Part[Metric], dict[str, object]]],
    weights: Path,
    model_name: str,
    sets: Sequence[EvaluationSet],
    probes: AnyProbes | None,
    processes: Processes,
) -> None:
    """Measure on a trained model what its result lacks, and put it into the result.

    Args:
        result: the result; changed.
        lacking: the metrics it lacks, of `missing`.
        weights: the trained model.
        model_name: what it is.
        sets: the evaluation sets.
        probes: what the attack wants misclassified.
        processes: where to compute.
    """
    plugins, seed = built([part for part, _ in lacking]), result["seed"] or 0
    encoder = _encoder(weights, model_name, processes)
    found = evaluate_sets(encoder, sets, probes, plugins, seed=seed, standard=False)
    renewed = set(plugins)
    kept = [item for item in result.get("metric_plugins", []) if item["name"] not in renewed]
    result["metric_plugins"] = [*kept, *(record for _, record in lacking)]
    for name in found.metrics:  # a control of another version of the metric is none of this one
        result["metrics"].pop(f"{name}{CONTROL}", None)
    result["metrics"] |= found.metrics
    for old, new in zip(result.get("evaluations", []), found.evaluations, strict=False):
        old["metrics"] |= new["metrics"]


def lacks_control(metrics: Mapping[str, object]) -> bool:
    """Return whether a success has no control, or there is no success yet to judge."""
    successes = [name for name in metrics if name.endswith(SUCCESS)]
    return not successes or any(f"{name}{CONTROL}" not in metrics for name in successes)


def control_metrics(
    weights: Path,
    model_name: str,
    sets: Sequence[EvaluationSet],
    probes: AnyProbes | None,
    plugins: Sequence[Part[Metric]],
    seed: int,
    processes: Processes,
) -> Metrics:
    """Return each attack success again, of a model trained on clean data: ``NAME_control``.

    Args:
        weights: the model trained on clean data.
        model_name: what it is.
        sets: the evaluation sets.
        probes: what the attack wants misclassified; None: nothing is returned.
        plugins: the metrics beside those that every run has.
        seed: the run's seed.
        processes: where to compute.
    """
    if probes is None or not len(probes):
        return {}
    encoder = _encoder(weights, model_name, processes)
    reading = reading_set(sets, probes)
    metrics = probe_metrics(encoder, reading, probes)
    metrics |= evaluate_sets(
        encoder, [reading], probes, built(plugins), seed=seed, standard=False, must_measure=False
    ).metrics
    return {f"{name}{CONTROL}": value for name, value in metrics.items() if name.endswith(SUCCESS)}


def _encoder(weights: Path, model_name: str, processes: Processes) -> Encoder:
    model, tokenizer = create_model(model_name, 0)
    load_weights(model, weights)
    return Encoder(model, tokenizer, device=processes.device)
