"""Results of an attack whose probes are of several kinds as one result a kind.

Of an attack with several triggers each is put on the same test images and has a target of its own:
success over all of them counts an image once for each, and says of none whether it succeeded. Where
targets get different numbers of poisoned pairs, each number is a dose, and success over all targets
is that of none of them. What is known of every probe is known of each part's; what was counted over
all of them alone is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import structs

from clipbench.evaluation.measured import Metric
from clipbench.evaluation.outcomes import pack, unpack
from clipbench.evaluation.statistics import Proportion
from clipbench.leaderboard.eligibility import SUCCESS
from clipbench.results.model import Kind, Result

# How names of metrics of the attack's probes end, whatever read-out or key stands before.
_OF_PROBES = re.compile(r"(attack_success(_top\d+)?|poisoned_accuracy|attack_margin)(_control)?$")


def by_part(results: Iterable[Result]) -> list[Result]:
    """Return the results, those whose attack's probes are in parts as one result a part.

    Such a result has the attack's success and control of one part's probes, and what the part is, a
    ``trigger`` or a ``dose``, as a parameter of the attack. Other metrics of the attack's probes
    are over all parts and left out. The identifier stays that of the run.
    """
    return [part for result in results for part in _split(result)]


def is_pooled(result: Result) -> bool:
    """Return whether success is over several triggers that the result does not tell apart."""
    parameters = result.attack.parameters or {}
    triggers = parameters.get("triggers")
    several = isinstance(triggers, list | tuple) and len(triggers) > 1
    return several and result.part is None


def _split(result: Result) -> list[Result]:
    success = result.metrics.get(SUCCESS)
    if success is None or not success.parts:
        return [result]
    found: list[Result] = []
    start, kind = 0, success.parts_by
    for number, part in enumerate(success.parts):
        own = slice(start, start + part.n)
        metrics = {
            name: shown
            for name, metric in result.metrics.items()
            if (shown := _of_part(name, metric, own)) is not None
        }
        parameters = {kind: part.name, **(result.attack.parameters or {})}
        attack = structs.replace(result.attack, parameters=parameters)
        found.append(result.narrowed(attack, metrics, Kind(kind, part.name, number)))
        start = own.stop
    return found


def _of_part(name: str, metric: Metric, own: slice) -> Metric | None:
    """Return a metric of some probes alone, None where that is not known; of no probes: as it is.

    Args:
        name: of the metric.
        metric: as it stands in a result.
        own: where the probes stand among all.
    """
    if not _OF_PROBES.search(name):
        return metric
    share = metric.share
    if share is None or metric.outcomes is None or metric.parts is None:
        return None
    outcomes = unpack(metric.outcomes, share.n)[own]
    return Metric.of(Proportion(int(outcomes.sum()), len(outcomes)), pack(outcomes))
