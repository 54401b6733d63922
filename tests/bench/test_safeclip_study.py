"""The table of what SafeCLIP costs: seed against seed, and no two trainings in one line."""

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
table = of_json(runpy.run_path(str(PRICE))["table"])


def _run(make: Make, defense: str, epochs: int, seed: int, top1: int, seconds: float) -> Result:
    history = [{"epoch": 1, "cross_modal_pairs": 30_000, "pairs": 40_000}]
    made = make(
        attack="none",
        defense=defense,
        seed=seed,
        top1=(top1, 1000),
        seconds=seconds,
        history=history,
        settings={"train": {"epochs": epochs}},
    )
    made["train"]["epochs"] = epochs
    return made


@pytest.fixture
def runs(make_result: Make) -> list[Result]:
    """Two seeds of `clip` at nine and fifteen epochs and of SafeCLIP."""
    return [
        _run(make_result, "safeclip", 15, 0, 950, 120.0),
        _run(make_result, "safeclip", 15, 1, 970, 150.0),
        _run(make_result, "clip", 15, 0, 970, 100.0),
        _run(make_result, "clip", 15, 1, 980, 100.0),
        _run(make_result, "clip", 9, 1, 960, 60.0),
    ]


def test_each_training_is_compared_with_safeclip_of_the_same_seeds(runs: list[Result]) -> None:
    cells = [line.strip("| ").split(" | ") for line in table(runs).splitlines()[2:]]
    assert [line[1:5] for line in cells] == [
        ["clip", "9", "1.5", "1"],
        ["clip", "15", "1.5", "2"],
        ["safeclip", "15", "1.5", "2"],
    ]
    assert [line[7:] for line in cells] == [
        ["96.00", "+1.0 (+1.0 to +1.0)", "60", "2.50 (2.50 to 2.50)"],
        ["97.50", "-1.5 (-2.0 to -1.0)", "100", "1.35 (1.20 to 1.50)"],
        ["96.00", "—", "135", "—"],
    ]


def test_two_runs_of_one_training_and_seed_are_refused(runs: list[Result]) -> None:
    with pytest.raises(ValueError, match=r"two runs of \('none', 'clip', 9\) with seed 1"):
        table([*runs, runs[-1]])


def test_without_safeclip_there_is_nothing_to_compare(runs: list[Result]) -> None:
    with pytest.raises(ValueError, match="0 trainings of SafeCLIP"):
        table(runs[2:])
