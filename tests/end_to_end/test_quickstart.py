"""The first command that the guide gives shows what the bench is for."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_runs import command

from clipbench.results.store import load_results


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_quickstart_shows_an_attack_that_takes_and_a_defense_that_stops_it(
    seed: int, tmp_path: Path
) -> None:
    """Whatever the seed; and its last words say so, with the numbers."""
    where = ("--out", tmp_path / "runs", "--cache", tmp_path / "cache")
    done = command("run", "--config", "quickstart", "--seed", seed, *where)
    assert done.status == 0, done.err
    success = {
        result["defense"]["name"]: result["metrics"]["attack_success"]
        for result in load_results([tmp_path / "runs"])
    }
    assert success["none"]["value"] >= 0.75
    assert success["safeclip"]["value"] <= 0.1
    told = " ".join(done.out.split())
    for share in success.values():
        assert f"{share['k']} of {share['n']} test images" in told
