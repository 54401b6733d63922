"""A baseline of four runs, and results for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from clipbench.evaluation.statistics import Proportion
from clipbench.sweep.grid import Grid, read_grid

CONTENT: dict[str, Any] = {
    "data": "shapes:size=400",
    "grid": [{"attack": ["badnets", "sig"], "rate": "2%", "defense": ["none", "safeclip"]}],
}
MACHINE = {"cpu": "Example CPU", "cores": 2, "gpus": []}
Counts = tuple[int, int]


@pytest.fixture
def baseline(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the grid with these bands and gives the file."""

    def write(*bands: dict[str, Any], **top: Any) -> Path:
        file = tmp_path / "baseline.yaml"
        file.write_text(yaml.safe_dump({**CONTENT, **top, "bands": list(bands)}))
        return file

    return write


@pytest.fixture
def grid(baseline: Callable[..., Path]) -> Grid:
    """The runs of the baseline."""
    return read_grid(baseline(), others=("bands",))


@pytest.fixture
def results(grid: Grid) -> dict[str, dict[str, Any]]:
    """What runs leave: undefended 95 of 100 and 10 s, defended 2 of 100 and 25 s."""
    return {config.id: _result(config.defense_name == "none") for config in grid.configs}


def _result(undefended: bool) -> dict[str, Any]:
    metrics: dict[str, Any] = {
        "attack_success": Proportion(95 if undefended else 2, 100).to_json(),
        "zeroshot_top1": Proportion(800, 1000).to_json(),
    }
    if not undefended:
        metrics["score_auroc"] = {"value": 0.99, "k": None, "n": 400, "low": None, "high": None}
    seconds = 10.0 if undefended else 25.0
    train = {
        "seconds": 9.0,
        "cpu_seconds": seconds,
        "device": "cpu",
        "precision": "fp32",
        "processes": 1,
    }
    return {"metrics": metrics, "train": train, "environment": {"hardware": dict(MACHINE)}}
