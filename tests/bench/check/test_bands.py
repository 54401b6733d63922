"""Bands: what a file may say, which runs it says it of, and what would check nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clipbench.check.bands import Band, read_baseline
from clipbench.errors import BadInput, BadSetting, UnknownName
from clipbench.files.bundled import BASELINE
from clipbench.sweep.status import label

Baseline = Callable[..., Path]
SUCCESS = {"metric": "attack_success"}


def chosen(file: Path) -> list[list[str]]:
    grid, bands = read_baseline(file)
    return [[label(config) for config in grid.configs if band.selects(config)] for band in bands]


@pytest.mark.parametrize(
    ("cells", "defenses"),
    [
        ({"attack": "badnets", "defense": "safeclip"}, ["badnets 0.02 / safeclip / seed 0"]),
        ({"attack": "sig", "defense": ["none"]}, ["sig 0.02 / none / seed 0"]),
        ({"defense": "safeclip:cap=0.97", "attack": "sig"}, ["sig 0.02 / safeclip / seed 0"]),
    ],
)
def test_a_band_is_of_the_runs_it_names(
    baseline: Baseline, cells: dict[str, Any], defenses: list[str]
) -> None:
    """Runs are named as `exclude` names them: by name, parameters, or a list of either."""
    assert chosen(baseline({**cells, **SUCCESS, "at_most": 0.5})) == [defenses]


def test_a_band_that_names_nothing_is_of_every_run(baseline: Baseline) -> None:
    """Without attack, defense, rate and seed all runs must lie in it."""
    assert [len(runs) for runs in chosen(baseline({**SUCCESS, "at_most": 0.9}))] == [4]


def test_what_measures_poison_is_of_attacked_runs(baseline: Baseline) -> None:
    """Clean controls of the grid have accuracy, but no attack success."""
    bands = [{**SUCCESS, "at_least": 0.1}, {"metric": "zeroshot_top1", "at_least": 0.1}]
    assert [len(runs) for runs in chosen(baseline(*bands, controls=True))] == [4, 6]


def test_shares_may_be_percentages(baseline: Baseline) -> None:
    """50% is 0.5; both ends belong to the band."""
    _, (band, same) = read_baseline(
        baseline({**SUCCESS, "at_least": "12.5%", "at_most": "50%"}, {**SUCCESS, "at_most": 0.5})
    )
    assert (band.at_least, band.at_most, same.at_most) == (0.125, 0.5, 0.5)
    inside = [value for value in (0.12, 0.125, 0.3, 0.5, 0.51) if band.holds(value)]
    assert inside == [0.125, 0.3, 0.5]
    assert str(band) == "at least 12.5%, at most 50%"
    assert str(Band("cost", None, 5.0)) == "at most 5.00×"


@pytest.mark.parametrize(
    ("band", "error", "message"),
    [
        ({"attack": "blended", **SUCCESS, "at_most": 0.5}, BadSetting, "check nothing"),
        ({"seed": 7, **SUCCESS, "at_most": 0.5}, BadSetting, "seed 7"),
        ({"attack": "none", **SUCCESS, "at_most": 0.5}, BadSetting, "no attacked run"),
        ({"attack": "badnet", **SUCCESS, "at_most": 0.5}, UnknownName, "badnets"),
        ({"metric": "atack_success", "at_most": 0.5}, UnknownName, "attack_success"),
        ({**SUCCESS, "at_most": 0.5, "atleast": 0.1}, UnknownName, "at_least"),
        ({"at_most": 0.5}, BadSetting, "needs a metric"),
        (SUCCESS, BadSetting, "needs at_least or at_most"),
        ({**SUCCESS, "at_least": 0}, BadSetting, "rules nothing out"),
        ({**SUCCESS, "at_most": "100%"}, BadSetting, "rules nothing out"),
        ({**SUCCESS, "at_least": 0.6, "at_most": 0.5}, BadSetting, "is empty"),
        ({**SUCCESS, "at_most": 50}, BadSetting, "Write 50%"),
        ({**SUCCESS, "at_most": "half"}, BadSetting, "half"),
        ({**SUCCESS, "at_most": True}, BadSetting, "must be a number"),
        ({**SUCCESS, "at_most": "nan"}, BadSetting, "must be a number"),
    ],
)
def test_a_band_that_makes_no_sense_is_refused(
    baseline: Baseline, band: dict[str, Any], error: type[BadInput], message: str
) -> None:
    """Before any run is started: exit status 2, and what is wrong with which band."""
    with pytest.raises(error, match=message) as raised:
        read_baseline(baseline({**SUCCESS, "at_most": 0.9}, band))
    assert raised.value.exit_status == 2
    assert "bands" in str(raised.value) or error is UnknownName


def test_the_shipped_baseline_is_sound() -> None:
    """It asks for both attacks to take undefended, and for SafeCLIP to stop both."""
    grid, bands = read_baseline(BASELINE)
    defenses = {(c.attack_name, c.defense_name): c for c in grid.configs}
    assert len(grid.configs) == len(defenses) == 6
    for (_, defense), config in defenses.items():
        success = [b for b in bands if b.metric == "attack_success" and b.selects(config)]
        assert len(success) == 1
        assert success[0].holds(0.0) == (defense == "safeclip")
        assert success[0].holds(1.0) == (defense != "safeclip")


def test_a_cost_needs_an_undefended_run(baseline: Baseline) -> None:
    """It is relative to the run with defense none on the same pairs."""
    block = {"attack": "badnets", "rate": "2%", "defense": ["clip", "safeclip"]}
    other = {"attack": "badnets", "rate": "1%", "defense": "none"}
    with pytest.raises(BadSetting, match="no run with defense none on the same pairs"):
        read_baseline(baseline({"metric": "cost", "at_most": 3}, grid=[block, other]))


def test_metrics_of_plugins_may_have_bands(baseline: Baseline) -> None:
    """Where the grid asks for a metric plugin, its names are not known beforehand."""
    band = {"metric": "linear_probe_top1", "at_least": 0.2}
    _, bands = read_baseline(baseline(band, metric="linear_probe"))
    assert bands[0].metric == "linear_probe_top1"
    with pytest.raises(UnknownName, match="linear_probe_top1"):
        read_baseline(baseline(band))


def test_the_end_of_a_band_in_per_cent_belongs_to_it(baseline: Baseline) -> None:
    """999 of 1000 is at least 99.9%, and 7 of 1000 at most 0.7%."""
    ends = [{**SUCCESS, "at_least": "99.9%"}, {**SUCCESS, "at_most": "0.7%"}]
    _, (high, low) = read_baseline(baseline(*ends))
    assert high.holds(999 / 1000)
    assert low.holds(7 / 1000)
