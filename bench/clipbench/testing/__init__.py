"""Checks of your own plugins, for your own tests: each raises where something is owed.

    from clipbench.testing import check_attack

    def test_my_attack():
        check_attack("my_attack.py:side=8")

A plugin is given by name or path as on the command line, or as an object. The checks are those of
``clipbench describe NAME --check``; they take seconds, on 64 pairs.
"""

from clipbench.boundary.battery import Check
from clipbench.errors import FailedChecks
from clipbench.testing.checks import (
    SMALL,
    check_attack,
    check_dataset,
    check_defense,
    check_metric,
    checks_of,
)

__all__ = [
    "SMALL",
    "Check",
    "FailedChecks",
    "check_attack",
    "check_dataset",
    "check_defense",
    "check_metric",
    "checks_of",
]
