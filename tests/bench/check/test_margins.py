"""Baselines of one's own: bands around what was found, which the same results pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from as_json import of_json

from clipbench.check.bands import read_baseline
from clipbench.check.margins import bands_around, write_baseline
from clipbench.check.verdict import judge
from clipbench.errors import BadSetting
from clipbench.evaluation.statistics import wilson
from clipbench.sweep.grid import Grid, read_grid

bands_around = of_json(bands_around)
write_baseline = of_json(write_baseline)
judge = of_json(judge)

Results = dict[str, dict[str, Any]]
Baseline = Callable[..., Path]


def test_the_written_baseline_passes_what_it_was_written_from(
    baseline: Baseline, grid: Grid, results: Results, tmp_path: Path
) -> None:
    """Same grid, a band for every number of every run, each selecting that run alone."""
    new = write_baseline(tmp_path / "new.yaml", baseline(), grid, results)
    again, bands = read_baseline(new)
    assert [config.id for config in again.configs] == [config.id for config in grid.configs]
    assert [sum(map(band.selects, again.configs)) for band in bands] == [1] * len(bands)
    findings = judge(again, bands, results, {})
    assert all(finding.passed for finding in findings)
    assert {finding.metric for finding in findings} == {
        *("attack_success", "zeroshot_top1", "score_auroc", "cost"),
    }


def test_a_defense_that_fails_leaves_the_written_bands(
    baseline: Baseline, grid: Grid, results: Results, tmp_path: Path
) -> None:
    """The bands are narrow enough to notice: success of the undefended run, twice the time."""
    new = write_baseline(tmp_path / "new.yaml", baseline(), grid, results)
    again, bands = read_baseline(new)
    by_name = {f"{c.attack_name} {c.defense_name}": results[c.id] for c in grid.configs}
    by_name["sig safeclip"]["metrics"] = by_name["sig none"]["metrics"]
    by_name["badnets safeclip"]["train"]["cpu_seconds"] *= 2
    missed = [finding.message for finding in judge(again, bands, results, {}) if not finding.passed]
    assert len(missed) == 3
    assert "badnets 0.02 / safeclip / seed 0: cost" in missed[0]
    assert "sig 0.02 / safeclip / seed 0: attack_success" in missed[1]
    assert "score_auroc has no value" in missed[2]


def test_margins_are_the_interval_or_five_points(grid: Grid, results: Results) -> None:
    """A share gets its Wilson interval where that is wider; a cost half as much again."""
    bands = {(b["defense"], b["metric"]): b for b in bands_around(grid.configs, results)}
    top1 = bands["none", "zeroshot_top1"]  # 800 of 1000: the interval is narrower
    assert (top1["at_least"], top1["at_most"]) == (0.75, 0.85)
    success = bands["safeclip", "attack_success"]  # 2 of 100: wider above, and 0 below
    assert wilson(2, 100)[1] < success["at_most"] == pytest.approx(wilson(2, 100)[1], abs=0.001)
    assert "at_least" not in success
    assert bands["safeclip", "cost"]["at_most"] == 3.75
    assert ("none", "cost") not in bands


def test_cells_name_what_tells_them_apart(baseline: Baseline, results: Results) -> None:
    """Parameters are named where several runs differ in them."""
    block = {"attack": ["badnets", "badnets:size=0.5"], "rate": "2%", "seed": [0, 1]}
    grid = read_grid(baseline(grid=[block]), others=("bands",))
    any_result = next(iter(results.values()))
    found = list(bands_around(grid.configs, {config.id: any_result for config in grid.configs}))
    cells = {yaml.safe_dump({key: band[key] for key in ("attack", "seed")}) for band in found}
    assert len(cells) == 4
    assert found[-1]["attack"] == {"name": "badnets", "size": 0.5}


def test_parameters_that_records_leave_out_and_seeds_of_poison_tell_cells_apart(
    baseline: Baseline, results: Results
) -> None:
    """A set without noise is told by its default, a run without a seed of poison by its seed."""
    block = {
        "data": ["shapes:size=400", "shapes:size=400,caption_noise=0.5"],
        **{"attack": "badnets", "rate": "2%", "poison_seed": [0, 1]},
    }
    grid = read_grid(baseline(grid=[block]), others=("bands",))
    any_result = next(iter(results.values()))
    found = list(bands_around(grid.configs, {config.id: any_result for config in grid.configs}))
    cells = [(band["data"]["caption_noise"], band["poison_seed"]) for band in found]
    assert list(dict.fromkeys(cells)) == [(0.0, 0), (0.0, 1), (0.5, 0), (0.5, 1)]


def test_runs_that_no_band_can_tell_apart_are_refused(baseline: Baseline, results: Results) -> None:
    """They differ in training settings alone."""
    blocks = [{"attack": "badnets", "rate": "2%", "train": {"epochs": epochs}} for epochs in (2, 3)]
    grid = read_grid(baseline(grid=blocks), others=("bands",))
    any_result = next(iter(results.values()))
    with pytest.raises(BadSetting, match="no band can name"):
        list(bands_around(grid.configs, {config.id: any_result for config in grid.configs}))


def test_a_baseline_is_not_written_over(baseline: Baseline, grid: Grid, results: Results) -> None:
    """A file that is there stays as it is."""
    file = baseline({"metric": "attack_success", "at_most": 0.9})
    before = file.read_text()
    with pytest.raises(BadSetting, match="is there already"):
        write_baseline(file, file, grid, results)
    assert file.read_text() == before


def test_a_written_baseline_says_with_how_many_threads_it_was_made(
    baseline: Baseline, grid: Grid, results: Results, tmp_path: Path
) -> None:
    """Rounding depends on it; of results that do not say, nothing."""
    head = "# Written by `clipbench check --write`: bands around what was found then"
    mute = write_baseline(tmp_path / "mute.yaml", baseline(), grid, results)
    assert mute.read_text().splitlines()[0] == f"{head}."
    for result in results.values():
        result["train"]["threads"] = [1]
    one = write_baseline(tmp_path / "one.yaml", baseline(), grid, results)
    assert one.read_text().splitlines()[0] == f"{head}, with 1 thread a run."
    next(iter(results.values()))["train"]["threads"] = [2]
    two = write_baseline(tmp_path / "two.yaml", baseline(), grid, results)
    assert two.read_text().splitlines()[0] == f"{head}, with 1 or 2 threads a run."
