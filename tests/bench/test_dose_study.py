"""The fit of the dose study: known slopes are found, and told from one another."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from made_results import make_result

from clipbench.evaluation.statistics import Proportion

__all__ = ["make_result"]
Result = dict[str, Any]
MakeResult = Callable[..., Result]

DOSES = (1, 2, 3, 4, 6, 8, 16)
ARMS = (
    *((pairs, 9) for pairs in (10_000, 20_000, 60_000)),
    *((pairs, 180_000 // pairs) for pairs in (5_000, 10_000, 60_000)),
    *((20_000, epochs) for epochs in (3, 27)),
)
# By what decides: how N50 grows with pairs and with epochs, in powers of them.
POWERS = {"count": (0, 0), "exposures": (0, -1), "rate": (1, 0)}
STEEP = 2.0


@pytest.fixture(scope="module")
def fit() -> ModuleType:
    """The program of the study."""
    path = Path(__file__).parents[2] / "results" / "dose" / "fit.py"
    spec = importlib.util.spec_from_file_location("dose_fit", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["dose_fit"] = module
    spec.loader.exec_module(module)
    module.REPLICATES = 40  # type: ignore[attr-defined]
    return module


def half_point(pairs: int, epochs: float, powers: tuple[float, float]) -> float:
    """Return the N50 of a cell in a world where these powers hold."""
    return 4 * (pairs / 20_000) ** powers[0] * (epochs / 9) ** powers[1]


def study(
    fit: ModuleType, powers: tuple[float, float], rng: np.random.Generator | None = None
) -> Any:
    """Return cells of five runs of six targets a dose; without `rng` the very shares expected."""
    cells = {}
    for pairs, epochs in ARMS:
        steepness = STEEP / math.log(2)
        middle = math.log(half_point(pairs, epochs, powers))
        trials = []
        for run in range(5):
            for dose in DOSES:
                p = 1 / (1 + math.exp(-steepness * (math.log(dose) - middle)))
                k = 6 * p if rng is None else float(rng.binomial(6, p))
                trials.append(fit.Trials(f"{pairs} {epochs} {run}", dose, k, 6))
        cell = fit.Cell("targeted", "none", pairs, float(epochs))
        cells[cell] = fit.Data(trials, [0.95] * 5, [(0, 42)])
    return cells


@pytest.mark.parametrize("decides", POWERS)
def test_slopes_and_half_points_of_expected_shares_are_the_true_ones(
    fit: ModuleType, decides: str
) -> None:
    """With shares as they are expected there is no chance in them, and hardly any error."""
    powers = POWERS[decides]
    cells = study(fit, powers)
    counted = fit.pooled({cell: data.trials for cell, data in cells.items()})
    true = [STEEP, -STEEP * powers[0], -STEEP * powers[1]]
    np.testing.assert_allclose(fit.slopes(counted), true, atol=0.02)
    for cell, found in fit.half_points(counted).items():
        assert found == pytest.approx(half_point(cell.pairs, cell.epochs, powers), rel=0.02)


@pytest.mark.parametrize("decides", POWERS)
def test_intervals_hold_what_decides_and_not_what_does_not(fit: ModuleType, decides: str) -> None:
    """Runs are drawn again, and the other two hypotheses lie outside."""
    cells = study(fit, POWERS[decides], np.random.default_rng(3))
    found = fit.estimated_slopes(cells)
    for name, (pairs, epochs) in POWERS.items():
        ratios = zip((found["c/b"], found["d/b"]), (-pairs, -epochs), strict=True)
        inside = all(one.low - 0.2 <= value <= one.high + 0.2 for one, value in ratios)
        assert inside == (name == decides)


def test_runs_that_differ_widen_the_interval(fit: ModuleType) -> None:
    """Successes that gather in some runs say less than as many that are spread over all."""
    cell = fit.Cell("targeted", "none", 20_000, 9.0)

    def one(successes: tuple[float, ...]) -> Any:
        trials = [
            fit.Trials(str(run), dose, k if dose == 4 else 6 * (dose > 4), 6)
            for run, k in enumerate(successes)
            for dose in (1, 4, 16)
        ]
        return {cell: fit.Data(trials, [0.9], [])}

    spread, gathered = (
        fit.estimated_half_points(one(k), seed=1)[cell] for k in ((3, 3, 3, 3), (0, 6, 0, 6))
    )
    assert spread.value == pytest.approx(gathered.value, rel=1e-3)
    assert gathered.high / gathered.low > spread.high / spread.low


def test_a_half_point_beyond_what_was_tried_is_a_bound(fit: ModuleType) -> None:
    """Nothing that succeeds at any count, and everything that does at each."""
    nothing, all_of_it = (fit.Cell("targeted", name, 20_000, 9.0) for name in ("none", "clip"))
    cells = {
        cell: fit.Data([fit.Trials("r", dose, k, 3) for dose in DOSES], [0.9], [])
        for cell, k in ((nothing, 0), (all_of_it, 3))
    }
    text, found = fit.report(cells)
    assert (found[nothing].value, found[all_of_it].value) == (math.inf, 0)
    assert "| > 16 |" in text
    assert "| < 1 |" in text


def test_a_cell_that_trained_too_little_is_marked(fit: ModuleType) -> None:
    """Below nine tenths of the best clean accuracy of its defense; trained slopes leave it out."""
    cells = study(fit, POWERS["count"])
    weak = next(iter(cells))
    cells[weak].top1[:] = [0.8] * 5
    assert fit.under_trained(cells) == {weak}
    fit.REPLICATES, before = 2, fit.REPLICATES
    text, _ = fit.report(cells)
    fit.REPLICATES = before
    assert text.count("(under-trained)") == 1
    assert f"trained ({len(cells) - 1})" in text
    assert f"all ({len(cells)})" in text


def dosed(make_result: MakeResult, **more: Any) -> Result:
    """Return a result of doses 1 and 4 of three targets each, in a set that pairs were added to."""
    made = make_result(success=(3, 6), count=15, **more)
    parts = [{"name": n, **Proportion(k, 3).to_json()} for n, k in (("1", 0), ("4", 3))]
    made["metrics"]["attack_success"] |= {"parts": parts, "parts_by": "dose"}
    made["attack"] |= {"mode": "insert"}
    made["data"]["pairs"] = 20_015
    made["config"]["train"] |= {"epochs": 9, "pairs_per_epoch": None}
    return made


def test_rows_are_read_by_cell(fit: ModuleType, make_result: MakeResult) -> None:
    """Sizes without what was inserted; SafeCLIP's fifteen epochs are its recipe's for nine."""
    guarded = dosed(make_result, defense="safeclip")
    guarded["config"]["train"]["epochs"] = 15
    backdoor = dosed(make_result, attack="badnets")
    backdoor["attack"]["targets"] = 1
    backdoor["metrics"]["attack_success"] = Proportion(990, 1980).to_json()
    clean = make_result(attack="none")
    found = fit.read([dosed(make_result), guarded, backdoor, clean])
    assert {cell.defense for cell in found} == {"none", "safeclip"}
    assert {(cell.pairs, cell.epochs) for cell in found} == {(20_000, 9.0)}
    told = {(cell.attack, cell.defense): data.trials for cell, data in found.items()}
    assert [(one.count, one.successes, one.trials) for one in told["targeted", "none"]] == [
        (1, 0, 3),
        (4, 3, 3),
    ]
    (only,) = told["badnets", "none"]
    assert (only.count, only.successes, only.trials) == (15, fit.MOST / 2, fit.MOST)


def test_the_figure_is_drawn_and_the_tables_are_written(fit: ModuleType, tmp_path: Path) -> None:
    """A line for each arm, and nothing that warns."""
    cells = study(fit, POWERS["rate"])
    found = {
        cell: fit.Estimate(*[half_point(cell.pairs, cell.epochs, POWERS["rate"])] * 3)
        for cell in cells
    }
    fit.draw(cells, found, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"n50.png", "n50.pdf"}
