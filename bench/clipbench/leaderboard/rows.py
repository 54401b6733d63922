"""Which results make one row of the leaderboard, and which rows are held against each other."""

from __future__ import annotations

import hashlib
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from statistics import median

from msgspec import structs

from clipbench.evaluation.measured import MetricPlugin
from clipbench.files.typed import Json
from clipbench.results.labels import Labels, canonical, differing, label, seeds_of
from clipbench.results.model import Result
from clipbench.results.provenance import Again
from clipbench.results.side_by_side import Context, age, settings_of

FIRST = ("none", "clip")  # the defenses that all others are held against
CONTROL = "_control"  # behind the name of a success: the same of a model of clean data
_OF_CONTEXT = re.compile(r"(code\.)?(attack|rate|data|evals|model)(\.|$)")  # settings


@dataclass
class Row:
    """All results of one combination, one a seed."""

    context: Context
    defense: str
    settings: dict[str, Json]
    results: list[Result] = field(default_factory=list)
    defense_label: str = ""


def group(results: Sequence[Result], labels: Labels) -> list[Row]:
    """Return the rows of the table, each with its newest result a seed, in the order of seeds.

    One label is one way to train: of a defense whose settings differ anywhere on a model and data
    set, under whatever attacks, each row's label tells its own. Else a matrix or a ranking would
    join what was tuned for each attack to one defense.
    """
    families: dict[tuple[object, ...], dict[str, Row]] = defaultdict(dict)
    everywhere: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for result in results:
        context, defense, chosen = Context.of(result), result.defense, settings_of(result)
        parameters, key = canonical(defense.parameters), canonical(chosen)
        family = families[context, defense.name, parameters]
        if key not in family:
            family[key] = Row(context, defense.name, chosen)
            place = context.model, context.data, defense.name, parameters
            everywhere[place].append(family[key])
        family[key].results.append(result)
    trained: dict[int, set[str]] = {}
    for rows in everywhere.values():
        trained |= dict.fromkeys(map(id, rows), differing(map(_of_training, rows)))
    for family in families.values():
        apart_here = differing(row.settings for row in family.values())
        for row in family.values():
            apart = apart_here | trained[id(row)]
            row.results = _one_a_seed(row.results)
            shown = labels.shown("defense", row.results[0])
            chosen = {key: row.settings[key] for key in sorted(apart & row.settings.keys())}
            short = {key.removeprefix("train."): value for key, value in chosen.items()}
            told = chosen if short.keys() & shown.keys() else short
            row.defense_label = label(row.defense, told | shown)
    return [row for family in families.values() for row in family.values()]


def told_apart(results: Sequence[Result]) -> list[Result]:
    """Return results whose plugins' metrics have a name of their own for each version of a plugin.

    A run is not known by its metrics, so that of one metric some results may have been measured
    with other parameters or other code than others: under one name they would be pooled. Where all
    are of one version the name stays; else it says what differs, ``NAME (scale=2)``, or, where that
    is the code, the beginning of its hash. An older result does not say what its plugins gave, and
    is taken to have what begins with a plugin's name from it.
    """
    found: dict[str, dict[str, dict[str, Json]]] = defaultdict(dict)
    for result in results:
        for name, plugin in _given(result):
            found[name][canonical(_version(plugin))] = _version(plugin)
    apart = {name: differing(own.values()) for name, own in found.items() if len(own) > 1}
    return [_renamed(result, apart) for result in results] if apart else [*results]


def _given(result: Result) -> list[tuple[str, MetricPlugin]]:
    """Return names of a result's metrics, each with the plugin that gave it."""
    return [
        (name, plugin)
        for plugin in result.metric_plugins
        for name in plugin.metrics
        or [name for name in result.metrics if f"{name}_".startswith(f"{plugin.name}_")]
    ]


def _version(plugin: MetricPlugin) -> dict[str, Json]:
    """Return what decides the numbers of a metric: its parameters and its code."""
    code = plugin.code_sha256
    if code is None and plugin.packages:
        code = hashlib.sha256(canonical(dict(plugin.packages)).encode()).hexdigest()
    return {**plugin.parameters, "code": code}


def _renamed(result: Result, apart: Mapping[str, set[str]]) -> Result:
    """Return a result in which some metrics are named after the plugin's version, too."""
    names: dict[str, str] = {}
    for name, plugin in _given(result):
        version = _version(plugin)
        if shown := {key: version[key] for key in sorted(apart.get(name, ()) & version.keys())}:
            names[name] = label(name, shown)
            names[f"{name}{CONTROL}"] = f"{names[name]}{CONTROL}"
    metrics = {names.get(name, name): metric for name, metric in result.metrics.items()}
    return result.narrowed(result.attack, metrics, result.part)


def _of_training(row: Row) -> dict[str, Json]:
    """Return the settings of a row that its attack, data and evaluation do not decide."""
    return {key: value for key, value in row.settings.items() if not _OF_CONTEXT.match(key)}


def _one_a_seed(results: Iterable[Result]) -> list[Result]:
    """Return one result per seed of training and of poison, the newest; all without a seed."""
    kept: dict[tuple[int, int, str], Result] = {}
    for result in sorted(results, key=age):
        seed, drawn = seeds_of(result)
        kept[(0, 0, result.id) if seed is None or drawn is None else (seed, drawn, "")] = result
    return [kept[key] for key in sorted(kept)]


def order(row: Row) -> tuple[object, ...]:
    """Return what rows are sorted by: attack, rate, then defense, with `FIRST` first."""
    (name, parameters, rate), size, model, data, asked = row.context
    number = 0
    if part := row.results[0].part:  # in the order of the probes: doses rise
        number = part.number
        own = row.results[0].attack.parameters or {}
        parameters = canonical({key: own[key] for key in own if key != part.by})
    place = FIRST.index(row.defense) if row.defense in FIRST else len(FIRST)
    clean_last = name == "none"
    return (
        (clean_last, name, parameters, number, rate, size, place, row.defense, row.defense_label),
        (model, data, asked, canonical(row.settings)),
    )


def baseline(row: Row, undefended: Sequence[Row]) -> list[Result]:
    """Return the undefended runs a row is held against.

    They are those of its own settings; where there are none, as for a defense with a recipe of its
    own, those that agree with it in all that undefended runs differ in, or in all of that but for
    epochs, of which recipes have other numbers; else all of them.
    """
    own = common_settings(row)
    tables = [(other, common_settings(other)) for other in undefended]
    found = [other for other, table in tables if table == own]
    if not found:
        apart = differing(table for _, table in tables)
        for keys in (apart - {"train.epochs"}, apart):  # the latter, where there are any
            agreeing = [
                other for other, table in tables if all(table.get(k) == own.get(k) for k in keys)
            ]
            found = agreeing or found
    return [result for other in found or undefended for result in other.results]


def common_settings(row: Row) -> dict[str, Json]:
    """Return the settings of a row that are not the defense's own.

    Its code is its own, and so are the pairs that it is told are clean: no other is given any.
    """
    own = re.compile(r"(code\.)?(defense|trusted)(\.|$)")
    return {key: value for key, value in row.settings.items() if not own.match(key)}


def relative_cost(
    results: Sequence[Result], reference: Sequence[Result]
) -> tuple[float | None, list[Result]]:
    """Return training time relative to other results, and to which of them, machine by machine.

    On each machine where both were trained, in one precision, by as many processes and threads, the
    cost is the ratio of their medians; of several machines it is the median. Seconds of different
    machines do not compare: medians over all of them would tell which machine had more of the runs;
    and a training that went on in another way has seconds of both.

    Trainings of a run that was made again on another machine count there (`Again`).

    On CPUs of processors' seconds, for other work on the machine changes those little; on GPUs of
    seconds that passed. A machine on which one of the runs does not tell them is left out. None: no
    machine is left.
    """
    own, others = _spent_by_machine(results), _spent_by_machine(reference)
    ratios = {
        machine: median(own[machine]) / median(others[machine])
        for machine in own.keys() & others.keys()
        if all(own[machine]) and all(others[machine])
    }
    # Others are of no real seconds.
    finite = {machine: ratio for machine, ratio in ratios.items() if math.isfinite(ratio)}
    used = [
        result
        for result in reference
        if finite.keys() & set(map(_machine_and_threads, _trainings(result)))
    ]
    return (median(finite.values()) if finite else None), used


def _spent_by_machine(results: Iterable[Result]) -> dict[str, list[float]]:
    """Return the seconds that trainings are charged with, by machine; 0: they are not known."""
    spent: dict[str, list[float]] = defaultdict(list)
    for training in chain.from_iterable(map(_trainings, results)):
        if (train := training.train) is not None:
            seconds = train.cpu_seconds if train.device == "cpu" else train.seconds
            spent[_machine_and_threads(training)].append(seconds)
    return spent


def _trainings(result: Result) -> list[Result | Again]:
    return [result, *result.again]


def _machine_and_threads(result: Result | Again) -> str:
    """Return what trainings must share for their seconds to compare; empty: nothing was trained."""
    if (train := result.train) is None:
        return ""
    told = [train.device, train.precision, train.processes, train.threads, train.ways]
    return canonical([told, structs.asdict(result.environment.hardware)])
