"""Tries what a plugin of each kind owes, on a few pairs."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipbench.boundary import battery
from clipbench.configuration.choices import NO_ATTACK
from clipbench.configuration.heldout import HeldOut
from clipbench.configuration.resolution import resolve
from clipbench.contracts import Scene
from clipbench.errors import FailedChecks
from clipbench.plugins import registry
from clipbench.plugins.find import Kind
from clipbench.plugins.spec import Spec, SpecLike

if TYPE_CHECKING:
    from clipbench.contracts import (
        Attack,
        Defense,
        EvaluationSource,
        Metric,
        TrainingSource,
    )

SMALL = "shapes:size=64,test_size=100,targets_size=100"  # the data that plugins are tried on
_SEED = 3


def check_attack(attack: SpecLike | Path | Attack, *, data: str = SMALL) -> list[battery.Check]:
    """Check that an attack makes the poisons it is asked for, wants probes misread, and so on.

    Args:
        attack: the attack; text is completed by the recipe of `data`, as in a run.
        data: the data set whose held-out images it is tried on.

    Returns:
        The checks; those that could not be tried on so few pairs say so in `untried`.

    Raises:
        FailedChecks: naming each check that failed, with the reason.
        BadInput: the plugin cannot be loaded or made.
    """
    return _passed("attack", attack, data)


def check_defense(defense: SpecLike | Path | Defense) -> list[battery.Check]:
    """Check that a defense trains on pairs, that its losses teach the model, and so on.

    Args:
        defense: the defense, tried on imaginary pairs.

    Returns:
        The checks, see `check_attack`.

    Raises:
        FailedChecks, BadInput: see `check_attack`.
    """
    return _passed("defense", defense, SMALL)


def check_dataset(
    dataset: SpecLike | Path | TrainingSource | EvaluationSource,
) -> list[battery.Check]:
    """Check that a data set says how many pairs it has and holds out labelled data.

    Args:
        dataset: the data set; nothing of it is prepared.

    Returns:
        The checks, see `check_attack`.

    Raises:
        FailedChecks, BadInput: see `check_attack`.
    """
    return _passed("dataset", dataset, SMALL)


def check_metric(metric: SpecLike | Path | Metric, *, data: str = SMALL) -> list[battery.Check]:
    """Check that a metric measures numbers by name, and the same when asked again.

    Args:
        metric: the metric, tried on random features.
        data: the data set whose held-out images it is tried on.

    Returns:
        The checks, see `check_attack`.

    Raises:
        FailedChecks, BadInput: see `check_attack`.
    """
    return _passed("metric", metric, data)


def checks_of(kind: Kind, plugin: object, *, data: str = SMALL) -> list[battery.Check]:
    """Return the checks of a plugin, failed ones among them.

    Args:
        kind: what it is.
        plugin: its name, perhaps with parameters, its path, or an object.
        data: the data set whose held-out images attacks and metrics are tried on.

    Raises:
        BadInput: the plugin cannot be loaded or made.
    """
    made = _made(kind, plugin, data)
    if kind == "defense":
        return [*battery.of_defense(made)]
    if kind == "dataset":
        return [*battery.of_dataset(made)]
    held_out = _held_out(data)
    if kind == "metric":
        return [*battery.of_metric(made, held_out.primary)]
    known = Scene(held_out.primary, lambda: held_out.targets, battery.POISONS, _SEED)
    scene = battery.thinned(known)
    return [*battery.of_attack(made, scene, battery.HeldOutCorpus(scene.evaluation))]


def _passed(kind: Kind, plugin: object, data: str) -> list[battery.Check]:
    checks = checks_of(kind, plugin, data=data)
    failed = [f"{check.owes}: {check.problem}" for check in checks if check.problem]
    if failed:
        raise FailedChecks(kind, len(checks), failed)
    return checks


def _made(kind: Kind, plugin: object, data: str) -> Any:
    """Return a plugin as an object; of an attack in text the recipe of the data may say more."""
    if dataclasses.is_dataclass(plugin) and not isinstance(plugin, (type, Spec)):
        return plugin
    spec: Any = str(plugin) if isinstance(plugin, Path) else plugin
    if kind == "attack" and registry.parse(kind, spec).name != NO_ATTACK:
        spec = resolve(data=data, attack=spec, poisons=battery.POISONS).attack
    return registry.build(kind, spec)


@lru_cache(maxsize=4)
def _held_out(data: str) -> HeldOut:
    return HeldOut.of(data, ())
