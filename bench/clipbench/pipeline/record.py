"""The record of a finished run: the object that ``result.json`` holds."""

from __future__ import annotations

from datetime import datetime, timezone

from msgspec import to_builtins

from clipbench.checkpoints.record import TrainingRecord
from clipbench.configuration.config import RunConfig
from clipbench.configuration.identity import named
from clipbench.contracts import EvaluationSet
from clipbench.evaluation import plugins
from clipbench.evaluation.measured import metrics_json
from clipbench.files.typed import Json, Object
from clipbench.models.openclip import CONFIG_FILE, configuration_file, image_size_of, model_config
from clipbench.pipeline.evaluate import Measured, Trained
from clipbench.planning import packages
from clipbench.poisoning.ledger import Ledger
from clipbench.results.model import SCHEMA, Result
from clipbench.results.names import RESULT
from clipbench.results.result import config_hash, environment, made

__all__ = ["RESULT", "result_of"]


def result_of(trained: Trained, measured: Measured) -> Result:
    """Return the whole result of a run, see `clipbench.results.model`.

    Args:
        trained: the run, and what training left.
        measured: what was measured of the model.

    Raises:
        ClipbenchError: a plugin gave what no result may hold.
    """
    config, parts, _, ledger, record = trained
    config_object, told = config.hashed(), config.by_content()
    sha256 = config_hash(config_object)
    # A training that was finished before may be of other code than is installed by now.
    used = {**packages.of_run(config), **record.packages}
    record_of_run = {
        "schema": SCHEMA,
        "id": sha256[:16],
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "status": "complete",
        "config": config_object,
        "config_sha256": sha256,
        "data": {
            "name": config.data_name,
            "parameters": _parameters(told["data"]),
            "pairs": record.num_pairs,
            "content_sha256": record.content_sha256,
            "left_out": dict(parts.usable.left_out),
            "evaluation": _evaluation_object(parts.held_out.primary),
        },
        "attack": _attack_object(config, parts.count, ledger),
        "defense": {"name": config.defense_name, "parameters": _parameters(told["defense"])},
        "model": {
            "name": model_name(config),
            "parameters": measured.num_parameters,
            "image_size": image_size_of(model_config(config.train.model)),
        },
        "seed": config.seed,
        **({} if config.poison_seed is None else {"poison_seed": config.poison_seed}),
        "train": record.to_json(),
        "exposures": _exposures_object(record, ledger),
        "metrics": metrics_json(measured.metrics),
        "evaluations": [item.to_json() for item in measured.evaluations],
        "metric_plugins": to_builtins(plugins.records(told["metrics"], measured.given)),
        "names": named(config),
        "history": [epoch.to_json() for epoch in measured.history],
        "environment": {**environment(), **({"packages": used} if used else {})},
    }
    return made(record_of_run, f"The result of run {sha256[:16]}")


def model_name(config: RunConfig) -> str:
    """Return the name of a run's model; of a configuration in a file, that of the file."""
    name = config.train.model
    path = configuration_file(name)
    if path is None:
        return name
    return path.absolute().parent.name if path.name == CONFIG_FILE else path.stem


def _parameters(spec: Object) -> dict[str, Json]:
    return {name: value for name, value in spec.items() if name != "name"}


def _evaluation_object(evaluation: EvaluationSet) -> dict[str, Json]:
    """Return name of the evaluation set, and hashes of its classes and templates if it has any."""
    if evaluation.classification is None:
        return {"name": evaluation.name, "classes_sha256": None, "templates_sha256": None}
    classes = evaluation.classes
    return {
        "name": evaluation.name,
        "classes_sha256": config_hash({"names": classes.names}),
        "templates_sha256": config_hash({"templates": classes.templates}),
    }


def _attack_object(config: RunConfig, count: int, ledger: Ledger | None) -> dict[str, Json]:
    return {
        "name": config.attack_name,
        "parameters": _parameters(config.by_content()["attack"]),
        **({"crafted": dict(ledger.crafted)} if ledger and ledger.crafted else {}),
        "rate": ledger.rate if ledger else None,
        "rate_requested": None if config.rate is None else str(config.rate),
        "count": count,
        "targets": ledger.targets if ledger else None,
        "per_target": ledger.count / ledger.targets if ledger else None,
        "mode": ledger.mode if ledger else None,
        "ledger_sha256": ledger.sha256 if ledger else None,
        "trigger_sha256": ledger.trigger_sha256 if ledger else None,
    }


def _exposures_object(record: TrainingRecord, ledger: Ledger | None) -> dict[str, float] | None:
    """Return how often a poison reached a loss that ties image to caption; None: clean data."""
    if ledger is None:
        return None
    seen = record.exposures[ledger.rows["index"].to_numpy()]
    return {"mean": float(seen.mean()), "min": int(seen.min()), "max": int(seen.max())}
