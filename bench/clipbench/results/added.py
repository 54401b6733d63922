"""Adding to a result what was measured after it was written; all else in it stays as it is."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec import structs, to_builtins

from clipbench.evaluation.evaluator import Measurements
from clipbench.evaluation.measured import (
    PROPORTIONS,
    SCALARS,
    Evaluation,
    MetricPlugin,
    metrics_json,
)
from clipbench.evaluation.plugins import CONTROL
from clipbench.files.typed import Json, items, table
from clipbench.results.model import Result


def taken_names(result: Result, renewed: Collection[str]) -> set[str]:
    """Return the names of a result's metrics that no plugin may give when it is added.

    Args:
        result: the result.
        renewed: names of the plugins; what they gave before is replaced. Where an older result
            doesn't say what they gave, what is no metric of ours may be theirs.
    """
    sets = (result.metrics, *(item.metrics for item in result.evaluations))
    names = {name for metrics in sets for name in metrics}
    own = [plugin for plugin in result.metric_plugins if plugin.name in renewed]
    if not all(plugin.metrics for plugin in own):
        names &= {*PROPORTIONS, *SCALARS}
    return names - {name for plugin in own for name in plugin.metrics}


def with_measured(
    result: Result, found: Measurements, plugins: Sequence[MetricPlugin] = ()
) -> Result:
    """Return a result with further metrics, those of the same names replaced.

    What a plugin gave before that is measured anew is gone, also where it gives other names now.

    Args:
        result: the result.
        found: what was measured: metrics that tables show, and those of each evaluation set.
        plugins: what measured it.

    Raises:
        Objection: they make no result.
    """
    record, renewed = result.record, {plugin.name for plugin in plugins}
    before = [plugin for plugin in result.metric_plugins if plugin.name in renewed]
    gone = {name for plugin in before for name in plugin.metrics}  # or measured anew
    stale = {f"{name}{CONTROL}" for name in (*found.metrics, *gone)}
    metrics = {k: v for k, v in table(record["metrics"]).items() if k not in gone | stale}
    changed: dict[str, Json] = {"metrics": {**metrics, **metrics_json(found.metrics)}}
    if plugins:
        known = items(record.get("metric_plugins", ()))
        kept = [item for item in known if table(item)["name"] not in renewed]
        told = [structs.replace(one, metrics=found.given.get(one.name, ())) for one in plugins]
        changed["metric_plugins"] = [*kept, *to_builtins(told)]
    if "evaluations" in record:
        sets, count = items(record["evaluations"]), len(found.evaluations)
        new = [_extended(*pair, gone) for pair in zip(sets, found.evaluations, strict=False)]
        changed["evaluations"] = [*new, *sets[count:]]
    return result.updated(**changed)


def _extended(old: Json, new: Evaluation, gone: Collection[str]) -> Json:
    """Return what a result says of an evaluation set with further metrics, without some."""
    own = table(old)
    kept = {name: value for name, value in table(own["metrics"]).items() if name not in gone}
    return {**own, "metrics": {**kept, **metrics_json(new.metrics)}}
