"""Adding to a result what was measured after it was written; all else in it stays as it is."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import to_builtins

from clipbench.evaluation.evaluator import Measurements
from clipbench.evaluation.measured import Evaluation, MetricPlugin, metrics_json
from clipbench.evaluation.plugins import CONTROL
from clipbench.files.typed import Json, items, table
from clipbench.results.model import Result


def with_measured(
    result: Result, found: Measurements, plugins: Sequence[MetricPlugin] = ()
) -> Result:
    """Return a result with further metrics, those of the same names replaced.

    Args:
        result: the result.
        found: what was measured: metrics that tables show, and those of each evaluation set.
        plugins: what measured it.

    Raises:
        Objection: they make no result.
    """
    record, renewed = result.record, {plugin.name for plugin in plugins}
    stale = {f"{name}{CONTROL}" for name in found.metrics}  # of another version of the metric
    metrics = {name: value for name, value in table(record["metrics"]).items() if name not in stale}
    changed: dict[str, Json] = {"metrics": {**metrics, **metrics_json(found.metrics)}}
    if plugins:
        known = items(record.get("metric_plugins", ()))
        kept = [item for item in known if table(item)["name"] not in renewed]
        changed["metric_plugins"] = [*kept, *to_builtins(plugins)]
    if "evaluations" in record:
        sets, count = items(record["evaluations"]), len(found.evaluations)
        changed["evaluations"] = [*map(_extended, sets, found.evaluations), *sets[count:]]
    return result.updated(**changed)


def _extended(old: Json, new: Evaluation) -> Json:
    """Return what a result says of an evaluation set with further metrics."""
    own = table(old)
    return {**own, "metrics": {**table(own["metrics"]), **metrics_json(new.metrics)}}
