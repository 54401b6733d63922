"""Checks of plugins, for anybody's tests and for `clipbench describe --check`.

    from clipbench.testing import check_attack

    def test_my_attack():
        check_attack("my_attack.py:side=8")

Each raises `FailedChecks` where a plugin fails one. A plugin is given by name or path, as on the
command line, or as an object; it is tried on 64 pairs, which takes seconds.
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
