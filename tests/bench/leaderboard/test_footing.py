"""What a row is held against is of its own precision, recipe and machine, or the row says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from as_json import of_json

from clipbench.leaderboard.footing import mismatches
from clipbench.leaderboard.tables import leaderboard

mismatches = of_json(mismatches)
leaderboard = of_json(leaderboard)

Result = dict[str, Any]
MakeResult = Callable[..., Result]


def records(results: list[Result]) -> dict[str, dict[str, Any]]:
    return {row["defense"]: row for row in leaderboard(results).to_dict("records") if row["count"]}


def elsewhere(result: Result) -> Result:
    """Return a result of another processor."""
    hardware = {**result["environment"]["hardware"], "cpu": "Another CPU"}
    return {**result, "environment": {**result["environment"], "hardware": hardware}}


def test_a_defense_is_judged_by_clip_whose_augmentation_it_has(make_result: MakeResult) -> None:
    """What augmentation stops no defense stops; both verdicts stand beside each other."""
    told = records(
        [
            make_result(success=(16, 16)),
            make_result(defense="clip", success=(2, 16)),
            make_result(defense="mine", success=(0, 16)),
        ]
    )
    assert told["mine"]["eligible"] == "no (under clip 12.5%)"
    assert (told["mine"]["judged_by"], told["mine"]["eligible_none"]) == ("clip", "yes")
    assert told["clip"]["eligible"] == "yes"  # augmentation itself is judged by none
    assert (told["clip"]["judged_by"], told["none"]["judged_by"]) == ("none", "none")


def test_where_clip_was_not_run_none_judges(make_result: MakeResult) -> None:
    """And the row says by which it was."""
    told = records([make_result(success=(16, 16)), make_result(defense="mine", success=(0, 16))])
    assert (told["mine"]["eligible"], told["mine"]["judged_by"]) == ("yes", "none")
    assert told["mine"]["eligible_clip"] is None


def test_all_defenses_are_judged_by_the_clip_of_nones_settings(make_result: MakeResult) -> None:
    """One of more epochs is a row to compare with; where it is the only one, it judges."""
    short, long, other = ({"epochs": epochs} for epochs in (9, 15, 18))
    made = [
        make_result(success=(16, 16), train=short),
        make_result(defense="clip", success=(16, 16), train=short),
        make_result(defense="clip", success=(1, 16), train=long),
        make_result(defense="as_long", success=(0, 16), train=long),
        make_result(defense="other", success=(0, 16), train=other),
    ]
    told = records(made)
    assert told["as_long"]["judge_runs"] == told["other"]["judge_runs"] == made[1]["id"]
    assert (told["clip (epochs=15)"]["epochs"], told["as_long"]["epochs"]) == (15, 15)
    del made[1]
    assert records(made)["as_long"]["judge_runs"] == made[1]["id"]


def test_where_none_ran_in_two_recipes_each_has_a_judge_of_its_own(
    make_result: MakeResult,
) -> None:
    """As its cost has."""
    made = [
        make_result(defense=defense, success=(16, 16), train={"epochs": epochs})
        for epochs in (9, 15)
        for defense in ("none", "clip", "mine")
    ]
    told = records(made)
    assert told["mine (epochs=9)"]["judge_runs"] == made[1]["id"]
    assert told["mine (epochs=15)"]["judge_runs"] == made[4]["id"]


def test_other_precisions_judge_nothing(make_result: MakeResult) -> None:
    """A row whose precision no undefended row has is not judged, and has no cost."""
    other = make_result(defense="mine", success=(0, 16))
    other["train"] = {**other["train"], "precision": "fp32"}
    told = records([make_result(success=(16, 16)), other])
    assert told["mine"]["eligible"] == "unknown (no undefended row)"
    assert told["mine"]["cost"] is None
    assert told["mine"]["cost_runs"] == ""


def test_what_comes_from_another_machine_is_marked(make_result: MakeResult) -> None:
    """The control's, and those of what judges; a row of one machine has no mark."""
    none, clean = make_result(success=(16, 16)), make_result(attack="none", defense="mine")
    mine = {**make_result(defense="mine", success=(0, 16)), "control": {"id": clean["id"]}}

    def mark(*results: Result) -> str | None:
        found: str | None = records(list(results))["mine"]["other_machine"]
        return found

    assert mark(none, mine, clean) is None
    assert mark(none, mine, elsewhere(clean)) == "control"
    assert mark(elsewhere(none), mine, clean) == "eligible"
    assert mark(none, elsewhere(mine), clean) == "control eligible"
    mine["control"]["created"] = clean["created"]
    assert mark(none, mine, clean) is None
    again = {**clean, "created": "2027-01-01T00:00:00+00:00"}  # its numbers are not the control's
    assert mark(none, mine, again) == "control"


def test_seeds_of_several_machines_are_judged_by_runs_of_each(make_result: MakeResult) -> None:
    """A row of two kinds is marked where one of them has no undefended run."""
    none, mine = (
        [make_result(defense=name, success=(k, 16), seed=seed) for seed in (0, 1)]
        for name, k in (("none", 16), ("mine", 0))
    )
    of_two = [none[0], mine[0], elsewhere(none[1]), elsewhere(mine[1])]
    assert records(of_two)["mine"]["other_machine"] is None
    # More runs that judge take nothing away from those that are of its own kind.
    assert records([*of_two[:2], of_two[2]])["mine"]["other_machine"] is None
    assert records([none[0], mine[0], none[1], of_two[3]])["mine"]["other_machine"] == "eligible"


def made_again(result: Result, *, differs: tuple[str, ...] = (), **used: Any) -> Result:
    """Return a result whose run was made again on another processor; `used`: versions."""
    other = elsewhere(result)
    note = {
        "created": "2027-01-01T00:00:00+00:00",
        "train": other["train"],
        "environment": {**other["environment"], **used},
        "differs": list(differs),
    }
    return {**result, "again": [note]}


def test_kinds_of_machines_that_gave_the_same_numbers_are_one(make_result: MakeResult) -> None:
    """Ten runs made again show it; nine do not, nor where one of more has another number."""
    none = make_result(success=(16, 16))
    mine = elsewhere(make_result(defense="mine", success=(0, 16)))
    runs = [make_result(defense="other", seed=seed) for seed in range(12)]

    def mark(*others: Result, row: Result = mine) -> str | None:
        found: str | None = records([none, row, *others])["mine"]["other_machine"]
        return found

    same = [*map(made_again, runs)]
    assert mark(*runs) == mark(*same[:9]) == "eligible"
    assert mark(*same[:10]) is None
    assert mark(*same[:11], made_again(runs[11], differs=("history",))) == "eligible"
    # What another version of torch computes says nothing of the machine, in either way.
    assert mark(*same[:10], made_again(runs[10], differs=("history",), torch="3.0")) is None
    assert mark(*same[:9], made_again(runs[9], torch="3.0")) == "eligible"
    # Other kernels compute in another precision, or another model.
    for train in ({"precision": "fp32"}, {"threads": [2]}):
        rest = [made_again({**run, "train": {**run["train"], **train}}) for run in runs]
        assert mark(*rest) == ("eligible" if "precision" in train else None)
    of_another = [made_again(make_result(defense="o", model="m", seed=s)) for s in range(12)]
    assert mark(*of_another) == "eligible"
    third = {**mine, "environment": elsewhere(mine)["environment"] | {"hardware": {"cpu": "3"}}}
    assert mark(*same, row=third) == "eligible"


def test_a_run_that_is_made_again_ten_times_is_one_run(make_result: MakeResult) -> None:
    """Ten times the same numbers of one run say nothing of the other nine that it takes."""
    none = make_result(success=(16, 16))
    mine = elsewhere(make_result(defense="mine", success=(0, 16)))
    other = made_again(make_result(defense="other"))
    times = [
        {**other["again"][0], "created": f"{year}-01-01T00:00:00+00:00"}
        for year in range(2027, 2039)
    ]
    found = records([none, mine, {**other, "again": times}])
    assert found["mine"]["other_machine"] == "eligible"


def test_a_control_from_a_machine_of_the_same_numbers_is_no_other(make_result: MakeResult) -> None:
    """As a verdict is none."""
    none, clean = make_result(success=(16, 16)), make_result(attack="none", defense="mine")
    mine = {**make_result(defense="mine", success=(0, 16)), "control": {"id": clean["id"]}}
    same = [made_again(make_result(defense="other", seed=seed)) for seed in range(10)]
    assert records([none, elsewhere(mine), clean])["mine"]["other_machine"] == "control eligible"
    assert records([none, elsewhere(mine), clean, *same])["mine"]["other_machine"] is None


def test_a_training_that_went_on_on_another_machine_is_of_both(make_result: MakeResult) -> None:
    """The hardware of its result is that of its end; more processes are no other machine."""
    none, mine = make_result(success=(16, 16)), make_result(defense="mine", success=(0, 16))
    mine["train"]["ways"] = ["1 process on Example CPU", "2 processes on Example CPU"]
    assert records([none, mine])["mine"]["other_machine"] is None
    mine["train"]["ways"] = ["1 process on Another CPU", "1 process on Example CPU"]
    assert records([none, mine])["mine"]["other_machine"] == "eligible"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, []),
        ({"train": {"lr": 1.0}}, ["train.lr"]),
        ({"seed": 1}, ["seed"]),
        ({"defense": "clip"}, ["defense.name"]),
    ],
)
def test_a_control_is_the_same_run_without_poison(
    make_result: MakeResult, change: dict[str, Any], told: list[str]
) -> None:
    """All else is named."""
    clean = make_result(**{"attack": "none", "defense": "mine", **change})
    assert mismatches(make_result(defense="mine"), clean) == told
    clean["train"] = {**clean["train"], "precision": "fp32"}
    assert mismatches(make_result(defense="mine"), clean) == ["precision", *told]


def test_what_a_training_is_given_stands_beside(make_result: MakeResult) -> None:
    """Passes are pairs over those of the set; trusted pairs are the defense's parameter."""
    told = records(
        [
            make_result(success=(16, 16)),
            make_result(defense="mine", defense_parameters={"trusted_size": 2000}),
        ]
    )
    (mine,) = (row for name, row in told.items() if name.startswith("mine"))
    assert (mine["epochs"], mine["passes"], mine["trusted_pairs"]) == (20, 20.0, 2000)
    assert told["none"]["trusted_pairs"] == 0
