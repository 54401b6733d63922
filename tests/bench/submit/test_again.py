"""A run made again, as on another machine: its row says so, and keeps its own numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from as_json import of_json

from clipbench.cli import main
from clipbench.errors import BadSetting, CorruptData
from clipbench.evaluation.statistics import Proportion
from clipbench.submit.submission import prepare, prepare_again, write

prepare, prepare_again = of_json(prepare), of_json(prepare_again)

Result = dict[str, Any]
MakeResult = Callable[..., Result]
LATER = "2027-01-01T00:00:00+00:00"


def put(folder: Path, *results: Result, again: bool = False) -> list[str]:
    """Take results in and return what became of each."""
    found = prepare_again(results, folder) if again else prepare(results, folder)
    for item in found:
        if item.done != "kept":
            write(item)
    return [item.done for item in found]


def row_in(folder: Path) -> Result:
    """Return the one result of a folder without the hash of its file."""
    (file,) = folder.iterdir()
    row: Result = json.loads(file.read_text())
    del row["sha256_of_rest"]
    return row


@pytest.fixture
def trained(make_result: MakeResult) -> MakeResult:
    """Return a factory of results of a training on some processor."""

    def made(cpu: str = "Example CPU", **asked: Any) -> Result:
        result = make_result(**asked)
        train = {"epochs": 1, "samples_seen": 400, "steps": 4, "pairs_per_second": 400.0}
        train |= {"seconds": 1.0, "peak_memory_bytes": None, "device": "cpu"}
        train |= {"precision": "fp32", "processes": 1}
        environment = {**result["environment"], "hardware": {"cpu": cpu}}
        return {**result, "train": train, "environment": environment}

    return made


@pytest.fixture
def elsewhere(trained: MakeResult) -> MakeResult:
    """Return a factory of the same run on another processor, a year later."""
    return lambda **asked: {**trained("Another CPU", **asked), "created": LATER}


def test_a_row_tells_of_the_same_numbers_on_another_machine(
    trained: MakeResult, elsewhere: MakeResult, tmp_path: Path
) -> None:
    """All else in it stays as it was."""
    put(tmp_path, trained())
    before, other = row_in(tmp_path), elsewhere()
    assert put(tmp_path, other, again=True) == ["completed"]
    row = row_in(tmp_path)
    (note,) = row.pop("again")
    assert row == before
    assert (note["created"], note["differs"]) == (LATER, [])
    assert note["environment"]["hardware"]["cpu"] == "Another CPU"
    assert note["train"]["seconds"] == other["train"]["seconds"]


def test_other_numbers_are_named_and_never_taken(
    trained: MakeResult, elsewhere: MakeResult, tmp_path: Path
) -> None:
    """Neither metrics nor losses of the later training are in the row."""
    put(tmp_path, trained())
    before, other = row_in(tmp_path), elsewhere(success=3)
    other["history"] = [{"epoch": 1, "loss": {"clip": 9.0}, "lr": 0.1, "pairs": 8}]
    with pytest.raises(CorruptData, match="note in it that the run was made again, with --again"):
        put(tmp_path, other)
    put(tmp_path, other, again=True)
    row = row_in(tmp_path)
    assert row.pop("again")[0]["differs"] == ["history", "attack_success"]
    assert row == before


def test_what_only_one_of_them_measured_is_no_difference(
    trained: MakeResult, elsewhere: MakeResult, tmp_path: Path
) -> None:
    """A control may be there in one alone; where no metric is in both, nothing is noted."""
    put(tmp_path, trained())
    other = elsewhere()
    del other["metrics"]["attack_success_control"]
    put(tmp_path, other, again=True)
    assert row_in(tmp_path)["again"][0]["differs"] == []
    bare = trained(seed=1)
    put(tmp_path / "bare", bare)
    nothing = {**elsewhere(seed=1), "metrics": {"mine": Proportion(1, 2).to_json()}}
    with pytest.raises(CorruptData, match="nothing compares"):
        put(tmp_path / "bare", nothing, again=True)


def test_a_training_is_noted_once_and_not_beside_itself(
    trained: MakeResult, elsewhere: MakeResult, tmp_path: Path
) -> None:
    """Handing it in twice, or the row's own result, changes nothing."""
    put(tmp_path, trained())
    assert put(tmp_path, trained(), again=True) == ["kept"]
    assert put(tmp_path, elsewhere(), elsewhere(), again=True) == ["completed"]
    assert put(tmp_path, elsewhere(), again=True) == ["kept"]
    third = {**elsewhere(), "created": "2027-02-01T00:00:00+00:00"}
    assert put(tmp_path, third, again=True) == ["completed"]
    assert [note["created"][:7] for note in row_in(tmp_path)["again"]] == ["2027-01", "2027-02"]


def test_a_row_that_gains_a_control_keeps_its_notes(
    trained: MakeResult, elsewhere: MakeResult, tmp_path: Path
) -> None:
    """The fuller result takes the row's place, not that of what is known of it."""
    bare = trained()
    del bare["metrics"]["attack_success_control"]
    put(tmp_path, bare)
    put(tmp_path, elsewhere(), again=True)
    assert put(tmp_path, trained()) == ["completed"]
    row = row_in(tmp_path)
    assert "attack_success_control" in row["metrics"]
    assert [note["created"] for note in row["again"]] == [LATER]


def test_notes_come_along_where_a_row_is_handed_on(
    trained: MakeResult, elsewhere: MakeResult, tmp_path: Path
) -> None:
    """Into an empty folder, and into one whose row does not have them yet."""
    put(tmp_path / "one", trained())
    put(tmp_path / "one", elsewhere(), again=True)
    noted = row_in(tmp_path / "one")
    put(tmp_path / "two", noted)
    assert row_in(tmp_path / "two")["again"] == noted["again"]
    put(tmp_path / "three", trained())
    assert put(tmp_path / "three", noted) == ["completed"]
    assert row_in(tmp_path / "three")["again"] == noted["again"]
    assert put(tmp_path / "three", noted) == ["kept"]


def test_only_what_is_there_was_made_again(
    trained: MakeResult, elsewhere: MakeResult, tmp_path: Path
) -> None:
    """A run without a row is refused, and so is one that contradicts itself or was not trained."""
    with pytest.raises(BadSetting, match="submit it without --again"):
        put(tmp_path, elsewhere(), again=True)
    put(tmp_path, trained())
    before = row_in(tmp_path)
    wrong = elsewhere()
    wrong["metrics"]["zeroshot_top5"] = Proportion(1, 100).to_json()
    with pytest.raises(CorruptData, match="top5"):
        put(tmp_path, wrong, again=True)
    with pytest.raises(BadSetting, match="tells of no training"):
        put(tmp_path, {**elsewhere(), "train": None}, again=True)
    assert row_in(tmp_path) == before


def test_a_note_of_a_training_of_other_length_must_say_so(
    trained: MakeResult, elsewhere: MakeResult, tmp_path: Path
) -> None:
    """Kinds of machines count as one by what notes say is the same, and costs by their seconds."""
    put(tmp_path / "one", trained())
    put(tmp_path / "one", elsewhere(), again=True)
    row = row_in(tmp_path / "one")
    row["again"][0]["train"]["steps"] = 3
    with pytest.raises(CorruptData, match=f"steps differs in its note of {LATER[:10]}"):
        put(tmp_path / "two", row)
    row["again"][0]["differs"] = ["train"]
    assert put(tmp_path / "two", row) == ["added"]


def test_the_command_says_what_it_notes(
    trained: MakeResult,
    elsewhere: MakeResult,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On what each run was made again, and in what its numbers differ; or that it is known."""
    board, same, other = tmp_path / "board", tmp_path / "same.json", tmp_path / "other.json"
    put(board, trained(), trained(seed=1))
    same.write_text(json.dumps(elsewhere()))
    other.write_text(json.dumps(elsewhere(seed=1, success=3)))
    command = ["submit", str(same), str(other), "--to", str(board), "--again"]
    assert main(command) == 0
    told = capsys.readouterr()
    assert told.out.count("completed ") == 2
    assert "was made again on Another CPU, with the same numbers" in told.err
    assert "was made again on Another CPU, with other numbers: attack_success\n" in told.err
    assert main(command) == 0
    told = capsys.readouterr()
    assert (told.out.count("kept "), told.err.count("has that already")) == (2, 2)
    assert main([*command, "--name", "data.path=x"]) == 2
    assert "--name would be ignored" in capsys.readouterr().err
