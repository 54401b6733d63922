"""Published results: each row is sound, and the tables are what the rows give."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from clipbench.cli import main
from clipbench.leaderboard.poison_sets import different_sets
from clipbench.leaderboard.store import load_results
from clipbench.sweep.grid import read_grid

RESULTS = Path(__file__).parents[2] / "results"
SETS = sorted(path.parent for path in RESULTS.glob("*/grid.yaml"))


def printed(*arguments: str) -> str:
    out = io.StringIO()
    with redirect_stdout(out):
        assert main([*arguments, "--quiet"]) == 0
    return out.getvalue()


def test_there_are_results() -> None:
    """The patterns of this file find what is known to be there."""
    assert RESULTS / "shapes" in SETS


@pytest.mark.parametrize("folder", SETS, ids=lambda path: path.name)
def test_rows_are_runs_of_the_grid(folder: Path) -> None:
    """Each is a valid result under its id, and a run that the grid's file asks for today."""
    known = {config.id for config in read_grid(folder / "grid.yaml").configs}
    for result in load_results([folder / "rows"]):
        assert (folder / "rows" / f"{result['id']}.json").is_file()
        assert result["id"] in known


@pytest.mark.parametrize("folder", SETS, ids=lambda path: path.name)
def test_the_whole_grid_is_there(folder: Path) -> None:
    """No run of the grid lacks its row."""
    configs = read_grid(folder / "grid.yaml").configs
    assert [c.id for c in configs if not (folder / "rows" / f"{c.id}.json").is_file()] == []


@pytest.mark.parametrize("folder", SETS, ids=lambda path: path.name)
def test_defenses_were_given_the_same_poison(folder: Path) -> None:
    """Of one attack, rate and seed all rows are of one ledger."""
    assert different_sets(load_results([folder / "rows"])) == []


@pytest.mark.parametrize("folder", SETS, ids=lambda path: path.name)
def test_tables_are_what_the_rows_give(folder: Path, tmp_path: Path) -> None:
    """Made again from the rows, every table has the same bytes."""
    rows = str(folder / "rows")
    printed("leaderboard", rows, "--write", str(tmp_path))
    for name in ("leaderboard.md", "leaderboard.csv", "leaderboard.tex"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    assert json.loads((tmp_path / "leaderboard.json").read_text())
    for name, cell in (("matrix", "attack_success"), ("detection", "score_auroc")):
        made = printed("leaderboard", rows, "--format", "matrix", "--cell", cell)
        assert made == (folder / f"{name}.md").read_text()


@pytest.mark.parametrize("folder", SETS, ids=lambda path: path.name)
def test_comparisons_are_what_the_rows_give(folder: Path) -> None:
    """Two defences held against each other, pair of rows by pair of rows."""
    files = sorted(folder.glob("compare_*_*.txt"))
    assert folder / "compare_none_safeclip.txt" in files
    for file in files:
        _, first, second = file.stem.split("_")
        chosen = ["--defense", first, "--defense", second]
        assert printed("compare", str(folder / "rows"), *chosen) == file.read_text()
