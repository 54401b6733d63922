"""`clipbench leaderboard`: every format, every file, and the table that `run` ends with."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from clipbench.cli import main
from clipbench.evaluation.statistics import Proportion
from clipbench.results.model import SCHEMA
from clipbench.results.result import config_hash, write_result


def result(defense: str, success: int) -> dict[str, Any]:
    """Return the result of a run of the embedded data set under 16 targets."""
    attack = {"targets": None, "mode": "replace", "match": "word"}
    config = {"attack": {"name": "targeted", **attack}, "defense": {"name": defense}, "seed": 0}
    sha = config_hash(config)
    digest = hashlib.sha256(b"content").hexdigest()
    return {
        "schema": SCHEMA,
        "id": sha[:16],
        "created": "2026-03-01T12:00:00+00:00",
        "status": "complete",
        "config": config,
        "config_sha256": sha,
        "data": {
            "name": "shapes",
            "parameters": {"size": 300},
            "pairs": 300,
            "content_sha256": digest,
            "evaluation": {
                "name": "shapes",
                "classes_sha256": digest,
                "templates_sha256": digest,
            },
        },
        "attack": {
            "name": "targeted",
            "parameters": attack,
            "rate": 0.01,
            "count": 32,
            "targets": 16,
            "per_target": 2.0,
            "mode": "replace",
            "ledger_sha256": digest,
            "trigger_sha256": None,
        },
        "defense": {"name": defense, "parameters": {}},
        "model": {"name": "shapes-32", "parameters": 900000, "image_size": 32},
        "seed": 0,
        "train": None,
        "exposures": None,
        "metrics": {
            "attack_success": Proportion(success, 16).to_json(),
            "zeroshot_top1": Proportion(85, 100).to_json(),
        },
        "history": [
            {"epoch": epoch, "attack_success": Proportion(success, 16).to_json()}
            for epoch in range(2)
        ],
        "environment": {"clipbench": "0.1.0", "python": "3.11.9"},
    }


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with the results of two runs."""
    for defense, success in (("none", 15), ("clip", 12)):
        write_result(tmp_path / "runs" / defense / "result.json", result(defense, success))
    return tmp_path / "runs"


def test_the_table_is_printed(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The text table has a row a combination, and defaults of plugins are not in its labels."""
    assert main(["leaderboard", str(runs)]) == 0
    out = capsys.readouterr().out
    assert "15/16" in out
    assert "12/16" in out
    assert "match=" not in out
    assert "Eligible:" not in out
    assert main(["leaderboard", str(runs), "--legend"]) == 0
    explained = capsys.readouterr().out
    assert explained.startswith(out)
    assert "Eligible: whether" in explained


def test_a_pipe_gets_all_of_the_table_whatever_the_width(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the same results are the same text in every terminal's pipe."""
    assert main(["leaderboard", str(runs)]) == 0
    out = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "40")
    assert main(["leaderboard", str(runs)]) == 0
    assert capsys.readouterr().out == out
    assert "R@1" in out


def test_a_terminal_is_filled_and_not_passed(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has no room is named."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "90")
    assert main(["leaderboard", str(runs), "--legend"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 90
    assert "Left out at this width: " in out
    assert "15/16 93.8% [71.7, 98.9]" in out


def test_rows_are_chosen_on_the_command_line(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In every format, on the page, and in what is written; the undefended row still judges."""
    line = ["leaderboard", str(runs), "--defense", "clip", "--attack", "targeted"]
    assert main([*line, "--format", "csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["defense"], row["undefended"]) == ("clip", "0.9375")
    assert main([*line, "--json", "--html", str(tmp_path / "page.html")]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["defense"]["name"] == "clip"
    page = (tmp_path / "page.html").read_text()
    assert 'data-defense="clip"' in page
    assert 'data-defense="none"' not in page
    assert main(["leaderboard", str(runs), "--defense", "clip,none", "--format", "csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main(["leaderboard", str(runs), "--defense", "safeclip"]) == 2
    assert "Known: clip, none" in capsys.readouterr().err


def test_runs_is_the_default_folder(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without paths the results are those of the folder ``runs``."""
    monkeypatch.chdir(runs.parent)
    assert main(["leaderboard"]) == 0
    assert "15/16" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("style", "mark"),
    [
        ("markdown", "| --- "),
        ("csv", "attack,"),
        ("latex", "\\toprule"),
        ("ranking", "| **For comparison** |"),
    ],
)
def test_other_formats(
    runs: Path, capsys: pytest.CaptureFixture[str], style: str, mark: str
) -> None:
    """Markdown, CSV, LaTeX and the ranking go to standard output as well."""
    assert main(["leaderboard", str(runs), "--format", style]) == 0
    assert mark in capsys.readouterr().out


def test_json_is_the_list_of_results(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With ``--json`` the result objects themselves are printed, and nothing else."""
    assert main(["leaderboard", str(runs), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {item["defense"]["name"] for item in found} == {"none", "clip"}


def test_everything_is_written(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``--write`` writes each format and the plots, and names the files on standard error."""
    assert main(["leaderboard", str(runs), "--write", str(tmp_path / "w")]) == 0
    written = sorted(path.name for path in (tmp_path / "w").iterdir())
    assert written == [
        "history.pdf",
        "history.png",
        "leaderboard.csv",
        "leaderboard.json",
        "leaderboard.md",
        "leaderboard.tex",
        "success_vs_accuracy.pdf",
        "success_vs_accuracy.png",
    ]
    err = capsys.readouterr().err
    assert all(f"{tmp_path / 'w' / name}" in err for name in written)


def test_the_page_is_written(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``--html`` writes the page, names it on standard error, and prints the table as ever."""
    page = tmp_path / "new" / "page.html"
    assert main(["leaderboard", str(runs), "--html", str(page), "--eligible-at", "0.99"]) == 0
    captured = capsys.readouterr()
    assert str(page) in captured.err
    assert "15/16" in captured.out
    text = page.read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert "15/16" in text
    assert "at least 99% of the trials" in text


def test_a_folder_is_no_page(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder in the place of the page is refused before anything is read."""
    assert main(["leaderboard", str(runs), "--html", str(tmp_path)]) == 2
    assert "is a directory" in capsys.readouterr().err


def test_eligibility_can_be_set(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A higher bar makes the same rows not eligible."""
    assert main(["leaderboard", str(runs), "--format", "csv"]) == 0
    low = capsys.readouterr().out
    assert main(["leaderboard", str(runs), "--format", "csv", "--eligible-at", "0.99"]) == 0
    assert capsys.readouterr().out != low
    assert main(["leaderboard", str(runs), "--eligible-at", "2"]) == 2


def test_a_damaged_result_is_a_warning(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A damaged file is named and left out; the other rows are shown."""
    (runs / "clip" / "result.json").write_text("{")
    assert main(["leaderboard", str(runs)]) == 0
    captured = capsys.readouterr()
    assert "warning: " in captured.err
    assert "clip/result.json" in captured.err
    assert "15/16" in captured.out
    assert "12/16" not in captured.out


def test_a_folder_without_results_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where there is nothing to show, the status is 2 and the message says what to do."""
    assert main(["leaderboard", str(tmp_path)]) == 2
    assert "clipbench run" in capsys.readouterr().err


def test_no_code_named_by_a_result_is_run(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An attack whose name is the path of a file is shown by that name; the file is not run."""
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    strange = result("none", 15)
    strange["attack"]["name"] = str(evil)
    write_result(runs / "none" / "result.json", strange)
    assert main(["leaderboard", str(runs), "--format", "csv"]) == 0
    assert str(evil) in capsys.readouterr().out
    assert not (tmp_path / "ran").exists()


def test_a_matrix_that_cannot_be_is_refused_before_anything_is_written(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A metric that no result has leaves no folder of tables behind."""
    line = ["leaderboard", str(runs), "--format", "matrix", "--write", str(tmp_path / "w")]
    assert main([*line, "--cell", "nonsense"]) == 2
    assert "'nonsense'" in capsys.readouterr().err
    assert not (tmp_path / "w").exists()


def test_a_matrix_says_what_is_eligible(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The note has the bar that was asked for."""
    line = ["leaderboard", str(runs), "--format", "matrix", "--eligible-at", "0.99"]
    assert main(line) == 0
    assert "at least 99% of its probes" in capsys.readouterr().out


def test_names_of_files_drive_no_terminal(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither in a warning nor in an error."""
    (runs / "\x1b[2J.json").write_text("{")
    assert main(["leaderboard", str(runs)]) == 0
    assert main(["leaderboard", str(runs / "\x1b[2J.json")]) == 2
    assert main(["leaderboard", str(runs / "\x1b[3J.json")]) == 2
    err = capsys.readouterr().err
    assert err.count("\\x1b[") == 3
    assert "\x1b" not in err


def test_results_on_different_poison_are_told(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table is made all the same."""
    other = result("dao", 3)
    other["attack"]["ledger_sha256"] = hashlib.sha256(b"another").hexdigest()
    write_result(runs / "dao" / "result.json", other)
    assert main(["leaderboard", str(runs)]) == 0
    captured = capsys.readouterr()
    assert (
        "warning: targeted at 1%, seed 0, has results on 2 different poisoned sets" in captured.err
    )
    assert "dao" in captured.out
