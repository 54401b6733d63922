"""Which results stand side by side, in each other's place, and on the same poison.

Two results of one combination and seed are in each other's place: a table has one of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from clipbench.files.checks import parse_time
from clipbench.files.typed import Json
from clipbench.results.labels import (
    asked_of,
    canonical,
    contents_of_tests,
    precision_of,
    rate_text,
    seeds_of,
    seeds_text,
    settings,
)
from clipbench.results.model import Result
from clipbench.text.locations import content_in, get
from clipbench.text.visible import unmistakable, visible
from clipbench.text.words import listed

_Setting = tuple[str, float, int, tuple[object, ...]]  # attack, rate, seed, and all else
SHOWN = 4  # defenses of a set that are named


class Context(NamedTuple):
    """What compared rows share.

    Args:
        attack: name, parameters and rate.
        amount: number of poisoned pairs and of targets.
        model: name, size of its images, precision.
        data: name, parameters, number of pairs, and what was measured on.
        asked: classes and prompts by which images were read.
    """

    attack: tuple[str, str, float]
    amount: tuple[int, int]
    model: tuple[str, str, str]
    data: tuple[str, str, int, str]
    asked: str

    @classmethod
    def of(cls, result: Result) -> Context:
        """Return that of a result."""
        attack, model, data = result.attack, result.model, result.data
        tests, net = data.evaluation.name, model.name
        # What was measured on, and which model, by content where the result has it: by any name or
        # path the same data are the same.
        if contents_of_tests(result.config):
            tests = canonical(result.config["evals"])
        if content := content_in(get(result.config, "train.model")):
            net = f"{net}@{content[:8]}"
        return cls(
            (attack.name, canonical(attack.parameters or {}), result.rate),
            (attack.count, attack.targets or 0),
            (net, canonical(model.image_size), canonical(precision_of(result))),
            (data.name, canonical(data.parameters), data.pairs, tests),
            canonical(asked_of(result)),
        )


def settings_of(result: Result) -> dict[str, Json]:
    """Return the settings of a result that decide what is computed."""
    chosen = settings(result.config)
    if chosen.get("train.precision") == "auto":  # as older configurations have it
        chosen["train.precision"] = precision_of(result)
    return chosen


def age(result: Result) -> tuple[datetime, str]:
    """Return what orders results of several ids in time."""
    return parse_time(result.created), result.id


def place_of(result: Result) -> str:
    """Return what identifies a result's combination and seed: its own id, where it has no seed."""
    seeds = seeds_of(result)
    if None in seeds:
        return result.id
    defense = [result.defense.name, result.defense.parameters]
    return canonical([Context.of(result), defense, settings_of(result), seeds])


def warnings_of(results: Sequence[Result]) -> list[str]:
    """Return all that is to be said of results that a table puts side by side.

    Args:
        results: each id once.
    """
    looks = (different_sets, different_pairs, rivals, mixed_code)
    return [text for look in looks for text in look(results)]


def rivals(results: Iterable[Result]) -> list[str]:
    """Say which results are in each other's place with other numbers, and which of them counts.

    Their settings differ in nothing that decides a number, such as which checkpoints are kept.

    Args:
        results: each id once.

    Returns:
        A sentence for each result that gives way to a newer one.
    """
    found: dict[str, list[Result]] = defaultdict(list)
    for result in sorted(results, key=age):
        found[place_of(result)].append(result)
    return [
        visible(
            f"{unmistakable(older.attack.name)}, {unmistakable(older.defense.name)}, seed"
            f" {older.seed} has several results with other numbers: {older.id} of {older.created}"
            f" gives way to {newer.id} of {newer.created}. Remove the one that is wrong."
        )
        for several in found.values()
        for older, newer in pairwise(several)
        if older.metrics != newer.metrics
    ]


def different_sets(results: Iterable[Result]) -> list[str]:
    """Say of which attack, rate and seed there are results on several poisoned sets.

    Defenses are compared on one set. An attack that learns from a model (`badclip`, `adaptive`)
    writes another one where a processor rounds otherwise, and a plugin does when its code changes.

    Args:
        results: as they are stored.

    Returns:
        A sentence for each, empty where all results can be compared.
    """
    found: dict[_Setting, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        attack, data, (_, seed) = result.attack, result.data, seeds_of(result)
        if not attack.count or not attack.ledger_sha256 or seed is None:
            continue
        others = canonical(attack.parameters or {}), attack.count
        pairs = data.name, canonical(data.parameters), data.pairs
        sets = found[attack.name, result.rate, seed, (*others, *pairs)]
        sets[attack.ledger_sha256].append(result.defense.name)
    return [
        visible(
            f"{unmistakable(name)} at {rate_text(rate)}, seed {seed}, has results on"
            f" {len(sets)} different poisoned sets:"
            f" {'; '.join(_names(defenses) for defenses in sets.values())}. These do not compare;"
            " run them on one machine, with one version of the attack."
        )
        for (name, rate, seed, _), sets in found.items()
        if len(sets) > 1
    ]


def different_pairs(results: Iterable[Result]) -> list[str]:
    """Say of which data set there are clean results on several sets of pairs.

    Another version of a data set, or of what encodes its images, may make other pairs under the
    same parameters; a table puts seeds together all the same, and takes controls of either.

    Args:
        results: each id once.

    Returns:
        A sentence for each, empty where all clean results are on one set.
    """
    found: dict[tuple[object, ...], dict[str, list[Result]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for result in results:
        data = result.data
        if not result.attack.count:
            place = data.name, canonical(data.parameters), data.pairs
            found[place][data.content_sha256].append(result)
    return [
        visible(
            f"{unmistakable(str(name))} of {pairs:,} pairs has clean results on {len(sets)}"
            " different sets of pairs:"
            f" {'; '.join(map(_made_by, sets.values()))}. These do not compare, nor what has them"
            " as its control; run them with one version of the data set."
        )
        for (name, _, pairs), sets in found.items()
        if len(sets) > 1
    ]


def _made_by(results: Sequence[Result]) -> str:
    """Return which results are on one set, and by which versions they were made."""
    versions = sorted({result.environment.clipbench for result in results})
    return f"{_names(result.defense.name for result in results)} (clipbench {listed(versions)})"


def mixed_code(results: Iterable[Result]) -> list[str]:
    """Say which combinations have seeds that other code of a package made than others.

    A run is not known by the code of packages, so a table puts its seeds together all the same. A
    result that does not say which code it was is not compared.

    Args:
        results: each id once.

    Returns:
        A sentence for each combination and package.
    """
    found: dict[tuple[str, str], dict[str, list[Result]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        defense = [result.defense.name, result.defense.parameters]
        row = canonical([Context.of(result), defense, settings_of(result)])
        for package, sha256 in result.environment.packages.items():
            found[row, package][sha256].append(result)
    said = []
    for (_, package), by_code in found.items():
        if len(by_code) > 1:
            one = next(iter(by_code.values()))[0]
            attack = unmistakable(one.attack.name)
            where = f"{attack} at {rate_text(one.rate)}" if one.attack.count else "clean"
            told = [
                f"{', '.join(sorted(map(seeds_text, several)))} of code {sha256[:8]}"
                for sha256, several in by_code.items()
            ]
            said.append(
                visible(
                    f"{where}, {unmistakable(one.defense.name)}, has seeds"
                    f" that other code of {package} made than others: {'; '.join(told)}. These do"
                    " not compare; do those of the older code again."
                )
            )
    return said


def _names(defenses: Iterable[str]) -> str:
    names = sorted({*map(unmistakable, defenses)})
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"
