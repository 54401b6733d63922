"""Metrics by plugin: which a run asks for, which its result holds, and adding those it lacks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clipbench.contracts import AnyProbes, EvaluationSet, Metric
from clipbench.errors import BadSetting
from clipbench.evaluation.encoder import Encoder
from clipbench.evaluation.evaluator import (
    Measurements,
    evaluate_sets,
    probe_metrics,
    reading_set,
)
from clipbench.evaluation.measured import MetricPlugin, Metrics
from clipbench.files.typed import Object
from clipbench.models.openclip import create_model, load_weights
from clipbench.parallel.group import Processes
from clipbench.plugins import codes, registry
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


def records(
    specs: Sequence[Object], given: Mapping[str, tuple[str, ...]] | None = None
) -> list[MetricPlugin]:
    """Return what a result says about each metric that was measured.

    Args:
        specs: name and parameters of each.
        given: names of what each gave, by its name; None: nothing was measured yet.
    """
    return [
        MetricPlugin(
            name=registry.short_name(name := str(spec["name"])),
            parameters={key: value for key, value in spec.items() if key != "name"},
            code_sha256=registry.code_sha256(name),
            packages=codes.packages("metric", spec),
            metrics=(given or {}).get(registry.short_name(name), ()),
        )
        for spec in specs
    ]


def missing(
    parts: Sequence[Part[Metric]],
    told: Sequence[Object],
    known: Sequence[MetricPlugin],
) -> list[tuple[Part[Metric], MetricPlugin]]:
    """Return the metrics that a result lacks, each with what it will say of it.

    One with other parameters or other code, or with another file where a parameter names one, is
    another metric; so is one of a package of which the result doesn't say what code it had.

    Args:
        parts: the metrics that are asked for.
        told: the same as JSON, with what lies there in the place of every location.
        known: those that the result has.
    """
    pairs, versions = zip(parts, records(told), strict=True), [one.version for one in known]
    return [(part, record) for part, record in pairs if record not in versions]


@dataclass(frozen=True)
class TrainedModel:
    """A trained model, and what it is measured on.

    Args:
        weights: the file or folder of its weights.
        name: of its architecture.
        sets: the evaluation sets.
        probes: what the attack wants misclassified; None: there is no attack.
        seed: the run's seed.
    """

    weights: Path
    name: str
    sets: Sequence[EvaluationSet]
    probes: AnyProbes | None
    seed: int

    def encoder(self, processes: Processes) -> Encoder:
        """Return what gives the model's features."""
        model, tokenizer = create_model(self.name, 0)
        load_weights(model, self.weights)
        return Encoder(model, tokenizer, device=processes.device)


def measure_plugins(
    trained: TrainedModel,
    plugins: Sequence[Part[Metric]],
    processes: Processes,
    taken: Collection[str] = (),
) -> Measurements:
    """Return what metrics by plugin, and no others, measure of a trained model.

    Args:
        trained: the model.
        plugins: the metrics.
        processes: where to compute.
        taken: names that none of them may give, see `clipbench.results.added.taken_names`.

    Raises:
        BadInput: one of them gives such a name.
    """
    return evaluate_sets(
        trained.encoder(processes),
        trained.sets,
        trained.probes,
        built(plugins),
        seed=trained.seed,
        standard=False,
        taken=taken,
    )


def lacks_control(metrics: Mapping[str, object]) -> bool:
    """Return whether a success has no control, or there is no success yet to judge."""
    successes = [name for name in metrics if name.endswith(SUCCESS)]
    return not successes or any(f"{name}{CONTROL}" not in metrics for name in successes)


def control_metrics(
    clean: TrainedModel, plugins: Sequence[Part[Metric]], processes: Processes
) -> Metrics:
    """Return each attack success again, of a model trained on clean data: ``NAME_control``.

    Args:
        clean: the model trained on clean data; without probes nothing is returned.
        plugins: the metrics beside those that every run has.
        processes: where to compute.
    """
    probes, seed = clean.probes, clean.seed
    if probes is None or not len(probes):
        return {}
    encoder = clean.encoder(processes)
    reading = reading_set(clean.sets, probes)
    metrics = probe_metrics(encoder, reading, probes)
    metrics |= evaluate_sets(
        encoder, [reading], probes, built(plugins), seed=seed, standard=False, must_measure=False
    ).metrics
    return {f"{name}{CONTROL}": value for name, value in metrics.items() if name.endswith(SUCCESS)}
