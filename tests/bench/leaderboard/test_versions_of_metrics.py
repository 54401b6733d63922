"""A plugin's metric of several versions is not put together under one name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from as_json import of_json

from clipbench.errors import BadSetting
from clipbench.leaderboard.matrix import to_matrix
from clipbench.leaderboard.tables import leaderboard

leaderboard = of_json(leaderboard)

Result = dict[str, Any]
MakeResult = Callable[..., Result]
GIVEN = ("loud_mean", "attack_success_of_loud")


@pytest.fixture
def measured(make_result: MakeResult) -> Callable[..., Result]:
    """Return a maker of results that a plugin ``loud`` measured, by its parameters and code."""

    def make(seed: int, scale: float, code: str | None = None, **more: Any) -> Result:
        values = {"loud_mean": 3.0 * scale, "attack_success_of_loud": (8, 16)}
        result = make_result(seed=seed, metrics=values)
        plugin = {"name": "loud", "parameters": {"scale": scale}, "code_sha256": code, **more}
        return {**result, "metric_plugins": [plugin]}

    return make


def test_seeds_of_several_parameters_are_not_put_together(
    measured: Callable[..., Result],
) -> None:
    """Their mean would be that of two things; each has columns that say which it is."""
    results = [measured(seed, 1.0 if seed else 2.0, metrics=GIVEN) for seed in range(3)]
    (row,) = leaderboard(results).to_dict("records")
    assert "metrics.loud_mean_mean" not in row
    ones, twos = (f"metrics.loud_mean (scale={scale})" for scale in (1, 2))
    assert (row[f"{ones}_mean"], row[f"{ones}_seeds"]) == (3.0, 2)
    assert (row[f"{twos}_mean"], row[f"{twos}_seeds"]) == (6.0, 1)
    assert row["metrics.attack_success_of_loud (scale=1)_n"] == 32
    assert (row["attack_success_seeds"], row["zeroshot_top1_seeds"]) == (3, 3)
    with pytest.raises(
        BadSetting, match=r"in several versions, 'loud_mean \(scale=1\)' and 'loud_mean \(scale=2"
    ):
        to_matrix(leaderboard(results), "loud_mean")
    assert "3.000 (2/3 seeds)" in to_matrix(leaderboard(results), "loud_mean (scale=1)")


def test_code_tells_versions_apart_too(measured: Callable[..., Result]) -> None:
    """That of a file and that of a package; results that do not say what it gave are no others."""
    for old, new in (
        ({"code": "a" * 64}, {"code": "b" * 64}),
        ({"packages": {"p": "a" * 64}}, {"packages": {"p": "b" * 64}}),
    ):
        before, after = measured(0, 1.0, **old), measured(1, 1.0, **new, metrics=GIVEN)
        (row,) = leaderboard([before, after]).to_dict("records")
        named = [name for name in row if name.startswith("metrics.loud_mean (code=")]
        assert len(named) == 2 * len(("_mean", "_sd", "_seeds"))
        assert {row[name] for name in named if name.endswith("_seeds")} == {1}
    (row,) = leaderboard([measured(0, 1.0), measured(1, 1.0, metrics=GIVEN)]).to_dict("records")
    assert row["metrics.loud_mean_seeds"] == 2
