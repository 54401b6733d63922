"""Results of an attack with several triggers as one result a trigger.

Each trigger is put on the same test images and has a target of its own: success over all of them
counts an image once for each, and says of none whether it took. What is known of every probe is
known of each trigger's; what was counted over all of them alone is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from clipbench.evaluation.outcomes import pack, unpack
from clipbench.evaluation.statistics import Proportion
from clipbench.leaderboard.eligibility import SUCCESS
from clipbench.results.store import Result

PARAMETER = "trigger"  # what tells the results of one run apart, among the attack's parameters
_OF_PROBES = ("attack_success_top5", "poisoned_accuracy", "attack_margin")


def by_trigger(results: Iterable[Result]) -> list[Result]:
    """Return the results, those whose attack's probes are in parts as one result a part.

    Such a result has the attack's success and control of one trigger's probes, and the trigger as
    a parameter of the attack. Other metrics of the attack's probes are over all triggers and left
    out. The identifier stays that of the run.
    """
    return [part for result in results for part in _split(result)]


def is_pooled(result: Result) -> bool:
    """Tell whether success is over several triggers that the result does not tell apart."""
    triggers = (result["attack"]["parameters"] or {}).get("triggers")
    several = isinstance(triggers, list | tuple) and len(triggers) > 1
    return several and PARAMETER not in result["attack"]["parameters"]


def _split(result: Result) -> list[Result]:
    parts = result["metrics"].get(SUCCESS, {}).get("parts")
    if not parts:
        return [result]
    found: list[Result] = []
    start = 0
    for part in parts:
        own = slice(start, start + part["n"])
        metrics = {
            name: shown
            for name, metric in result["metrics"].items()
            if (shown := _of_part(name, metric, own)) is not None
        }
        parameters = {PARAMETER: part["name"], **(result["attack"]["parameters"] or {})}
        attack = {**result["attack"], "parameters": parameters}
        found.append({**result, "attack": attack, "metrics": metrics})
        start = own.stop
    return found


def _of_part(name: str, metric: Mapping[str, Any], own: slice) -> Mapping[str, Any] | None:
    """Return a metric of some probes alone, None where that is not known; of no probes: as it is.

    Args:
        name: of the metric.
        metric: as it stands in a result.
        own: where the probes stand among all.
    """
    if name not in _OF_PROBES and not name.removesuffix("_control").endswith(SUCCESS):
        return metric
    if "outcomes" not in metric or "parts" not in metric:
        return None
    outcomes = unpack(metric["outcomes"], metric["n"])[own]
    share = Proportion(int(outcomes.sum()), len(outcomes))
    return {**share.to_json(), "outcomes": pack(outcomes)}
