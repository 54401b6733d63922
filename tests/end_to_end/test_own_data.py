"""Every command of README and guide on data that nobody here made, to its last line.

A small crawl in img2dataset's layout, test images in CLIP_benchmark's; one run with two defenses
and their controls, and whatever can be done with its results.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from own_set import CLASSES, write_crawl, write_test_set
from tiny_runs import Done, command

TRAIN = ("--model", "shapes-32", "--epochs", "2", "--batch-size", "32", "--warmup", "1")
ATTACK = ("--attack", "badnets", "--poisons", "8")


class Own:
    """A folder with data of one's own, and runs on them.

    Args:
        folder: it; the commands are typed there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        crawl = write_crawl(folder / "crawl", (20, 28))
        held_out = write_test_set(folder / "held_out", per_class=6)
        self.data = ("--data", crawl, "--eval", f"clip_benchmark:root={held_out}")
        self.cache = ("--cache", folder / "cache")
        self.runs = folder / "runs"
        sides = ("--defense", "none", "--defense", "clip", "--controls")
        self.first = command("run", *self.data, *ATTACK, *sides, *TRAIN, *self.cache, *self.out)

    @property
    def out(self) -> tuple[object, ...]:
        """Where runs go."""
        return "--out", self.runs

    def results(self) -> list[dict[str, Any]]:
        """Return the results, attacked ones first and undefended ones before others."""
        found = [json.loads(file.read_text()) for file in self.runs.glob("*/result.json")]
        return sorted(
            found, key=lambda r: (not r["attack"]["count"], r["defense"]["name"] == "clip")
        )

    @property
    def attacked(self) -> Path:
        """The folder of the undefended run on poisoned data."""
        (folder,) = self.runs.glob(f"*{self.results()[0]['id']}")
        return folder


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Own:
    """Make the data and do the runs, once."""
    return Own(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def poisoned(own: Own) -> Path:
    """Return the poisoned set by itself, with its ledger."""
    folder = own.folder / "poisoned"
    done = command("poison", *own.data, *ATTACK, "--out", folder, *own.cache)
    assert done.status == 0, done.err
    return folder


def fine(done: Done) -> str:
    """Return what a command printed that ended well."""
    assert done.status == 0, done.err
    assert "Traceback" not in done.err
    return done.out


def test_the_run_ends_with_its_table_and_says_where_it_is(own: Own) -> None:
    """Rows by attack and defense, the data above them, and then what can be done with it."""
    out = fine(own.first)
    head, titles, _, *rows = out.splitlines()[:7]
    assert head.startswith("Model shapes-32, data shards")
    assert "success [95%]" in titles
    assert [row.split()[0] for row in rows] == ["badnets", "badnets", "none", "none"]
    assert "…" not in out
    last = own.first.err.splitlines()[-1]
    assert last.startswith(f"results in {own.runs}; ")
    assert f"clipbench leaderboard {own.runs} --html " in last


@pytest.mark.parametrize("style", ["text", "markdown", "csv", "latex", "matrix"])
def test_every_format_of_the_table_has_both_defenses(own: Own, style: str) -> None:
    """Whatever parameters the data set must be given."""
    out = fine(command("leaderboard", own.runs, "--format", style))
    assert "badnets" in out
    assert all(re.search(rf"\b{name}\b", out) for name in ("none", "clip"))


def test_a_row_of_the_csv_leads_to_its_runs(own: Own) -> None:
    """Each id is the end of a folder's name, and no id is in two rows."""
    rows = list(
        csv.DictReader(io.StringIO(fine(command("leaderboard", own.runs, "--format", "csv"))))
    )
    ids = [name for row in rows for name in row["runs"].split()]
    assert sorted(ids) == sorted(result["id"] for result in own.results())
    assert all(len(list(own.runs.glob(f"*{name}"))) == 1 for name in ids)


def test_a_model_that_has_learned_nothing_judges_nobody(own: Own) -> None:
    """Two passes over 48 pairs teach nothing, however often the target class is answered."""
    rows = csv.DictReader(io.StringIO(fine(command("leaderboard", own.runs, "--format", "csv"))))
    assert {row["eligible"][:2] for row in rows if int(row["count"])} == {"no"}


def test_page_tables_and_figures_are_written(own: Own, tmp_path: Path) -> None:
    """All of them, and the page tells how each row is made again."""
    page = tmp_path / "page.html"
    done = command("leaderboard", own.runs, "--html", page, "--write", tmp_path / "tables")
    fine(done)
    names = {path.name for path in (tmp_path / "tables").iterdir()}
    assert {"leaderboard.md", "leaderboard.csv", "leaderboard.tex", "leaderboard.json"} <= names
    assert {"success_vs_accuracy.png", "success_vs_accuracy.pdf"} <= names
    text = page.read_text()
    assert text.count('data-attack="badnets"') == 2
    assert "clipbench run " in text or "clipbench reproduce " in text


def test_rows_are_chosen_by_what_run_was_given(own: Own) -> None:
    """The path of the shards, the attack and a defense."""
    wanted = (*own.data[:2], *ATTACK[:2], "--defense", "clip", "--model", "shapes-32")
    rows = fine(command("leaderboard", own.runs, *wanted, "--format", "csv")).splitlines()
    assert len(rows) == 2
    done = command("leaderboard", own.runs, "--data", own.folder / "crawl2")
    assert done.status == 2
    assert "crawl2" in done.error


def test_two_defenses_are_compared(own: Own) -> None:
    """Probe by probe, on the same poison."""
    out = fine(command("compare", own.runs, "--defense", "none", "--defense", "clip"))
    assert re.search(r"^badnets .* 1 +[+-]", out, re.MULTILINE)
    assert "data shards" in out.splitlines()[0]


def test_a_set_is_poisoned_verified_and_described(own: Own, poisoned: Path) -> None:
    """What is written of strangers' shards leaves no trace, and a catalogue can read it."""
    alone = command("verify", poisoned, *own.cache)
    assert alone.status == 3
    assert "without the clean set nobody can tell" in alone.out
    assert "FAILED" not in alone.out
    data, clean, *evals = own.data
    assert data == "--data"
    told = fine(command("verify", poisoned, "--base", clean, *evals, *own.cache, "--all"))
    assert {line.split()[0] for line in told.splitlines()} <= {"ok", "note"}
    assert re.search(r"^ok +made again +the whole set", told, re.MULTILINE)
    others = command("verify", poisoned, "--base", poisoned / "shards", *evals, *own.cache)
    assert others.status == 2
    assert "is not the clean set that" in others.error
    about = ("--license", "https://example.org/l", "--creator", "A. Person")
    fine(command("croissant", poisoned, *about, "--url", "https://example.org/p"))
    told = json.loads((poisoned / "metadata.json").read_text())
    assert any("poison" in str(record).lower() for record in told["recordSet"])


def test_every_pair_is_scored(own: Own, poisoned: Path, tmp_path: Path) -> None:
    """Under its key, with the ledger's verdict on the scores."""
    which = (*own.data[:2], "--shards", poisoned / "shards", "--ledger", poisoned / "ledger")
    method = ("--method", "dao:scoring_epochs=1", *TRAIN[:2], *TRAIN[4:])
    out = fine(command("detect", *which, *method, *own.cache, "--out", tmp_path / "suspects"))
    assert re.search(r"^dao +0\.\d+ +0\.\d+ +\d/8$", out, re.MULTILINE)
    page = (tmp_path / "suspects" / "suspicious.html").read_text()
    assert any(name in page for name in CLASSES)


def test_the_weights_are_measured_again(own: Own, poisoned: Path) -> None:
    """With the ledger, which names attack and test images, the numbers are those of the run."""
    weights = ("--checkpoint", own.attacked, "--model", "shapes-32", "--json")
    (found,) = json.loads(fine(command("evaluate", *weights, "--ledger", poisoned / "ledger")))
    recorded = own.results()[0]["metrics"]
    for name in ("attack_success", "zeroshot_top1", "poisoned_accuracy"):
        assert found["metrics"][name]["k"] == recorded[name]["k"]
    (bare,) = json.loads(fine(command("evaluate", *weights, *own.data[2:])))
    assert bare["metrics"]["zeroshot_top1"]["k"] == recorded["zeroshot_top1"]["k"]


def test_a_result_is_submitted_shown_and_reproduced(
    own: Own, poisoned: Path, tmp_path: Path
) -> None:
    """On this machine to the bit."""
    board = tmp_path / "board"
    fine(command("submit", own.attacked, "--to", board, "--ledger", poisoned / "ledger"))
    assert "badnets" in fine(command("leaderboard", board))
    (row,) = board.glob("*.json")
    here = ("--data", own.data[1], "--where", f"evals[0].root={own.folder / 'held_out'}")
    out = fine(command("reproduce", row, *here, "--out", tmp_path / "again"))
    assert "is reproduced." in out
    assert "OUTSIDE" not in out


@pytest.fixture
def grid(own: Own, tmp_path: Path) -> Path:
    """Write the run as a grid in a file."""
    settings = {
        "data": str(own.data[1]),
        "eval": str(own.data[3]),
        "attack": "badnets",
        "poisons": 8,
        "train": {"model": "shapes-32", "epochs": 2, "batch_size": 32, "warmup": 1},
        "grid": [{"defense": ["none", "clip"]}],
    }
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(settings))
    return tmp_path / "grid.yaml"


def test_a_grid_of_the_same_runs_is_done_already(own: Own, grid: Path) -> None:
    """And its table is printed as that of the runs."""
    done = command("sweep", grid, *own.cache, *own.out)
    assert fine(done).startswith("Model shapes-32, data shards")
    assert "0 to do" in done.err


def test_a_baseline_of_the_runs_is_written_and_holds(own: Own, grid: Path, tmp_path: Path) -> None:
    """With a report for CI."""
    baseline, report = tmp_path / "base.yaml", tmp_path / "report.xml"
    fine(command("check", "--write", baseline, grid, *own.cache, *own.out))
    out = fine(command("check", baseline, "--junit", report, *own.cache, *own.out))
    assert out.count("ok  ") >= 4
    assert 'failures="0"' in report.read_text()


@pytest.mark.parametrize("name", ["run", "sweep"])
def test_what_the_test_data_lack_for_an_attack_is_said_before_work(
    own: Own, name: str, tmp_path: Path
) -> None:
    """Targets must be held out, and no reserve was given; also where nobody asks for the time."""
    if name == "run":
        what = ("run", *own.data, "--attack", "targeted:targets=2", "--poisons", "4", *TRAIN)
    else:
        grid = {
            "data": str(own.data[1]),
            "eval": [str(own.data[3])],
            "attack": ["none", "badnets", "targeted:targets=2"],
            "poisons": 8,
            "train": {"model": "shapes-32", "epochs": 2, "batch_size": 32, "warmup": 1},
        }
        (tmp_path / "grid.yaml").write_text(yaml.safe_dump(grid))
        what = ("sweep", tmp_path / "grid.yaml")
    done = command(*what, "--no-estimate", *own.cache, "--out", tmp_path / "runs")
    assert done.status == 2, done.err
    assert "holds no images out that could be attack targets" in done.err.splitlines()[-1]
    assert not (tmp_path / "runs").exists()


def test_the_results_alone_are_enough(own: Own, tmp_path: Path) -> None:
    """Sent to somebody who has neither the data nor the weights, they are the same table."""
    (tmp_path / "sent").mkdir()
    for folder in filter(Path.is_dir, own.runs.iterdir()):
        shutil.copy(folder / "result.json", tmp_path / "sent" / f"{folder.name}.json")
    away = own.folder.with_name("away")
    here = fine(command("leaderboard", own.runs))
    own.folder.rename(away)
    try:
        assert fine(command("leaderboard", tmp_path / "sent")) == here
        assert fine(command("leaderboard", tmp_path / "sent", "--html", tmp_path / "page.html"))
    finally:
        away.rename(own.folder)
