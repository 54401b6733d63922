"""What every plugin of a kind owes, tried in seconds on a few pairs: each check says one thing.

The same checks hold the built-in plugins to their contracts in the tests.
"""

from __future__ import annotations

from clipbench.boundary.battery.attacks import HeldOutCorpus, before_poisoning, of_attack, thinned
from clipbench.boundary.battery.checks import POISONS, Check
from clipbench.boundary.battery.datasets import of_dataset
from clipbench.boundary.battery.defenses import before_training, of_defense
from clipbench.boundary.battery.metrics import before_measuring, of_metric

__all__ = [
    "POISONS",
    "Check",
    "HeldOutCorpus",
    "before_measuring",
    "before_poisoning",
    "before_training",
    "of_attack",
    "of_dataset",
    "of_defense",
    "of_metric",
    "thinned",
]
