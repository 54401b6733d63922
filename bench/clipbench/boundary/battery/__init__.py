"""What every plugin of a kind owes, tried in seconds on a few pairs: each check says one thing.

The same checks hold the built-in plugins to their contracts in the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from clipbench.boundary.battery.attacks import HeldOutCorpus, before_poisoning, of_attack, thinned
from clipbench.boundary.battery.checks import POISONS, Check
from clipbench.boundary.battery.datasets import of_dataset
from clipbench.boundary.battery.defenses import before_training, of_defense
from clipbench.boundary.battery.metrics import before_measuring, of_metric
from clipbench.contracts import EvaluationSet, Scene
from clipbench.plugins import registry
from clipbench.plugins.find import Kind
from clipbench.plugins.spec import SpecLike

__all__ = [
    "POISONS",
    "Check",
    "HeldOutCorpus",
    "before_measuring",
    "before_poisoning",
    "before_training",
    "of_attack",
    "of_defense",
    "of_plugin",
    "thinned",
]


def of_plugin(kind: Kind, spec: SpecLike, scenery: EvaluationSet, held_out: Any) -> list[Check]:
    """Try any plugin.

    Args:
        kind: what it is.
        spec: its name, perhaps with parameters.
        scenery: held-out data for attacks and metrics.
        held_out: returns the images that an attacker may target.
    """
    plugin = registry.build(kind, spec)
    scene = thinned(Scene(scenery, held_out, POISONS, 3))
    tries: Mapping[Kind, Callable[[], Iterator[Check]]] = {
        "attack": lambda: of_attack(plugin, scene, HeldOutCorpus(scene.evaluation)),
        "defense": lambda: of_defense(plugin),
        "dataset": lambda: of_dataset(plugin),
        "metric": lambda: of_metric(plugin, scenery),
    }
    return list(tries[kind]())
