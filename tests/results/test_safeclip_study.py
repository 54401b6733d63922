"""The tables of what SafeCLIP costs: seed against seed, and no two runs in one place."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from as_json import of_json
from made_results import make_result

__all__ = ["make_result"]
Result = dict[str, Any]
Make = Callable[..., Result]
PRICE = Path(__file__).parents[2] / "results" / "safeclip" / "price.py"
tables = of_json(runpy.run_path(str(PRICE))["tables"])


def _run(make: Make, defense: str, epochs: int, seed: int, top1: int, seconds: float) -> Result:
    made = make(
        attack="none",
        defense=defense,
        defense_parameters={"unimodal_epochs": 1} if defense == "safeclip" else {},
        seed=seed,
        top1=(top1, 1000),
        seconds=seconds,
        history=[{"epoch": 1, "cross_modal_pairs": 30_000, "pairs": 40_000}],
        settings={"train": {"epochs": epochs}},
    )
    made["train"]["epochs"] = epochs
    return made


@pytest.fixture
def runs(make_result: Make) -> list[Result]:
    """Two seeds of SafeCLIP and of `clip` at 15 epochs, one of `clip` at nine."""
    return [
        _run(make_result, "safeclip", 15, 0, 950, 120.0),
        _run(make_result, "safeclip", 15, 1, 970, 150.0),
        _run(make_result, "clip", 15, 0, 970, 100.0),
        _run(make_result, "clip", 15, 1, 980, 100.0),
        _run(make_result, "clip", 9, 1, 960, 60.0),
    ]


def _rows(told: str) -> list[list[str]]:
    """Return the cells of both tables, without their heads."""
    lines = [line.strip("| ").split(" | ") for line in told.splitlines() if line]
    return [line for line in lines if line[0] not in ("attack", "---")]


def test_each_training_is_told_once_over_its_seeds(runs: list[Result]) -> None:
    assert _rows(tables(runs))[:3] == [
        ["none", "clip", "9", "1.5", "1", "—", "—", "96.00", "60"],
        ["none", "clip", "15", "1.5", "2", "—", "—", "97.50", "100"],
        ["none", "safeclip (unimodal\\_epochs=1)", "15", "1.5", "2", "—", "—", "96.00", "135"],
    ]


def test_safeclip_is_compared_with_each_clip_of_the_same_seeds(runs: list[Result]) -> None:
    assert [row[2:] for row in _rows(tables(runs))[3:]] == [
        ["9 epochs", "+1.00 (+1.00 to +1.00)", "2.50 (2.50 to 2.50)"],
        ["15 epochs", "-1.50 (-2.00 to -1.00)", "1.35 (1.20 to 1.50)"],
    ]


def test_two_runs_of_one_training_and_seed_are_refused(runs: list[Result]) -> None:
    with pytest.raises(ValueError, match=r"two runs of \('none', 'clip', 9\) with seed 1"):
        tables([*runs, runs[-1]])
