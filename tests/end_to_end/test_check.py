"""Regression checks: bands that hold, bands that are left, runs that fail, baselines of one's own.

Cells of the tiny grid learn nothing; what is looked at there is which numbers are held where. That
the shipped baseline passes, and notices a SafeCLIP that splits nothing, takes minutes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml
from tiny_runs import DATA, SAFECLIP, Done, Place, command

from clipbench.files.bundled import BASELINE

GRID: dict[str, Any] = {
    "data": DATA,
    "train": {"batch_size": 128, "warmup": 2, "epochs": 3},
    "attack": "badnets",
    "poisons": 8,
}
HOLDS = [
    {"defense": "none", "metric": "attack_success", "at_most": 0.999},
    {"defense": "safeclip", "metric": "clean_kept", "at_least": "50%", "at_most": "90%"},
    {"defense": "safeclip", "metric": "cost", "at_most": 1000},
]
# SafeCLIP by another file of the same name, so with the same recipe: every pair is safe to it.
SABOTAGED = """
from dataclasses import dataclass

import numpy as np

from clipbench_defenses.safeclip import SafeCLIP, SafeCLIPRun


class Trusting(SafeCLIPRun):
    def _split(self, similarity):
        return np.ones(len(similarity), dtype=bool)


@dataclass(frozen=True)
class SabotagedSafeCLIP(SafeCLIP):
    def start(self, facts):
        super().start(facts)
        return Trusting(self, facts)


DEFENSE = SabotagedSafeCLIP
"""
BROKEN = """
from dataclasses import dataclass


@dataclass(frozen=True)
class Broken:
    def start(self, facts):
        raise RuntimeError("this defense is broken")


DEFENSE = Broken
"""


def check(folder: Path, bands: list[dict[str, Any]], *more: object, **top: Any) -> Done:
    """Run a check of the tiny grid with these bands."""
    file = folder / "baseline.yaml"
    content = {**GRID, "defense": ["none", SAFECLIP], **top, "bands": bands}
    file.write_text(yaml.safe_dump(content))
    return command("check", file, "--threads", "1", *more)


def sabotaged(folder: Path) -> Path:
    file = folder / "safeclip.py"
    file.write_text(SABOTAGED)
    return file


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place where the tiny grid was checked and the bands held."""
    place = Place(tmp_path_factory.mktemp("check"))
    where = ("--out", place.out, "--cache", place.cache)
    passed = check(place.folder, HOLDS, *where, "--junit", place.folder / "report.xml")
    assert passed.status == 0, passed.err
    rows = [line.split() for line in passed.out.splitlines()]
    assert [row[0] for row in rows] == ["ok"] * len(HOLDS)
    assert "clean_kept" in rows[1]
    return place


def where(place: Place) -> tuple[object, ...]:
    return "--out", place.out, "--cache", place.cache


def test_a_check_that_passes_says_so_everywhere(done: Place, tmp_path: Path) -> None:
    """Exit status 0, a JUnit report without failures, JSON with every value."""
    report = ET.parse(done.folder / "report.xml").getroot()
    counts = [report.attrib[name] for name in ("tests", "failures", "errors")]
    assert counts == [str(len(HOLDS)), "0", "0"]
    answer = check(tmp_path, HOLDS, *where(done), "--json", "--quiet")
    found = json.loads(answer.out)
    assert (answer.status, found["passed"]) == (0, True)
    assert [item["metric"] for item in found["checks"]] == [band["metric"] for band in HOLDS]
    every = [json.loads(path.read_text()) for path in done.out.glob("*/result.json")]
    results = {result["id"]: result for result in every}
    (first, *_) = found["checks"]
    metric = results[first["run"]]["metrics"]["attack_success"]
    assert (first["found"], first["k"], first["n"]) == (metric["value"], metric["k"], metric["n"])


def test_runs_that_were_done_before_are_told_of(done: Place, tmp_path: Path) -> None:
    """They are not done again, and say nothing of what was changed since."""
    answer = check(tmp_path, HOLDS, *where(done))
    assert "2 of 2 runs are done" in answer.err
    assert "nothing of what was changed since" in answer.err


def test_every_band_that_is_left_is_named(done: Place, tmp_path: Path) -> None:
    """Status 1, one line with cells, metrics, values and bands; the report has them, too."""
    bands = [
        {"defense": "none", "metric": "attack_success", "at_least": "99.9%"},
        *HOLDS,
        {"metric": "zeroshot_top1", "at_least": "99%"},
    ]
    answer = check(tmp_path, bands, *where(done), "--junit", tmp_path / "report.xml")
    assert answer.status == 1
    assert "3 of 6 checks failed" in answer.error
    assert "badnets 8 poisons / none / seed 0: attack_success is" in answer.error
    assert "but must be at least 99.9%" in answer.error
    assert answer.error.count("zeroshot_top1 is") == 2
    assert "badnets 8 poisons / safeclip / seed 0: zeroshot_top1 is" in answer.error
    assert answer.out.count("FAILED") == 3
    assert ET.parse(tmp_path / "report.xml").getroot().attrib["failures"] == "3"


def test_a_run_that_fails_is_a_failure_of_its_cells(done: Place, tmp_path: Path) -> None:
    """The others are judged all the same."""
    file = tmp_path / "broken.py"
    file.write_text(BROKEN)
    bands = [*HOLDS, {"defense": str(file), "metric": "zeroshot_top1", "at_least": 0.001}]
    line = (*where(done), "--allow", file)
    answer = check(tmp_path, bands, *line, defense=["none", SAFECLIP, str(file)])
    assert answer.status == 1
    assert f"1 of {len(bands)} checks failed" in answer.error
    assert "badnets 8 poisons / broken / seed 0: zeroshot_top1 has no value" in answer.error
    assert "this defense is broken" in answer.error


def test_a_safeclip_that_splits_nothing_is_noticed(done: Place, tmp_path: Path) -> None:
    """Its share of clean pairs kept leaves the band, and the message names the cell."""
    bad = sabotaged(tmp_path)
    spec = SAFECLIP.replace("safeclip", str(bad), 1)
    bands = [{**HOLDS[1], "defense": str(bad)}]
    answer = check(tmp_path, bands, *where(done), "--allow", bad, defense=["none", spec])
    assert answer.status == 1
    cell = "badnets 8 poisons / safeclip / seed 0"
    assert f"{cell}: clean_kept is 100% (392/392), but must be at least 50%" in answer.error


def test_a_check_that_checks_nothing_is_refused(tmp_path: Path) -> None:
    """Status 2, and no run is started: a band of no cell, no band, no file, a metric unknown."""
    gone = check(tmp_path, [{"attack": "sig", "metric": "attack_success", "at_most": 0.5}])
    assert (gone.status, "would check nothing" in gone.error) == (2, True)
    none = check(tmp_path, [])
    assert (none.status, "has no bands" in none.error) == (2, True)
    wrong = check(tmp_path, [{"metric": "atack_success", "at_most": 0.5}])
    assert (wrong.status, "Did you mean 'attack_success'" in wrong.error) == (2, True)
    missing = command("check", tmp_path / "nothing.yaml")
    assert (missing.status, "nothing.yaml" in missing.error) == (2, True)


def test_a_written_baseline_passes_where_it_was_written(done: Place, tmp_path: Path) -> None:
    """`--write` makes a new file of a grid without bands, and never writes over one."""
    new = tmp_path / "new.yaml"
    written = check(tmp_path, [], *where(done), "--write", new)
    assert (written.status, written.out.strip()) == (0, str(new)), written.err
    again = command("check", new, "--threads", "1", *where(done), "--json")
    assert again.status == 0, again.err
    cells = {(item["defense"], item["metric"]) for item in json.loads(again.out)["checks"]}
    assert cells >= {("none", "attack_success"), ("safeclip", "poison_kept"), ("safeclip", "cost")}
    text = new.read_text()
    refused = check(tmp_path, [], *where(done), "--write", new)
    assert (refused.status, "is there already" in refused.error) == (2, True)
    assert new.read_text() == text


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --out and --cache runs are made anew, in a folder that is deleted."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.chdir(tmp_path)
    band = {"metric": "zeroshot_top1", "at_most": 0.999}
    answer = check(tmp_path, [band], defense="none")
    assert answer.status == 0, answer.err
    assert {path.name for path in tmp_path.iterdir()} == {"temporary", "baseline.yaml"}
    assert not any(temporary.iterdir())


@pytest.mark.slow
def test_the_shipped_baseline_passes(tmp_path: Path) -> None:
    """With the code as it is every band holds, and all were measured."""
    answer = command("check", "--threads", "1", "--junit", tmp_path / "report.xml")
    assert answer.status == 0, answer.err
    bands = yaml.safe_load(BASELINE.read_text())["bands"]
    rows = answer.out.splitlines()
    assert len(rows) > len(bands)
    assert all(row.startswith("ok") for row in rows)


@pytest.mark.slow
def test_the_shipped_baseline_notices_a_safeclip_that_splits_nothing(tmp_path: Path) -> None:
    """Both attacks get through, and the messages name both cells."""
    file = tmp_path / "sabotaged.yaml"
    bad = sabotaged(tmp_path)
    file.write_text(BASELINE.read_text().replace("safeclip", str(bad)))
    answer = command("check", file, "--threads", "1", "--allow", bad)
    assert answer.status == 1
    for attack in ("badnets 0.03", "targeted 0.03"):
        cell = f"{attack} / safeclip / seed 0"
        assert f"{cell}: attack_success is" in answer.error
        assert f"{cell}: poison_kept is 100%" in answer.error
    assert "/ none /" not in answer.error
    assert "/ clip /" not in answer.error
