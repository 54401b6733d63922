"""The scripts of docs/python.md, run as they are but for the size of what they run."""

from __future__ import annotations

import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from commands import command

import clipbench as cb
from clipbench.files import bundled

SMALL = "shapes:size=200,test_size=100,targets_size=50"
TRAIN = "train={'epochs': 1, 'batch_size': 64, 'warmup': 1}"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, with a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLIPBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path


def run_script(name: str, changes: Mapping[str, str]) -> dict[str, Any]:
    """Run a script in which some texts are others, and return its variables."""
    text = bundled.example(name).path.read_text(encoding="utf-8")
    for right, other in changes.items():
        assert text.count(right) == 1, right
        text = text.replace(right, other)
    script = Path("script.py")
    script.write_text(text, encoding="utf-8")
    return runpy.run_path(str(script), run_name="__main__")


def test_the_main_job_is_the_commands(
    trainings: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The command finds all runs done, and prints the very table that the script printed."""
    changes = {'"shapes"': f'"{SMALL}"', '"1.4%"': f'"8%", {TRAIN}', ', "safeclip"': ""}
    results = run_script("three_defenses", changes)["results"]
    printed = capsys.readouterr().out
    assert len(trainings) == len(results) == 2
    line = ["run", "--data", SMALL, "--attack", "targeted:targets=16", "--rate", "8%"]
    line += ["--epochs", "1", "--batch-size", "64", "--warmup", "1", "--defense", "none,clip"]
    done = command(*line)
    assert done.status == 0
    assert len(trainings) == 2
    table = str(cb.leaderboard(results))
    assert printed.endswith(f"{table}\n")
    assert done.out.startswith(table)


def test_a_defense_of_ones_own_is_checked_and_run_under_seeds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As `clipbench new` wrote it."""
    command("new", "defense", "my_defense", "-q")
    changes = {'"shapes"': f'"{SMALL}"', '"2%"': f'"2%", {TRAIN}', "range(3)": "range(1)"}
    changes['("none", mine)'] = "(mine,)"
    variables = run_script("my_seeds", changes)
    assert list(variables["frame"]["defense"]) == ["my_defense"]
    assert "ok trains on pairs" in capsys.readouterr().out


def test_the_worst_attacks_are_those_of_the_published_rows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every defense has a line, the most secure first."""
    success = run_script("worst_attack", {})["success"]
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == set(success.index)
    assert {line.split()[-1] for line in lines} <= set(success.columns)
    shares = [float(line.split()[1].rstrip("%")) for line in lines]
    assert shares == sorted(shares)


@pytest.mark.parametrize("name", ["three_defenses", "my_seeds", "worst_attack"])
def test_the_page_shows_the_scripts_as_they_are(name: str) -> None:
    """What is copied from the documentation is what is tested."""
    text = bundled.example(name).path.read_text(encoding="utf-8")
    page = (Path(__file__).parents[3] / "docs" / "python.md").read_text(encoding="utf-8")
    assert f"```python\n{text.partition(chr(10) * 2)[2]}```" in page


def test_scripts_are_printed_by_name() -> None:
    """They are there in an installation without a clone."""
    text = command("example", "three_defenses").out
    assert text == bundled.example("three_defenses").path.read_text(encoding="utf-8")
    code = [line for line in text.splitlines() if line.strip() and not line.startswith('"""')]
    assert len(code) <= 10
