"""What `clipbench describe NAME --check` tries, tried on every plugin that is registered."""

from __future__ import annotations

import pytest

from clipbench.boundary import battery
from clipbench.configuration.config import resolve
from clipbench.configuration.heldout import HeldOut
from clipbench.plugins import registry
from clipbench.plugins.find import Kind

DATA = "shapes:size=64,test_size=100,targets_size=100"
TRIED: list[tuple[Kind, str]] = [
    *(("attack", name) for name in registry.names("attack") if name not in {"none", "badclip"}),
    *(("defense", name) for name in registry.names("defense")),
    *(("metric", name) for name in registry.names("metric")),
    ("dataset", DATA),
]
TOO_FEW = {"label_consistent", "mismatch", "linear_probe"}  # of whose kind 64 pairs have too few


@pytest.fixture(scope="module")
def held_out() -> HeldOut:
    return HeldOut.of(DATA, ())


@pytest.mark.parametrize(("kind", "name"), TRIED)
def test_every_plugin_passes_its_checks(kind: Kind, name: str, held_out: HeldOut) -> None:
    """Nothing fails, and all is tried but where the few pairs of the trial do not do."""
    spec = resolve(data=DATA, attack=name, poisons=8).attack if kind == "attack" else name
    checks = battery.of_plugin(kind, spec, held_out.primary, lambda: held_out.targets)
    assert [check for check in checks if check.problem] == []
    if name not in TOO_FEW:
        assert [check for check in checks if check.untried] == []
