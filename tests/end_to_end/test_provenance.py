"""Results handed on: submitted with their ledger, run again by someone else, and found out."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from as_json import record_in
from tiny_runs import Done, Place, command

from clipbench.evaluation.statistics import Proportion

ATTACK = ("--attack", "badnets", "--poisons", "8", "--epochs", "3")
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "random_subset.py"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place where someone ran an attack without a defense, and its control."""
    place = Place(tmp_path_factory.mktemp("made"))
    place.run(*ATTACK, "--defense", "none", "--controls")
    return place


@pytest.fixture
def recorded(made: Place) -> dict[str, Any]:
    """The attacked result."""
    files = made.out.glob("*/result.json")
    (found,) = [r for r in map(record_in, files) if r["attack"]["count"]]
    return dict(found)


def written(folder: Path, result: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{result['id']}.json"
    file.write_text(json.dumps(result))
    return file


def ledgers(place: Place) -> Path:
    (folder,) = (place.cache / "poisoned").iterdir()
    return folder


def submit(result: Path, to: Path, *more: object) -> Done:
    return command("submit", result, "--to", to, *more)


def test_a_run_is_submitted_with_its_ledger_and_shown(
    made: Place, recorded: dict[str, Any], tmp_path: Path
) -> None:
    """A real run passes all checks; the folder is a leaderboard, and a second time nothing is."""
    to = tmp_path / "board"
    run = made.run_folder(recorded)
    done = submit(run, to, "--ledger", ledgers(made))
    assert (done.status, done.out) == (0, f"added {to / recorded['id']}.json\n"), done.err
    again = submit(made.out, to, "--json", "--quiet")
    told = {item["id"]: item["added"] for item in json.loads(again.out)}
    assert told.pop(recorded["id"]) is False
    assert list(told.values()) == [True]
    table = command("leaderboard", to)
    assert "badnets" in table.out
    kept = json.loads((to / f"{recorded['id']}.json").read_text())
    assert {key: kept[key] for key in recorded} == recorded


def test_a_flag_is_told_of_by_the_leaderboard(recorded: dict[str, Any], tmp_path: Path) -> None:
    """Whoever reads the table learns what could not be vouched for."""
    del recorded["metrics"]["attack_success_control"]
    done = submit(written(tmp_path, recorded), tmp_path / "board")
    assert done.status == 0
    assert "warning: " in done.err
    assert "no clean control" in done.err
    shown = command("leaderboard", tmp_path / "board")
    assert f"warning: result {recorded['id']}: no clean control" in shown.err


def test_a_row_gains_a_control_that_was_run_later(
    made: Place, recorded: dict[str, Any], tmp_path: Path
) -> None:
    """Submitted without one, and again with it: the row is completed, and its flag is gone."""
    bare = json.loads(json.dumps(recorded))
    del bare["metrics"]["attack_success_control"]
    del bare["control"]
    board = tmp_path / "board"
    submit(written(tmp_path, bare), board)
    row = board / f"{recorded['id']}.json"
    flag = "no clean control: success without attack is not known"
    assert flag in json.loads(row.read_text())["flags"]
    done = submit(made.run_folder(recorded), board)
    assert (done.status, done.out) == (0, f"completed {row}\n"), done.err
    now = json.loads(row.read_text())
    assert {key: now[key] for key in recorded} == recorded
    assert flag not in now["flags"]
    assert submit(written(tmp_path, bare), board).out == f"kept {row}\n"
    assert json.loads(row.read_text()) == now


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [("attack", "targets", 4), ("data", "content_sha256", "0" * 64), ("attack", "mode", "insert")],
)
def test_a_result_that_its_ledger_does_not_bear_out_is_refused(
    made: Place, recorded: dict[str, Any], tmp_path: Path, part: str, name: str, value: Any
) -> None:
    """Counts and hashes are those of the ledger, or nothing is written."""
    recorded[part][name] = value
    if name == "targets":  # nothing else in it contradicts that
        recorded["attack"]["per_target"] = recorded["attack"]["count"] / value
    file = written(tmp_path, recorded)
    done = submit(file, tmp_path / "board", "--ledger", ledgers(made))
    assert done.status == 2
    assert f"{part}.{name} is {value!r}" in done.error
    assert not (tmp_path / "board").exists()


def test_a_ledger_of_another_set_is_refused(
    made: Place, recorded: dict[str, Any], tmp_path: Path
) -> None:
    """It proves nothing of the result."""
    recorded["attack"]["ledger_sha256"] = "0" * 64
    done = submit(written(tmp_path, recorded), tmp_path / "board", "--ledger", ledgers(made))
    assert (done.status, "that of no result given" in done.error) == (2, True)


def test_a_number_that_was_changed_is_refused(recorded: dict[str, Any], tmp_path: Path) -> None:
    """A share that k and n do not give, a setting that the hash does not."""
    forged = copy.deepcopy(recorded)
    forged["metrics"]["zeroshot_top1"]["value"] = 0.999
    done = submit(written(tmp_path / "a", forged), tmp_path / "board")
    assert (done.status, "zeroshot_top1" in done.error) == (2, True)
    forged = copy.deepcopy(recorded)
    forged["config"]["seed"] = 5
    done = submit(written(tmp_path / "b", forged), tmp_path / "board")
    assert (done.status, "config_sha256" in done.error) == (2, True)


def test_a_result_comes_out_again(made: Place, recorded: dict[str, Any], tmp_path: Path) -> None:
    """By id, in another folder, from nothing: the same pairs and ledger, equal to the bit."""
    line = ("reproduce", recorded["id"], "--from", made.out, "--out", tmp_path / "again")
    done = command(*line, "--json", "--quiet")
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert found["reproduced"]
    verdicts = {row["name"]: row["verdict"] for row in found["checks"]}
    assert verdicts["pairs"] == verdicts["ledger"] == "equal"
    assert verdicts["attack_success"] == verdicts["attack_success_control"] == "equal"
    assert set(verdicts.values()) == {"equal"}
    assert len(list((tmp_path / "again").glob("*/result.json"))) == 2, "the run and its control"

    forged = copy.deepcopy(recorded)
    n = forged["metrics"]["zeroshot_top1"]["n"]
    forged["metrics"]["zeroshot_top1"] = Proportion(n, n).to_json()
    file = written(tmp_path, forged)
    answer = command("reproduce", file, "--out", tmp_path / "again", "--quiet")
    assert answer.status == 1
    (row,) = [line for line in answer.out.splitlines() if "OUTSIDE" in line]
    assert row.startswith("zeroshot_top1")
    assert f"{forged['id']} is not reproduced" in answer.out


def test_a_result_is_not_held_against_itself(made: Place, recorded: dict[str, Any]) -> None:
    """In the folder of the recorded runs nothing would be made anew."""
    done = command("reproduce", made.run_folder(recorded), "--out", made.out)
    assert (done.status, "choose another --out" in done.error) == (2, True)


def test_a_result_of_another_version_is_not_run(recorded: dict[str, Any], tmp_path: Path) -> None:
    """Where this version would do another run, it says which version to install."""
    from clipbench.results.result import config_hash  # noqa: PLC0415

    del recorded["config"]["attack"]["size"]
    recorded["config_sha256"] = config_hash(recorded["config"])
    recorded["id"] = recorded["config_sha256"][:16]
    done = command("reproduce", written(tmp_path, recorded), "--out", tmp_path / "again")
    assert (done.status, "install the version it was made with" in done.error) == (2, True)
    assert not (tmp_path / "again").exists()


def test_code_that_came_with_a_result_runs_if_it_is_named(place: Place, tmp_path: Path) -> None:
    """A defense in a file: refused, and done when that very file is allowed."""
    (result,) = place.run(*ATTACK, "--defense", EXAMPLE)
    line = ("reproduce", place.run_folder(result), "--out", tmp_path / "again", "--quiet")
    done = command(*line)
    assert (done.status, "is a file of its own" in done.error) == (2, True)
    assert not (tmp_path / "again").exists()
    other = tmp_path / "random_subset.py"
    other.write_text(f"{EXAMPLE.read_text()}\n# changed\n")
    assert command(*line, "--allow", other).status == 2
    done = command(*line, "--allow", EXAMPLE)
    assert done.status == 0, done.err
    assert "attack_success" in done.out


def test_what_is_not_there_is_one_line(made: Place, tmp_path: Path) -> None:
    """An id that no result has, a file that is none, a folder of several."""
    done = command("reproduce", "0" * 16, "--from", made.out)
    assert (done.status, "There is no result" in done.error) == (2, True)
    done = command("reproduce", tmp_path / "nothing.json")
    assert (done.status, "nothing.json" in done.error) == (2, True)
    done = command("reproduce", made.out)
    assert (done.status, "holds 2 results" in done.error) == (2, True)
    done = command("submit", tmp_path / "nothing.json", "--to", tmp_path / "board")
    assert (done.status, "nothing.json" in done.error) == (2, True)
