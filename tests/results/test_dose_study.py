"""The fit of the dose study: known slopes are found, told from one another, and held as often."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from dose_programs import STUDY, fit, modules
from made_results import make_result

from clipbench.evaluation.statistics import Proportion
from clipbench.results.result import config_hash

__all__ = ["fit", "make_result", "modules"]
Result = dict[str, Any]
MakeResult = Callable[..., Result]
Design = dict[tuple[str, str], list[Any]]

DOSES = (1, 2, 3, 4, 6, 8, 16)
ARMS = (
    *((pairs, 9) for pairs in (10_000, 20_000, 60_000)),
    *((pairs, 180_000 // pairs) for pairs in (5_000, 10_000, 60_000)),
    *((20_000, epochs) for epochs in (3, 27)),
)
# By what decides: how N50 grows with pairs and with epochs, in powers of them.
POWERS = {"count": (0, 0), "exposures": (0, -1), "rate": (1, 0)}
STEEP = 2.0
# What each arm identifies.
ARM_SLOPES = {
    "equal epochs": {"b", "c", "c/b"},
    "equal samples": {"b", "c − d", "(c − d)/b"},
    "more epochs": {"b", "d", "d/b"},
}


@pytest.fixture(scope="module")
def simulate(modules: dict[str, ModuleType]) -> ModuleType:
    """The program that measures coverage."""
    return modules["simulate"]


@pytest.fixture(scope="module")
def design(simulate: ModuleType) -> Design:
    """The runs of the grids, by attack and defense."""
    found: Design = simulate.planned(STUDY)
    return found


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
                trials.append(fit.Trials(f"{pairs} {epochs} {run}", str(run), dose, k, 6))
        cell = fit.Cell("targeted", "none", pairs, float(epochs))
        cells[cell] = fit.Data(trials, [0.95] * 5, [(0, 42)])
    return cells


def shares(fit: ModuleType, cells: Any) -> Any:
    """Return the trials of cells as arrays."""
    return fit.arranged({cell: data.trials for cell, data in cells.items()})


def one_cell(
    fit: ModuleType, successes: Callable[[int, int], float], runs: int, pairs: int = 20_000
) -> Any:
    """Return a cell of runs with successes by run and dose, of three targets."""
    trials = [
        fit.Trials(f"{pairs} {run}", str(run), dose, successes(run, dose), 3)
        for run in range(runs)
        for dose in DOSES
    ]
    return {fit.Cell("targeted", "none", pairs, 9.0): fit.Data(trials, [0.9], [])}


@pytest.mark.parametrize("decides", POWERS)
def test_slopes_and_half_points_of_expected_shares_are_the_true_ones(
    fit: ModuleType, decides: str
) -> None:
    """With shares as they are expected there is no chance in them, and hardly any error."""
    powers = POWERS[decides]
    cells = study(fit, powers)
    b, c, d = STEEP, -STEEP * powers[0], -STEEP * powers[1]
    true = {"b": b, "c": c, "d": d, "c − d": c - d, "c/b": c / b, "d/b": d / b}
    for name, one in fit.slopes(shares(fit, cells)).items():
        assert one.value == pytest.approx({**true, "(c − d)/b": (c - d) / b}[name], abs=0.01)
    points, dispersion = fit.half_points(shares(fit, cells))
    assert dispersion.correlation == 0
    for cell, found in points.items():
        assert found.value == pytest.approx(half_point(cell.pairs, cell.epochs, powers), rel=0.01)


@pytest.mark.parametrize("decides", POWERS)
@pytest.mark.parametrize("arm", ARM_SLOPES)
def test_each_arm_has_the_slopes_that_it_identifies(
    fit: ModuleType, arm: str, decides: str
) -> None:
    """With equal samples log2(epochs) is a constant less log2(pairs): only c − d is known there."""
    powers = POWERS[decides]
    holds = fit.ARMS[arm].holds
    cells = {cell: data for cell, data in study(fit, powers).items() if holds(cell)}
    assert len(cells) >= 3
    found = fit.slopes(shares(fit, cells))
    assert {name for name, one in found.items() if not math.isnan(one.value)} == ARM_SLOPES[arm]
    expected = {"c/b": -powers[0], "d/b": -powers[1], "(c − d)/b": powers[1] - powers[0]}
    for name in ARM_SLOPES[arm] & expected.keys():
        assert found[name].value == pytest.approx(expected[name], abs=0.01)
        assert found[name].low <= found[name].value <= found[name].high
    line = next(one for one in fit.table_of_slopes(cells) if f"| {arm} (" in one)
    assert line.count(" — |") == 4


@pytest.mark.parametrize("decides", POWERS)
def test_intervals_hold_what_decides_and_not_what_does_not(fit: ModuleType, decides: str) -> None:
    """The other two hypotheses lie outside."""
    cells = study(fit, POWERS[decides], np.random.default_rng(5))
    found = fit.slopes(shares(fit, cells))
    for name, (pairs, epochs) in POWERS.items():
        ratios = zip((found["c/b"], found["d/b"]), (-pairs, -epochs), strict=True)
        inside = all(one.low <= value <= one.high for one, value in ratios)
        assert inside == (name == decides)


@pytest.mark.parametrize("side", [("targeted", "safeclip"), ("badnets", "none")])
def test_intervals_hold_the_true_value_about_as_often_as_they_say(
    simulate: ModuleType, design: Design, side: tuple[str, str]
) -> None:
    """Runs of the grids, of few seeds, whose trials go together.

    Of 60 experiments 95% intervals miss more than 9 times once in 1,000 times. A bootstrap over the
    runs of each cell missed c in 9 of 30 experiments of `safeclip`, and N50 in 50 of 150 cells.
    """
    varied = simulate.WAYS["runs and targets"]
    held, _ = simulate.coverage(design[side], simulate.WORLDS["exposures"], varied, 60)
    assert 0.92 <= held["N50"] <= 0.99
    for name in ("b", "c", "d", "c/b", "d/b", "equal epochs: c/b", "equal samples: (c − d)/b"):
        assert held[name] >= 1 - 9 / 60


def test_the_design_is_that_of_the_grids(design: Design) -> None:
    """A target's doses are of one draw in all cells; a set of other doses has a draw of its own."""
    targeted = design["targeted", "none"]
    assert len({run.draw for run in targeted}) == 6
    assert {run.cell.epochs for run in design["targeted", "safeclip"]} == {3, 9, 18, 36}
    assert {tuple(run.trials.items()) for run in targeted} == {
        tuple((dose, 3) for dose in DOSES),
        tuple((dose, 64) for dose in (1, 2, 4, 8)),
        tuple((dose, 16) for dose in (16, 32, 64, 128)),
    }
    assert len({run.draw for run in design["badnets", "none"]}) == 10


def test_the_coverage_is_printed(
    simulate: ModuleType,
    design: Design,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A row for each way in which runs vary, of all that have three draws of poison or more."""
    few = {side: design[side] for side in (("targeted", "safeclip"), ("badnets", "safeclip"))}
    monkeypatch.setattr(simulate, "planned", lambda _: few)
    simulate.main(["--experiments", "2"])
    _, _, *rows = capsys.readouterr().out.splitlines()
    assert [row.split(" | ")[:3] for row in rows] == [
        ["| targeted", "safeclip", way] for way in simulate.WAYS
    ]
    assert all("% (" in row for row in rows)


def test_an_interval_has_the_numbers_that_the_score_test_does_not_refuse(
    fit: ModuleType, modules: dict[str, ModuleType]
) -> None:
    """On a grid of numbers beside, for a cell of few runs."""
    n50 = modules["n50"]
    cells = study(fit, POWERS["rate"], np.random.default_rng(1))
    own = shares(fit, cells)
    points, dispersion = fit.half_points(own)
    place = next(i for i, cell in enumerate(own.cells) if cell.pairs == 20_000)
    found = points[own.cells[place]]
    assert 1 < found.low < found.value < found.high < 16
    for point in np.linspace(0, 4, 30):
        accepted = abs(n50.score(own, place, point, dispersion)) <= 1
        assert accepted == (found.low <= 2**point <= found.high)


def test_the_correlation_within_runs_is_found(
    fit: ModuleType, modules: dict[str, ModuleType]
) -> None:
    """Also beside a run of many more targets, whose cell has no other and says nothing of it."""
    rng = np.random.default_rng(0)
    cell, lonely = (fit.Cell("targeted", "none", pairs, 9.0) for pairs in (20_000, 60_000))

    def one(cell: Any, run: int, n: int) -> list[Any]:
        p = rng.beta(2, 2)  # trials of one run have a correlation of 1 / (2 + 2 + 1)
        return [fit.Trials(f"{cell} {run}", f"{run}", 4, rng.binomial(n, p), n)]

    trials = {cell: [one(cell, run, 5)[0] for run in range(4_000)], lonely: one(lonely, 0, 500)}
    own = fit.arranged(trials)
    coefficients = modules["curves"].logistic(own.levels, own.share)
    found = modules["n50"].dispersed(own, own.levels, coefficients)
    assert found.correlation == pytest.approx(0.2, abs=0.015)
    assert found.freedom == pytest.approx(3_999, rel=1e-3)


def test_a_lonely_run_of_many_targets_has_the_interval_of_its_run(
    simulate: ModuleType, modules: dict[str, ModuleType], design: Design
) -> None:
    """64 targets a dose say much about this run, and the cells beside little of how runs vary.

    With the degrees of freedom of all cells its interval held the true value in 89% of experiments.
    """
    runs = design["targeted", "none"]
    world, varied = simulate.WORLDS["exposures"], simulate.WAYS["runs"]
    rng = np.random.default_rng(0)
    held = []
    for _ in range(100):
        own = modules["curves"].arranged(simulate.drawn(runs, world, varied, rng))
        design_ = np.column_stack([own.logs[:, 0], own.levels])
        fitted = modules["curves"].logistic(design_, own.share)
        dispersion = modules["n50"].dispersed(own, design_, fitted)
        place = next(
            i for i, cell in enumerate(own.cells) if (cell.pairs, cell.epochs) == (10**6, 9)
        )
        true = simulate.log_half_point(own.cells[place], world)
        held.append(abs(modules["n50"].score(own, place, true, dispersion)) <= 1)
    assert np.mean(held) >= 0.94


def test_runs_that_differ_widen_the_interval(fit: ModuleType) -> None:
    """Successes that gather in some runs say less than as many that are spread over all."""

    def one(*successes: float) -> Any:
        cells = one_cell(
            fit, lambda run, dose: successes[run] if dose == 4 else 3.0 * (dose > 4), 4
        )
        points, _ = fit.half_points(shares(fit, cells))
        return next(iter(points.values()))

    spread, gathered = one(1.5, 1.5, 1.5, 1.5), one(0, 3, 0, 3)
    assert spread.value == pytest.approx(gathered.value, rel=1e-3)
    assert gathered.low < spread.low
    assert spread.high < gathered.high


def test_one_run_has_a_half_point_without_an_interval(fit: ModuleType) -> None:
    """It can't say how runs vary; beside cells of several runs, these say it."""
    alone = one_cell(fit, lambda _, dose: min(3, dose // 2), 1)
    text, _ = fit.report(alone)
    assert "| 3.0 [—] |" in text
    assert "| — | 0.0 |" in text
    beside = one_cell(fit, lambda run, dose: min(3, (dose + run) // 2), 3, pairs=60_000)
    points, _ = fit.half_points(shares(fit, {**alone, **beside}))
    assert all(one.low < one.value < one.high for one in points.values())


def test_a_half_point_beyond_what_was_tried_is_a_bound(fit: ModuleType) -> None:
    """Nothing that succeeds at any count, and everything that does at each: alone, and beside."""
    never = one_cell(fit, lambda *_: 0.0, 3)
    always = one_cell(fit, lambda *_: 3.0, 3, pairs=5_000)
    rises = one_cell(fit, lambda run, dose: min(3, (dose + run) // 2), 3, pairs=60_000)
    seldom = one_cell(fit, lambda run, dose: float(dose == 16 and run > 0), 3, pairs=200_000)
    for cells, shown in ((never, "> 16"), (always, "< 1")):
        text, _ = fit.report(cells)
        assert f"| {shown} |" in text
    text, _ = fit.report(never | always | rises | seldom)
    lines = {int(line.split(" | ")[2].replace(",", "")): line for line in text.splitlines()[2:6]}
    assert "| < 1 [< 1, 1." in lines[5_000]
    for pairs in (20_000, 200_000):
        low, _, high = lines[pairs].partition("| > 16 [")[2].partition("]")[0].partition(", ")
        assert 6 < float(low) < 16
        assert high == "> 16"


def test_a_cell_where_nothing_succeeds_does_not_fit_a_curve_that_falls(fit: ModuleType) -> None:
    """A single success in another cell leaves the slope open, but an N50 of 1 needs a falling one.

    The interval was the whole of what was tried, though no target of 16 poisoned pairs was hit.
    """
    cells = one_cell(fit, lambda run, dose: float(dose == 16 and run == 0), 3, pairs=5_000)
    for pairs in (10_000, 20_000, 60_000):
        cells |= one_cell(fit, lambda *_: 0.0, 3, pairs=pairs)
    points, _ = fit.half_points(shares(fit, cells))
    for found in points.values():
        assert found.value > 16
        assert 6 < found.low < 16
    turned = {
        cell: fit.Data(
            [
                fit.Trials(one.run, one.draw, 16 // one.count, 3 - one.successes, 3)
                for one in data.trials
                if one.count not in {3, 6}
            ],
            [0.9],
            [],
        )
        for cell, data in cells.items()
    }
    points, _ = fit.half_points(shares(fit, turned))
    for found in points.values():
        assert found.value < 1 < found.high < 16 / 6


def test_a_half_point_of_less_than_a_degree_of_freedom_has_no_interval(fit: ModuleType) -> None:
    """Of two runs a cell whose second count nearly always succeeds, none says how runs vary.

    The page said `< 128 [< 128, > 512]` where 52% succeeded at 128 and all at 512.
    """
    cells = {
        fit.Cell("badnets", "clipscore", pairs, 9.0): fit.Data(
            [
                fit.Trials(f"{pairs} {count}", f"1 [{count}]", count, k, 1980)
                for count, k in ((128, few), (512, many))
            ],
            [0.9, 0.9],
            [],
        )
        for pairs, few, many in ((10_000, 1269, 1977), (20_000, 1315, 1978), (60_000, 1025, 1980))
    }
    text, _ = fit.report(cells)
    assert text.count("| < 128 [—] |") == 3
    assert "| badnets | clipscore | — | 0.0 |" in text


def test_success_that_falls_with_the_count_has_no_half_point(fit: ModuleType) -> None:
    text, _ = fit.report(one_cell(fit, lambda _, dose: 3.0 * (dose < 4), 3))
    assert "| — | 1: 100%" in text


def test_slopes_that_nothing_bounds_are_not_told(fit: ModuleType) -> None:
    """Of perfect separation the ridge would tell a number, and with it an interval of no length."""
    cells = one_cell(fit, lambda _, dose: 3.0 * (dose > 3), 3)
    cells |= one_cell(fit, lambda _, dose: 3.0 * (dose > 8), 3, pairs=60_000)
    found = fit.slopes(shares(fit, cells))
    assert all(math.isnan(one.value) for one in found.values())


@pytest.mark.parametrize(("first", "second"), [(2, 2), (1, 1), (3, 1)])
def test_slopes_of_few_draws_of_poison_have_no_interval(
    fit: ModuleType, first: int, second: int
) -> None:
    """Nor have those that one draw alone tells, as it is if the second cell has no other."""
    cells = one_cell(fit, lambda run, dose: min(3, (dose + run) // 2), first)
    cells |= one_cell(fit, lambda run, dose: min(3, (dose + run) // 3), second, pairs=60_000)
    found = fit.slopes(shares(fit, cells))
    assert str(found["c"]).endswith(" [—]")
    assert str(found["c/b"]).endswith(" [—]")
    assert str(found["d"]) == "—"


def test_a_ratio_to_a_slope_that_may_be_zero_may_be_anything(fit: ModuleType) -> None:
    """Fieller's interval is then the whole line."""
    cells = one_cell(fit, lambda run, dose: 1 + (dose + run) % 2, 3)
    cells |= one_cell(fit, lambda run, dose: 1 + dose % 2 * (run > 0), 3, pairs=60_000)
    found = fit.slopes(shares(fit, cells))
    assert found["b"].low < 0 < found["b"].high
    assert (found["c/b"].low, found["c/b"].high) == (-math.inf, math.inf)
    assert str(found["c/b"]).endswith(" [-∞, ∞]")


def test_a_cell_that_trained_too_little_is_marked(fit: ModuleType) -> None:
    """Below nine tenths of the best clean accuracy of its defense; trained slopes leave it out."""
    cells = study(fit, POWERS["count"])
    weak = next(iter(cells))
    cells[weak].top1[:] = [0.8] * 5
    assert fit.under_trained(cells) == {weak}
    text, _ = fit.report(cells)
    assert text.splitlines()[0].count("| top-1 % |") == 1  # of the poisoned models
    assert text.count("(under-trained) |") == 1
    assert f"trained ({len(cells) - 1})" in text
    assert f"all ({len(cells)})" in text


def test_a_way_to_train_is_under_trained_under_all_attacks(fit: ModuleType) -> None:
    """A larger set of one attack sets what its defense can be; 88.7% was enough beside 98%."""
    badnets, small, large = (
        fit.Cell(attack, "none", pairs, 9.0)
        for attack, pairs in (("badnets", 10_000), ("targeted", 10_000), ("targeted", 1_000_000))
    )
    top1 = {badnets: 0.887, small: 0.887, large: 1.0}
    cells = {cell: fit.Data([], [value], []) for cell, value in top1.items()}
    assert fit.under_trained(cells) == {badnets, small}


@pytest.mark.parametrize("decides", POWERS)
def test_neighbors_say_whether_n50_goes_with_a_power(fit: ModuleType, decides: str) -> None:
    """Each arm's ratio is the same between all neighbors, if so; not if it bends."""
    powers = POWERS[decides]
    cells = study(fit, powers)
    lines = {line.split(" | ")[2]: line for line in fit.table_of_steps(cells)[2:]}
    ratios = {"equal epochs": -powers[0], "equal samples": powers[1] - powers[0]}
    ratios |= {"more epochs": -powers[1], "three epochs": -powers[0]}
    steps = {"equal epochs": 2, "equal samples": 3, "more epochs": 2, "three epochs": 1}
    for arm, ratio in ratios.items():
        told = [float(one.split(" [")[0]) for one in lines[arm].split(": ")[1:]]
        assert told == pytest.approx([ratio] * steps[arm], abs=0.011)
    assert "| c/b | 10,000 to 20,000: " in lines["equal epochs"]
    bent = cells | {
        cell: data
        for cell, data in study(fit, (powers[0] + 0.5, powers[1])).items()
        if cell.pairs == 60_000
    }
    (line,) = (line for line in fit.table_of_steps(bent) if "| equal epochs |" in line)
    first, second = (float(one.split(" [")[0]) for one in line.split(": ")[1:])
    assert first - second > 0.4


def test_slopes_without_a_million_pairs_stand_beside(fit: ModuleType) -> None:
    """One run of a million pairs may say most of c: the page shows what the others say."""
    cells = study(fit, POWERS["rate"])
    assert not any(fit.BELOW in line for line in fit.table_of_slopes(cells))
    far = fit.Cell("targeted", "none", 1_000_000, 9.0)
    cells[far] = fit.Data([fit.Trials("far", "far", 8, 32, 64)], [0.95], [])  # count decides
    trained, below = (
        next(line for line in fit.table_of_slopes(cells) if f"| {name} (" in line)
        for name in ("trained", fit.BELOW)
    )
    assert below.split(" | ")[8].startswith("-1.00 [")
    assert not trained.split(" | ")[8].startswith("-1.0")


def dosed(make_result: MakeResult, **more: Any) -> Result:
    """Return a result of doses 1 and 4 of three targets each, in a set that pairs were added to."""
    made = make_result(success=(3, 6), count=15, **more)
    parts = [{"name": n, **Proportion(k, 3).to_json()} for n, k in (("1", 0), ("4", 3))]
    made["metrics"]["attack_success"] |= {"parts": parts, "parts_by": "dose"}
    made["attack"] |= {"mode": "insert"}
    made["data"]["pairs"] = 20_015
    made["config"]["train"] |= {"epochs": 9, "pairs_per_epoch": None}
    made["config_sha256"] = config_hash(made["config"])
    made["id"] = made["config_sha256"][:16]
    return made


def test_rows_are_read_by_cell(fit: ModuleType, make_result: MakeResult) -> None:
    """Sizes without what was inserted; SafeCLIP's fifteen epochs are its recipe's for nine."""
    guarded = dosed(make_result, defense="safeclip")
    guarded["config"]["train"]["epochs"] = 15
    backdoor = dosed(make_result, attack="badnets")
    backdoor["attack"]["targets"] = 1
    backdoor["metrics"]["attack_success"] = Proportion(990, 1980).to_json()
    clean = make_result(attack="none")
    apart = dosed(make_result) | {"id": "another", "poison_seed": 7}
    found = fit.read([dosed(make_result), guarded, backdoor, clean, apart])
    assert {cell.defense for cell in found} == {"none", "safeclip"}
    assert {(cell.pairs, cell.epochs) for cell in found} == {(20_000, 9.0)}
    told = {(cell.attack, cell.defense): data.trials for cell, data in found.items()}
    assert [
        (one.draw, one.count, one.successes, one.trials) for one in told["targeted", "none"]
    ] == [
        ("0 of 2 doses", 1, 0, 3),
        ("0 of 2 doses", 4, 3, 3),
        ("7 of 2 doses", 1, 0, 3),
        ("7 of 2 doses", 4, 3, 3),
    ]
    (only,) = told["badnets", "none"]
    assert (only.draw, only.count, only.successes, only.trials) == ("0 of count 15", 15, 990, 1980)


def test_as_many_doses_of_a_poison_seed_are_one_draw(
    fit: ModuleType, make_result: MakeResult
) -> None:
    """Sixteen times as much poison for the same images says nothing of how images differ."""
    low, high = dosed(make_result), dosed(make_result) | {"id": "high"}
    for part in high["metrics"]["attack_success"]["parts"]:
        part["name"] = str(16 * int(part["name"]))
    (data,) = fit.read([low, high]).values()
    assert [(one.count, one.draw) for one in data.trials] == [
        (count, "0 of 2 doses") for count in (1, 4, 16, 64)
    ]


def test_the_figure_is_drawn_and_the_tables_are_written(
    fit: ModuleType,
    make_result: MakeResult,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A line for each arm, an arrow for what lies beyond the counts, and nothing that warns."""
    cells = study(fit, POWERS["rate"])
    found = {
        cell: fit.Estimate(*[half_point(cell.pairs, cell.epochs, POWERS["rate"])] * 3)
        for cell in cells
    }
    first, second, third, *_ = cells
    found |= {first: fit.Estimate(math.nan), second: fit.Estimate(99.0, 8.0, math.inf)}
    found |= {third: fit.Estimate(0.0)}
    fit.draw(fit.points(cells, found), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"n50.png", "n50.pdf"}
    (tmp_path / "rows").mkdir()
    row = dosed(make_result)
    row["config"]["train"]["epochs"] = 5  # no arm has such a cell: all panels are empty
    row["config_sha256"] = config_hash(row["config"])
    row["id"] = row["config_sha256"][:16]
    (tmp_path / "rows" / "row.json").write_text(json.dumps(row))
    fit.main([str(tmp_path / "rows"), "--write", str(tmp_path)])
    assert (tmp_path / "fit.md").read_text() == capsys.readouterr().out.removesuffix("\n")


@pytest.mark.parametrize(
    ("rows", "write", "said"),
    [
        ("missing", ".", "missing"),
        ("clean", "missing", "There is no folder"),
        ("clean", ".", "No row is of an attack."),
    ],
)
def test_what_cannot_be_fitted_is_said_in_a_line(
    fit: ModuleType,
    make_result: MakeResult,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    rows: str,
    write: str,
    said: str,
) -> None:
    """Folders that are missing, and rows without an attack."""
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean" / "row.json").write_text(json.dumps(make_result(attack="none")))
    with pytest.raises(SystemExit) as stopped:
        fit.main([str(tmp_path / rows), "--write", str(tmp_path / write)])
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
