"""The leaderboard as a square of attacks and defenses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from as_json import of_json

from clipbench.errors import BadSetting
from clipbench.evaluation.outcomes import pack
from clipbench.leaderboard.matrix import to_matrix
from clipbench.leaderboard.ranking.markdown import to_ranking
from clipbench.leaderboard.tables import leaderboard

leaderboard = of_json(leaderboard)

Result = dict[str, Any]


@pytest.fixture
def results(make_result: Callable[..., Result]) -> list[Result]:
    """Two attacks under three defenses, one attack that does not take, and clean controls."""
    many, few = {"success": (1500, 2000)}, {"success": (15, 16)}
    return [
        make_result(attack="badnets", defense="none", **many),
        make_result(
            attack="badnets", defense="a|b", success=(2, 2000), metrics={"score_auroc": 0.9}
        ),
        make_result(attack="targeted", defense="none", **few),
        make_result(attack="targeted", defense="none", seed=1, **few),
        make_result(attack="targeted", defense="clip", success=(0, 16)),
        make_result(attack="weak", defense="none", success=(3, 2000)),
        make_result(attack="none", defense="none", top1=(9000, 10000), seconds=100.0),
        make_result(attack="none", defense="clip", top1=(8000, 10000), seconds=150.0),
    ]


def cells(table: str) -> dict[str, list[str]]:
    """Cells by the first of a line, the head under ''."""
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {"": rows[0]} | {row[0]: row[1:] for row in rows[2:]}


def test_each_cell_is_an_attack_under_a_defense(results: list[Result]) -> None:
    """Few trials as counts, what was not run as a dash, clean accuracy and cost beside."""
    found = cells(to_matrix(leaderboard(results)))
    head = found[""]
    assert [title.split()[0] for title in head] == [
        *("defense", "badnets", "targeted", "weak", "clean", "clean", "epochs", "trusted"),
    ]
    assert found["none"] == ["75.0%", "30/32 (2 seeds)", "[0.1%]", "90.0", "1.00×", "20", "0"]
    assert found["clip"] == ["—", "0/16", "—", "80.0", "1.50×", "20", "0"]
    assert found['"a\\|b"'] == ["0.1%", *6 * ["—"]]
    assert list(found)[1:3] == ["none", "clip"]


def test_what_none_and_clip_say_of_each_attack_stands_below(results: list[Result]) -> None:
    """Clip stopped one by itself, by which nobody else is judged; the other it was not tried on."""
    found = cells(to_matrix(leaderboard(results)))
    assert found["eligible by none"][:3] == ["yes", "yes", "no"]
    assert found["eligible by clip"][:3] == ["—", "no", "—"]


def test_success_stands_over_its_control_where_there_is_one(
    make_result: Callable[..., Result],
) -> None:
    """In a defended row as in others; next to nothing is left out."""
    made = [
        make_result(success=(1500, 2000), metrics={"attack_success_control": (19, 2000)}),
        make_result(
            defense="mine", success=(184, 2000), metrics={"attack_success_control": (158, 2000)}
        ),
        make_result(defense="few", success=(3, 16), metrics={"attack_success_control": (2, 16)}),
    ]
    found = cells(to_matrix(leaderboard(made)))
    assert found["none"][0] == "75.0%"
    assert found["mine"][0] == "9.2% over 7.9%"
    assert found["few"][0] == "3/16 over 2/16"


def test_what_is_not_decided_has_a_question_mark(make_result: Callable[..., Result]) -> None:
    """Half of sixteen may be more than half of all, or less."""
    made = [make_result(success=(8, 16)), make_result(defense="mine", success=(0, 16))]
    found = cells(to_matrix(leaderboard(made)))
    assert (found["none"][0], found["mine"][0]) == ("[8/16]?", "[0/16]?")
    assert found["eligible by none"][0] == "undecided"


def test_a_baseline_of_more_epochs_stands_below_the_other(
    make_result: Callable[..., Result],
) -> None:
    """With its epochs in its name and in a column, and before all that are held against it."""
    made = [
        make_result(attack=attack, defense=defense, success=(16, 16), train={"epochs": epochs})
        for attack in ("targeted", "none")
        for defense, epochs in (("none", 9), ("clip", 9), ("clip", 15), ("all", 15))
    ]
    found = cells(to_matrix(leaderboard(made)))
    assert list(found)[1:5] == ["none", "clip (epochs=9)", "clip (epochs=15)", "all"]
    assert [found[name][-2] for name in list(found)[1:5]] == ["9", "9", "15", "15"]


def test_any_metric_fills_the_cells(results: list[Result]) -> None:
    """One that is no share is shown as its mean."""
    found = cells(to_matrix(leaderboard(results), "score_auroc"))
    assert found['"a\\|b"'][0] == "0.900"
    assert found["none"][0] == "—"


def test_a_metric_of_a_plugin_is_called_as_the_plugin_calls_it(results: list[Result]) -> None:
    """Without what its columns begin with; both names are taken."""
    for result in results:
        result["metrics"]["mine"] = {"value": 0.25}
    frame = leaderboard(results)
    assert to_matrix(frame, "mine") == to_matrix(frame, "metrics.mine")
    assert "0.250" in to_matrix(frame, "mine")


def test_a_metric_that_is_not_there_is_no_table(results: list[Result]) -> None:
    """Rather than one of dashes."""
    with pytest.raises(BadSetting, match="'nothing'"):
        to_matrix(leaderboard(results), "nothing")


def test_brackets_and_seeds_say_what_is_so(make_result: Callable[..., Result]) -> None:
    """The threshold that was asked for, and the seeds that have the metric."""
    made = [make_result(seed=seed, success=(1500, 2000)) for seed in (0, 1)]
    del made[1]["metrics"]["attack_success"]
    text = to_matrix(leaderboard(made, eligible_at=0.9), eligible_at=0.9)
    assert "[75.0% (1/2 seeds)]" in text
    assert "at least 90% of its probes" in text


def test_what_rests_on_another_kind_of_machine_is_counted(
    make_result: Callable[..., Result],
) -> None:
    """Below the matrix and the ranking; where all is of one kind, nothing is said."""
    made = [make_result(), make_result(defense="mine", success=(0, 16))]
    said = "Of 2 rows here, 1 have a control or a verdict from another kind of machine"
    for told in (to_matrix, to_ranking):
        assert "another kind of machine" not in told(leaderboard(made))
    made[1]["environment"]["hardware"] = {"cpu": "Another"}
    for told in (to_matrix, to_ranking):
        assert said in told(leaderboard(made))


def test_a_metric_of_pairs_is_said_to_be_over_all_triggers(
    make_result: Callable[..., Result],
) -> None:
    """Which scores each trigger's pairs have is not known; each column has that of all."""
    made = make_result(
        attack="multi_trigger",
        attack_parameters={"triggers": ["badnets", "blended"]},
        success=(16, 16),
        metrics={"score_auroc": 0.75},
    )
    made["metrics"]["attack_success"] |= {
        "outcomes": pack(np.ones(16, bool)),
        "parts": [{"name": "badnets", "n": 8}, {"name": "blended", "n": 8}],
    }
    said = "triggers or doses, it is over all of them, in each column"
    assert said in to_matrix(leaderboard([made]), "score_auroc")
    assert said not in to_matrix(leaderboard([made]))


def test_models_of_one_name_and_other_content_are_two(make_result: Callable[..., Result]) -> None:
    """A model's file may be edited under its name; its rows are no others' then."""

    def made(digit: str, successes: int) -> Result:
        train = {"model": f"sha256:{digit * 64}"}
        return make_result(model="net", train=train, success=(successes, 16))

    frame = leaderboard([made("a", 15), made("b", 14)])
    assert [*frame["model"]] == ["net (content=aaaaaaaa)", "net (content=bbbbbbbb)"]
    table = to_matrix(frame)
    assert "15/16" in table
    assert "14/16" in table
    assert [*leaderboard([made("a", 15)])["model"]] == ["net"]


@pytest.mark.parametrize(
    ("name", "parameters", "shown"),
    [
        ("clip (growth=0.5)", {}, r'"clip (growth=0.5)"'),
        ("cl\u0456p", {"growth": 0.5}, r'"cl\u0456p" (growth=0.5)'),
        ("clip", {"growth": 0.50000001}, "clip (growth=0.50000001)"),
        ("clip", {"growth": "0.5"}, "clip (growth=0.5) #2"),
    ],
)
def test_no_row_takes_the_place_of_another_that_looks_like_it(
    make_result: Callable[..., Result], name: str, parameters: dict[str, Any], shown: str
) -> None:
    """A stranger's row may spell out parameters, or have a letter that looks like another."""
    own = make_result(defense="clip", defense_parameters={"growth": 0.5}, success=(16, 16))
    other = make_result(defense=name, defense_parameters=parameters, success=(0, 16))
    frame = leaderboard([own, other], defaults=lambda *_: {})
    assert sorted(frame.defense) == sorted(["clip (growth=0.5)", shown])
    assert {"16/16", "0/16"} <= {
        cell.split(" ")[0].strip("[]?")
        for line in cells(to_matrix(frame)).values()
        for cell in line
    }
