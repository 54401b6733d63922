"""What `clipbench describe NAME --check` tries, tried on every plugin that is registered."""

from __future__ import annotations

import pytest

from clipbench.plugins import registry
from clipbench.plugins.find import Kind
from clipbench.testing import SMALL, check_attack, check_dataset, check_defense, check_metric

TRIED: list[tuple[Kind, str]] = [
    *(("attack", name) for name in registry.names("attack") if name not in {"none", "badclip"}),
    *(("defense", name) for name in registry.names("defense")),
    *(("metric", name) for name in registry.names("metric")),
    ("dataset", SMALL),
]
TOO_FEW = {"label_consistent", "mismatch", "linear_probe"}  # of whose kind 64 pairs have too few


CHECKS = {
    "attack": check_attack,
    "defense": check_defense,
    "dataset": check_dataset,
    "metric": check_metric,
}


@pytest.mark.parametrize(("kind", "name"), TRIED)
def test_every_plugin_passes_its_checks(kind: Kind, name: str) -> None:
    """Nothing fails, and all is tried but where the few pairs of the trial do not do."""
    checks = CHECKS[kind](name)  # type: ignore[operator]
    assert checks
    if name not in TOO_FEW:
        assert [check for check in checks if check.untried] == []
