"""The tables of what SafeCLIP's mixture decides: a run a line, and its first and last safe set."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from as_json import of_json
from made_results import make_result

__all__ = ["make_result"]
Result = dict[str, Any]
TABLE = Path(__file__).parents[2] / "results" / "mixture" / "table.py"


def _entry(epoch: int, size: int, kept: int, auroc: float) -> dict[str, Any]:
    told = {"pairs": 20_000, "poisons_in_epoch": 160, "cross_modal_pairs": size}
    safe = {"safe_set_size": size, "poisons_in_safe_set": kept, "score_auroc": auroc}
    return {"epoch": epoch, **told, **safe}


def test_the_first_and_the_last_safe_set_are_told(make_result: Callable[..., Result]) -> None:
    """After warm-ups without a split; of a mixture and of a given share; `clip` has none."""
    warm_up = {"epoch": 1, "pairs": 20_000, "cross_modal_pairs": 0}
    history = [warm_up, _entry(2, 3_000, 1, 0.9), _entry(3, 5_000, 2, 0.95)]
    paper = {"train": {"crop_scale": 0.08}}
    ours = {"train": {"crop_scale": 0.9}}
    made = [
        make_result(
            defense="safeclip",
            defense_parameters={"first_ratio": ratio},
            success=(2, 16),
            history=history,
            settings=settings,
        )
        for ratio, settings in ((None, paper), (0.5, ours))
    ]
    made.append(make_result(defense="clip", attack="none", history=[warm_up], settings=ours))
    told = of_json(runpy.run_path(str(TABLE))["tables"])(made)
    runs, splits = (part.splitlines()[2:] for part in told.split("\n\n"))
    assert [line.split(" | ")[:5] for line in runs] == [
        ["| none", "clip", "of shapes", "20", "0.0"],
        ["| targeted", "safeclip", "SafeCLIP's", "20", "0.4"],
        ["| targeted", "safeclip", "of shapes", "20", "0.4"],
    ]
    assert splits[0] == (
        "| targeted | mixture | SafeCLIP's | 2 | 3,000 (15.0%) | 1/160 | 0.900 |"
        " 5,000 (25.0%) | 2/160 | 0.950 |"
    )
    assert splits[1].startswith("| targeted | share of 0.5 | of shapes | 2 | 3,000 (15.0%) |")
