"""Verdicts: every band against every run it is of, with the cell in the message."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from as_json import of_json

from clipbench.check.bands import read_baseline
from clipbench.check.verdict import Finding, cell_names, judge
from clipbench.sweep.grid import read_grid

judge = of_json(judge)

Results = dict[str, dict[str, Any]]
Baseline = Callable[..., Path]
LOW = {"defense": "safeclip", "metric": "attack_success", "at_most": "10%"}
HIGH = {"defense": "none", "metric": "attack_success", "at_least": "90%"}
COST = {"defense": "safeclip", "metric": "cost", "at_most": 3}


@pytest.fixture
def judged(baseline: Baseline, results: Results) -> Callable[..., list[Finding]]:
    """Return a function that holds bands against the results."""

    def judged(*bands: dict[str, Any], failed: dict[str, str] | None = None) -> list[Finding]:
        grid, read = read_baseline(baseline(*bands))
        return judge(grid, read, results, failed or {})

    return judged


def ids(baseline: Baseline) -> dict[str, str]:
    grid = read_grid(baseline(), others=("bands",))
    return {f"{c.attack_name} {c.defense_name}": c.id for c in grid.configs}


def test_numbers_inside_their_bands_pass(judged: Callable[..., list[Finding]]) -> None:
    """A finding for each band and run, with value, counts and cost."""
    findings = judged(LOW, HIGH, COST)
    assert [finding.passed for finding in findings] == [True] * 6
    assert [finding.found for finding in findings] == [0.02, 0.02, 0.95, 0.95, 2.5, 2.5]
    assert findings[0].message == (
        "badnets 0.02 / safeclip / seed 0: attack_success is 2% (2/100), at most 10%"
    )


def test_all_that_fail_are_told_with_cell_value_and_band(
    judged: Callable[..., list[Finding]],
) -> None:
    """One failure does not hide another."""
    findings = judged({**LOW, "at_most": "1%"}, HIGH, {**COST, "at_most": 2})
    assert [finding.message for finding in findings if not finding.passed] == [
        "badnets 0.02 / safeclip / seed 0: attack_success is 2% (2/100), but must be at most 1%",
        "sig 0.02 / safeclip / seed 0: attack_success is 2% (2/100), but must be at most 1%",
        "badnets 0.02 / safeclip / seed 0: cost is 2.50×, but must be at most 2.00×",
        "sig 0.02 / safeclip / seed 0: cost is 2.50×, but must be at most 2.00×",
    ]


def test_what_was_not_measured_fails(judged: Callable[..., list[Finding]]) -> None:
    """A defense that scores no pairs has no AUROC: that is no pass."""
    (found, *_) = judged({"defense": "none", "metric": "score_auroc", "at_least": 0.5})
    assert not found.passed
    assert "score_auroc has no value" in found.message


def test_a_run_that_fails_fails_its_cells(
    judged: Callable[..., list[Finding]], baseline: Baseline, results: Results
) -> None:
    """Each of its bands, or where it has none the run itself; costs beside it have no value."""
    runs = ids(baseline)
    failed = {runs["badnets none"]: "it broke", runs["sig none"]: "this, too"}
    for run in failed:
        del results[run]
    findings = judged({**HIGH, "attack": "badnets"}, COST, failed=failed)
    assert [finding.passed for finding in findings] == [False] * 4
    assert "badnets 0.02 / none / seed 0: attack_success has no value" in findings[0].message
    assert "it broke" in findings[0].message
    assert "no training without a defense" in findings[1].message
    assert findings[3].message == "sig 0.02 / none / seed 0: the run failed: this, too"


def test_seconds_of_two_machines_are_no_cost(
    judged: Callable[..., list[Finding]], baseline: Baseline, results: Results
) -> None:
    """Results taken over from another machine do not compare."""
    results[ids(baseline)["sig none"]]["environment"]["hardware"]["cpu"] = "Another CPU"
    findings = judged(COST)
    assert [finding.passed for finding in findings] == [True, False]
    assert "another machine" in findings[1].message


def test_runs_that_would_be_called_alike_show_their_ids(baseline: Baseline) -> None:
    """Parameters are not in the name of a cell."""
    block = {"attack": ["badnets", "badnets:size=0.5"], "rate": "2%", "defense": "none"}
    grid = read_grid(baseline(grid=[block]), others=("bands",))
    names = cell_names(grid.configs)
    assert all(run in name for run, name in names.items())
    assert len(set(names.values())) == 2


def test_a_finding_as_json_names_its_run(
    judged: Callable[..., list[Finding]], baseline: Baseline
) -> None:
    """Attack, rate, defense, seed, metric, value, counts, band and verdict are fields."""
    found = judged(LOW)[0].to_json()
    assert found.pop("message")
    assert found == {
        "run": ids(baseline)["badnets safeclip"],
        "attack": "badnets",
        "rate": 0.02,
        "poisons": None,
        "defense": "safeclip",
        "seed": 0,
        "poison_seed": 0,
        "metric": "attack_success",
        "found": 0.02,
        "k": 2,
        "n": 100,
        "at_least": None,
        "at_most": 0.1,
        "passed": True,
    }
