"""The main job from one command: poison, train with and without a defense, evaluate, rank."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from as_json import record_in
from tiny_runs import GRID, PAIRS, SAFECLIP, Place, command, numbers

from clipbench.errors import BadInput
from clipbench.poisoning.ledger import read_ledger
from clipbench.results.result import checked

Grid = tuple[Place, list[dict[str, Any]]]
ResultOf = Callable[[str, str], dict[str, Any]]
ATTACKS, DEFENSES = ("targeted", "badnets"), ("none", "clip", "safeclip")


def states(folders: Iterable[Path]) -> dict[Path, tuple[int, int, int]]:
    """Return inode, size and time of every file below some folders, but of remembered speeds."""
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    files = [file for file in files if file.parent.name != "speeds"]
    stats = {file: file.stat() for file in files}
    return {file: (s.st_ino, s.st_size, s.st_mtime_ns) for file, s in stats.items()}


def test_every_attack_meets_every_defense_and_its_controls(grid: Grid) -> None:
    """The product of attacks and defenses is run, with each defense on clean data."""
    pairs = [(r["attack"]["name"], r["defense"]["name"]) for r in grid[1]]
    assert sorted(pairs) == sorted((a, d) for a in (*ATTACKS, "none") for d in DEFENSES)
    assert len({result["id"] for result in grid[1]}) == len(pairs)


def test_every_result_is_valid_and_lies_in_its_folder(grid: Grid) -> None:
    """What is printed is valid, and is what stands in ``result.json`` of the run's folder."""
    place, results = grid
    for result in results:
        checked(result)
        file = place.run_folder(result) / "result.json"
        assert record_in(file) == result
    with pytest.raises(BadInput):
        checked({**results[0], "id": "0" * 16})


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("defense", DEFENSES)
def test_attacked_rows_have_what_they_are_judged_by(
    result_of: ResultOf, attack: str, defense: str
) -> None:
    """Attack success stands beside its control, on the same images, and clean accuracy."""
    result = result_of(attack, defense)
    metrics = result["metrics"]
    assert result["attack"]["count"] == 8
    assert result["attack"]["rate"] == 8 / PAIRS
    assert metrics["attack_success"]["n"] == metrics["attack_success_control"]["n"] > 0
    assert metrics["attack_success"]["n"] == (2 if attack == "targeted" else 99)
    assert metrics["zeroshot_top1"]["n"] == 100
    assert {"text_to_image_r1", "image_to_text_r10", "poisoned_accuracy"} <= set(metrics)
    assert result["control"]["id"] == result_of("none", defense)["id"]
    assert "attack_success" not in result_of("none", defense)["metrics"]


@pytest.mark.parametrize("defense", ["none", "clip"])
def test_undefended_poison_is_exposed_once_an_epoch(result_of: ResultOf, defense: str) -> None:
    """Without a filter every poison reaches the contrastive loss exactly once an epoch."""
    for attack in ATTACKS:
        exposures = result_of(attack, defense)["exposures"]
        assert exposures == {"mean": 3.0, "min": 3, "max": 3}
    assert result_of("none", defense)["exposures"] is None


def test_safeclips_exposures_are_those_its_safe_sets_let_through(result_of: ResultOf) -> None:
    """A poison is exposed in the cross-modal warm-up, and later whenever it is in the safe set."""
    for attack in ATTACKS:
        result = result_of(attack, "safeclip")
        last = result["history"][2]
        assert last["poisons_in_epoch"] == 8
        assert result["exposures"]["mean"] == (8 + last["poisons_in_safe_set"]) / 8
        assert last["safe_set_size"] == PAIRS // 2
        assert {"score_auroc", "score_auprc"} <= set(result["metrics"])


def test_history_tells_every_epoch(result_of: ResultOf) -> None:
    """Each epoch has an entry with the losses of its phases."""
    phases = [[*entry["loss"]] for entry in result_of("targeted", "safeclip")["history"]]
    assert phases == [["unimodal warm-up"], ["cross-modal warm-up"], ["risky", "safe"]]
    history = result_of("badnets", "clip")["history"]
    assert [entry["epoch"] for entry in history] == [1, 2, 3]
    assert all(loss > 0 for entry in history for loss in entry["loss"].values())


def test_the_same_command_again_does_nothing(grid: Grid) -> None:
    """What is done is not done again: no file changes, and the table is there at once."""
    place = grid[0]
    before, started = states([place.folder]), time.monotonic()
    done = place.do("run", *GRID)
    assert time.monotonic() - started < 20
    assert states([place.folder]) == before
    assert done.status == 0
    assert done.err.count("is done already") == len(grid[1])
    for defense in DEFENSES:
        assert done.out.count(f"  {defense} ") == len(ATTACKS) + 1


def test_a_second_defense_reuses_shards_and_decoded_images(grid: Grid, tmp_path: Path) -> None:
    """Another defense trains on the same files: neither shards nor images are made again."""
    place = grid[0]
    assert len([*place.cache.glob("shapes/*")]) == 1
    assert len([*place.cache.glob("poisoned/*")]) == len(ATTACKS)
    before = states([place.cache])
    other = ("--defense", f"{SAFECLIP},cap=0.6", "--epochs", "3", "--out", tmp_path)
    assert place.run("--attack", "badnets", "--poisons", "8", *other)[0]["exposures"]["max"] > 0
    assert states([place.cache]) == before


def test_a_number_of_poisons_is_exact(grid: Grid) -> None:
    """A number of poisons may be given instead of a rate, and the ledger lists just as many."""
    place = grid[0]
    (result,) = place.run("--attack", "targeted", "--poisons", "3", "--epochs", "1")
    assert (result["attack"]["count"], result["attack"]["rate"]) == (3, 3 / PAIRS)
    ledgers = [read_ledger(path) for path in place.cache.glob("poisoned/*/ledger")]
    (ledger,) = [book for book in ledgers if book.sha256 == result["attack"]["ledger_sha256"]]
    assert len(ledger.rows) == 3


@pytest.mark.parametrize("rate", ["0.0001%", "1e-6"])
def test_a_plan_of_a_million_pairs_costs_nothing(place: Place, rate: str) -> None:
    """At one in a million `shapes` takes a million pairs; a dry run says so and draws none."""
    started = time.monotonic()
    done = command(
        *("run", "--attack", "targeted", "--rate", rate, "--defense", "safeclip", "--dry-run"),
        *("--cache", place.cache, "--out", place.out),
    )
    assert done.status == 0
    assert time.monotonic() - started < 60
    assert "shapes, 1,000,000 pairs" in done.out
    assert "targeted: 1 of 1,000,000 pairs (rate 1e-06, 0.0001%), 1 target," in done.out
    assert "on this machine" in done.out
    assert states([place.folder]) == {}


def test_json_alone_is_on_standard_output_of_the_real_program(grid: Grid) -> None:
    """Another program reads a JSON list from the pipe, whatever is told to people beside it."""
    place, results = grid
    done = subprocess.run(
        [sys.executable, "-m", "clipbench", *place.line("run", *GRID, "--json")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert [numbers(result) for result in json.loads(done.stdout)] == [*map(numbers, results)]
    assert "is done already" in done.stderr
    assert "Warning" not in done.stderr


def test_the_leaderboard_writes_every_format(grid: Grid, tmp_path: Path) -> None:
    """Markdown, CSV, LaTeX, JSON and plots are written, with a row for each attack and defense."""
    place, results = grid
    ids = [result["id"] for result in results]
    done = command(
        "leaderboard", *(place.run_folder(result) for result in results), "--write", tmp_path
    )
    assert done.status == 0, done.err
    kinds = {file.suffix for file in tmp_path.iterdir() if file.stat().st_size}
    assert {".md", ".csv", ".tex", ".json", ".png"} <= kinds
    (table,) = tmp_path.glob("*.csv")
    with table.open(newline="") as file:
        rows = [*csv.DictReader(file)]
    assert len(rows) == len(results)
    written = [json.loads(file.read_text()) for file in tmp_path.glob("*.json")]
    assert sorted(item["id"] for items in written for item in items) == sorted(ids)


def test_a_warning_is_one_line(place: Place) -> None:
    """What a defense warns of reaches people as one line, without a place in the code."""
    unsplit = "safeclip:unimodal_epochs=1,cross_modal_epochs=1,first_ratio=none,cap=0.05"
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        done = place.do("run", "-q", "--defense", unsplit, "--epochs", "3")
    assert done.status == 0
    (warning,) = {line.partition("(")[0] for line in done.err.splitlines()}
    assert warning == "warning: safeclip: the mixture "
