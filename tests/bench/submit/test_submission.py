"""Submissions: what contradicts itself is refused, what can't be vouched for is flagged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from as_json import of_json

from clipbench.errors import CorruptData
from clipbench.evaluation.statistics import Proportion
from clipbench.results.model import records
from clipbench.results.store import load_results
from clipbench.submit.standing import Standing, standing
from clipbench.submit.submission import flags_of, prepare, write

flags_of = of_json(flags_of)
prepare = of_json(prepare)
standing = of_json(standing)

Result = dict[str, Any]
MakeResult = Callable[..., Result]
Seal = Callable[[Result], Result]


def submit(folder: Path, *results: Result) -> list[list[str]]:
    """Take results in and return their flags."""
    found = prepare(results, folder)
    for item in found:
        if item.done != "kept":
            write(item)
    return [item.flags for item in found]


def test_a_sound_result_is_taken_in_without_a_flag(make_result: MakeResult, tmp_path: Path) -> None:
    """It is a file named after its id, which the leaderboard reads."""
    result = make_result()
    assert submit(tmp_path, result) == [[]]
    assert [path.name for path in tmp_path.iterdir()] == [f"{result['id']}.json"]
    assert records(load_results([tmp_path])) == [{**result, "flags": []}]


def test_files_are_canonical(make_result: MakeResult, tmp_path: Path) -> None:
    """Names are sorted, one newline ends the file; the order of names given does not matter."""
    result = make_result()
    submit(tmp_path / "one", result)
    submit(tmp_path / "two", dict(reversed(result.items())))
    texts = [next(folder.iterdir()).read_bytes() for folder in sorted(tmp_path.iterdir())]
    assert texts[0] == texts[1]
    assert texts[0].endswith(b"}\n")
    assert not texts[0].endswith(b"\n\n")
    keys = list(json.loads(texts[0]))
    assert keys == sorted(keys)


def test_the_same_numbers_again_change_nothing(make_result: MakeResult, tmp_path: Path) -> None:
    """A result made at another time on another machine is the same; its file stays as it is."""
    result = make_result()
    submit(tmp_path, result)
    (file,) = tmp_path.iterdir()
    before = file.read_bytes()
    later = {**result, "created": "2027-01-01T00:00:00+00:00"}
    later["environment"] = {**result["environment"], "python": "3.13.0"}
    assert standing(later, result) is Standing.SAME
    (item,) = prepare([later], tmp_path)
    assert item.done == "kept"
    submit(tmp_path, later)
    assert file.read_bytes() == before


def test_how_long_it_took_is_no_number_of_a_run(make_result: MakeResult) -> None:
    """The same run on a busy machine takes other seconds, of clocks and of processors."""
    one, other = make_result(), make_result()
    one["train"] = {"steps": 9, "seconds": 3.0, "seconds_shared": 0.0, "cpu_seconds": 5.0}
    other["train"] = {"steps": 9, "seconds": 1.0, "seconds_shared": 0.5, "cpu_seconds": 2.0}
    assert standing(one, other) is Standing.SAME
    other["train"]["steps"] += 1
    assert standing(one, other) is Standing.OTHER


def test_other_numbers_of_the_same_run_are_refused(make_result: MakeResult, tmp_path: Path) -> None:
    """Nothing is replaced, neither in the folder nor within one call, and none of a call added."""
    submit(tmp_path, make_result())
    (file,) = tmp_path.iterdir()
    before = file.read_bytes()
    others = [make_result(seed=1), make_result(success=3)]
    with pytest.raises(CorruptData, match="with other numbers"):
        submit(tmp_path, *others)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert file.read_bytes() == before
    with pytest.raises(CorruptData, match="with other numbers"):
        submit(tmp_path / "empty", make_result(seed=1), make_result(seed=1, success=3))
    assert not (tmp_path / "empty").exists()


def test_a_control_measured_later_completes_a_row(make_result: MakeResult, tmp_path: Path) -> None:
    """It takes the place of the row, in a later call and within one; its flag is gone then."""
    bare, full = make_result(), make_result()
    del bare["metrics"]["attack_success_control"]
    assert standing(full, bare) is Standing.MORE
    assert submit(tmp_path, bare) == [["no clean control: success without attack is not known"]]
    (item,) = prepare([full], tmp_path)
    assert item.done == "completed"
    assert submit(tmp_path, full) == [[]]
    assert records(load_results([tmp_path])) == [{**full, "flags": []}]
    assert submit(tmp_path / "at_once", bare, full) == [[]]
    assert records(load_results([tmp_path / "at_once"])) == [{**full, "flags": []}]


def test_a_result_without_what_was_measured_later_changes_nothing(
    make_result: MakeResult, tmp_path: Path
) -> None:
    """The run as it was before is a part of the row that is there."""
    bare, full = make_result(), make_result()
    del bare["metrics"]["attack_success_control"]
    submit(tmp_path, full)
    (item,) = prepare([bare], tmp_path)
    assert item.done == "kept"
    assert item.flags == []


def test_what_each_has_alone_makes_them_others(make_result: MakeResult, tmp_path: Path) -> None:
    """Neither says all that the other does: it is for people to bring them together."""
    one, other = make_result(), make_result()
    del one["metrics"]["attack_success_control"]
    del other["metrics"]["zeroshot_top1"]
    assert standing(one, other) is standing(other, one) is Standing.OTHER
    submit(tmp_path, one)
    with pytest.raises(CorruptData, match="with other numbers"):
        submit(tmp_path, other)


def test_a_number_that_changed_is_not_hidden_by_one_that_was_added(
    make_result: MakeResult,
) -> None:
    """In the tables' metrics, and in those of an evaluation set."""
    before, now = make_result(), make_result(success=3)
    del before["metrics"]["attack_success_control"]
    assert standing(now, before) is Standing.OTHER
    before, now = make_result(), make_result()
    of_set = {"name": "shapes", "metrics": {"zeroshot_top1": Proportion(1, 2).to_json()}}
    before["evaluations"] = [of_set]
    extra = {**of_set["metrics"], "mine": Proportion(1, 2).to_json()}
    now["evaluations"] = [{**of_set, "metrics": extra}]
    assert standing(now, before) is Standing.MORE
    now["evaluations"] = [{**of_set, "metrics": {"zeroshot_top1": Proportion(2, 2).to_json()}}]
    assert standing(now, before) is Standing.OTHER


def test_a_result_that_would_take_the_place_of_another_is_refused(
    make_result: MakeResult, tmp_path: Path
) -> None:
    """Which checkpoints are kept makes another run and no other row: a table has one of the two."""
    other = {"train": {"save_frequency": 1}}
    submit(tmp_path / "board", make_result(defense="clip"))
    with pytest.raises(CorruptData, match=r"of the same combination and seed as .* nothing is"):
        submit(tmp_path / "board", make_result(defense="clip", success=3, **other))
    with pytest.raises(CorruptData, match="of the same combination and seed as"):
        submit(tmp_path / "new", make_result(), make_result(success=3, **other))
    same = make_result(defense="clip", **other)
    assert submit(tmp_path / "board", same, make_result(defense="clip", seed=1)) == [[], []]


def changed(result: Result, path: str, value: Any) -> Result:
    """Return a result with one field changed."""
    *parents, last = path.split(".")
    part = result = json.loads(json.dumps(result))
    for name in parents:
        part = part[name]
    part[last] = value
    return result


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("defense.name", "safeclip", "defense.name is 'safeclip', but 'none'"),
        ("attack.parameters", {"size": 0.5}, "attack.parameters"),
        ("data.parameters", {}, "data.parameters"),
        ("seed", 1, "seed is 1, but 0"),
        ("model.name", "RN50", "model.name"),
        ("attack.ledger_sha256", None, "no hash of a ledger"),
        ("attack.count", 4, "4 poisons of 400 pairs"),
        ("attack.rate", 0.5, "rate 0.5"),
        ("metrics.attack_success_control", Proportion(1, 50).to_json(), "50 of its control"),
    ],
)
def test_a_result_that_contradicts_itself_is_refused(
    make_result: MakeResult, tmp_path: Path, path: str, value: Any, message: str
) -> None:
    """What it shows must be what its configuration says, and its counts must add up."""
    with pytest.raises(CorruptData, match=message):
        submit(tmp_path / "to", changed(make_result(), path, value))
    assert not (tmp_path / "to").exists()


def test_a_clean_result_with_a_ledger_is_refused(make_result: MakeResult, tmp_path: Path) -> None:
    """Nothing was poisoned, so there is none."""
    clean = make_result(attack="none")
    assert submit(tmp_path, clean) == [[]]
    wrong = changed(clean, "attack.ledger_sha256", "0" * 64)
    with pytest.raises(CorruptData, match="a ledger"):
        submit(tmp_path / "to", wrong)


def test_a_result_of_another_version_is_flagged(make_result: MakeResult, seal: Seal) -> None:
    """A parameter that is no longer there, or a default that was filled in here."""
    gone = make_result()
    gone["config"]["attack"]["color"] = gone["attack"]["parameters"]["color"] = 1
    (flag,) = flags_of(seal(gone))
    assert "cannot be resolved here" in flag
    assert "color" in flag
    older = make_result()
    del older["config"]["attack"]["size"]
    (flag,) = flags_of(seal(older))
    assert flag.startswith("made by another version (0.1.0)")


def test_what_cannot_be_vouched_for_is_flagged(make_result: MakeResult) -> None:
    """No clean control, code with changes, a plugin of its own."""
    (flag,) = flags_of(make_result(control=None))
    assert "no clean control" in flag
    dirty = make_result()
    dirty["environment"]["git"] += "-dirty"
    (flag,) = flags_of(dirty)
    assert "in no commit" in flag


def test_a_file_of_ones_own_is_flagged_and_not_run(make_result: MakeResult, tmp_path: Path) -> None:
    """Who takes a result in runs none of its code."""
    file = tmp_path / "mine.py"
    file.write_text(
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Mine:\n"
        "    def start(self, facts): ...\nDEFENSE = Mine\n"
    )
    result = make_result(defense=str(file))
    file.write_text("raise SystemExit")
    (flag,) = flags_of(result)
    assert "is a file of its own" in flag


def test_flags_of_a_stranger_are_not_believed(make_result: MakeResult, tmp_path: Path) -> None:
    """They are made anew, on one line without control characters."""
    lying = {**make_result(control=None, seed=2), "flags": []}
    (flags,) = submit(tmp_path, lying)
    assert flags == flags_of(lying)
    nasty = make_result()
    nasty["config"]["attack"]["name"] = nasty["attack"]["name"] = "bad\x1b[31m\nnets"
    (flag,) = flags_of(nasty)
    assert "\x1b" not in flag
    assert "\n" not in flag


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("config.poisons", 3, "8 poisons, but 3 in its config"),
        ("config.rate_text", "0.5", "8 poisons, but 200 of 400 pairs"),
        ("config.rate_text", "1e-999999999", "at a rate of '1e-999999999'"),
        ("attack.per_target", 5.0, "8 poisons, but 1 targets of 5 each"),
        ("attack.targets", 100, "100 targets of 8 poisons"),
        ("metrics.zeroshot_top5", Proportion(1, 100).to_json(), "zeroshot_top1 is more than"),
        (
            "evaluations",
            [{"name": "shapes", "metrics": {"mean_per_class_recall": {"value": 0.1}}}],
            "mean_per_class_recall has another value",
        ),
        (
            "history",
            [{"epoch": 1, "safe_set_size": 300, "poisons_in_safe_set": 9}],
            "poisons_in_safe_set is 9 of 8",
        ),
        (
            "history",
            [{"epoch": 1, "safe_set_size": 401, "poisons_in_safe_set": 1}],
            "safe_set_size is 401 of 400",
        ),
        ("control", {"id": "f" * 16}, "its clean control is 'ffffffffffffffff', but must be"),
        ("control", "nonsense", "its clean control is 'nonsense', but must be"),
    ],
)
def test_what_cannot_be_true_together_is_refused(
    make_result: MakeResult, seal: Seal, tmp_path: Path, path: str, value: Any, message: str
) -> None:
    """A count, what the configuration asks for, what was measured of it, and the control."""
    with pytest.raises(CorruptData, match=f"contradicts itself: .*{message}"):
        submit(tmp_path / "to", seal(changed(make_result(), path, value)))
    assert not (tmp_path / "to").exists()


def test_what_is_true_together_is_taken_in(make_result: MakeResult, tmp_path: Path) -> None:
    """The run's own control; a metric that two sets have; a rate of what was inserted."""
    result = make_result()
    result["control"] = {"id": make_result(attack="none")["id"]}
    shown = {"mean_per_class_recall": result["metrics"]["mean_per_class_recall"]}
    result["evaluations"] = [
        {"name": "first", "metrics": {"mean_per_class_recall": {"value": 0.1}}},
        {"name": "second", "metrics": shown},
    ]
    assert submit(tmp_path, result) == [[]]
    inserted = make_result(attack="targeted:targets=1,mode=insert", poisons=None, rate="2%")
    inserted["attack"] |= {"mode": "insert", "rate": 8 / 408}
    inserted["data"]["pairs"] = 408  # 8 of 400 + 8 are what is nearest to 2%
    assert submit(tmp_path, inserted) == [[]]
