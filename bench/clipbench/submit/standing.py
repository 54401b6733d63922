"""Whether two results say the same of a run, or one says all that the other does and more."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from msgspec import to_builtins

from clipbench.files.typed import Json, items, table
from clipbench.reproduce.resolved import same_json
from clipbench.results.model import Result
from clipbench.results.provenance import Training

# Of a training run, what may differ from one time to the next though the numbers are the same.
_TIMES = (
    *("seconds", "seconds_shared", "cpu_seconds", "pairs_per_second"),
    *("peak_memory_bytes", "device", "threads", "ways"),
)
_NUMBERS = ("config", "data", "attack", "defense", "model", "seed", "exposures", "history")


class Standing(Enum):
    """What a result says of a run beside what another says of it."""

    SAME = "the same"
    MORE = "the same and more"
    LESS = "a part of it"
    OTHER = "something else"


def standing(result: Result, before: Result) -> Standing:
    """Return what a result says beside an earlier one; when, where and how fast do not count.

    Measurements may have been added to either, as a clean control or a metric; those that both have
    must be the same.

    Args:
        result: a result.
        before: another of the same run.
    """
    if differences(result, before):
        return Standing.OTHER
    mine, theirs = _measured(result), _measured(before)
    more, less = mine.keys() - theirs.keys(), theirs.keys() - mine.keys()
    if more and less:
        return Standing.OTHER
    return Standing.MORE if more else Standing.LESS if less else Standing.SAME


def differences(result: Result, before: Result) -> list[str]:
    """Return in what two results of one run say another thing: names of fields and of metrics.

    Args:
        result: a result.
        before: another of the same run, see `standing`.
    """
    own, other = _numbers(result), _numbers(before)
    found = [key for key in own if not same_json(own[key], other[key])]
    mine, theirs = _measured(result), _measured(before)
    shared = mine.keys() & theirs.keys()
    apart = {
        name for place, name in shared if not same_json(mine[place, name], theirs[place, name])
    }
    return found + sorted(apart - {*found})


def amounts(train: Training) -> dict[str, Json]:
    """Return what a training run told but for when, where and how fast it was made."""
    return {key: value for key, value in to_builtins(train).items() if key not in _TIMES}


def _numbers(result: Result) -> dict[str, Json]:
    """Return what a run is and what its training told."""
    trained = table(result.record["train"] or {})
    train = {key: value for key, value in trained.items() if key not in _TIMES}
    sets = [{**table(item), "metrics": None} for item in _evaluations(result)]
    told = {name: result.record.get(name) for name in _NUMBERS}
    return {**told, "train": train, "evaluations": sets}


def _measured(result: Result) -> Mapping[tuple[int | None, str], Json]:
    """Return every metric, by the place of its evaluation set and its name; None: of the tables."""
    of_sets = enumerate(_evaluations(result))
    return {
        (place, name): metric
        for place, told in ((None, result.record), *of_sets)
        for name, metric in table(told["metrics"]).items()
    }


def _evaluations(result: Result) -> list[Mapping[str, Json]]:
    return [table(item) for item in items(result.record.get("evaluations") or ())]
