"""An attack with several triggers is judged trigger by trigger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from as_json import of_json

from clipbench.compare.pairs import compare_defenses
from clipbench.errors import CorruptData
from clipbench.evaluation.outcomes import pack
from clipbench.leaderboard.by_part import by_part, is_pooled
from clipbench.leaderboard.page.document import to_html
from clipbench.leaderboard.tables import leaderboard
from clipbench.results.result import checked

compare_defenses = of_json(compare_defenses)
by_part = of_json(by_part)
is_pooled = of_json(is_pooled)
to_html = of_json(to_html)
leaderboard = of_json(leaderboard)

Result = dict[str, Any]
MakeResult = Callable[..., Result]
PARAMETERS = {"triggers": ["badnets", "blended"]}


def run(make_result: MakeResult, strong: int, weak: int, **others: Any) -> Result:
    """Twenty images with one trigger, then the same twenty with another."""
    made = make_result(
        attack="multi_trigger",
        attack_parameters=PARAMETERS,
        success=(strong + weak, 40),
        metrics={"attack_success_control": (0, 40), "attack_success_top5": (39, 40)},
        **others,
    )
    succeeded = np.zeros(40, bool)
    succeeded[:strong] = succeeded[20 : 20 + weak] = True
    for name, outcomes in (
        ("attack_success", succeeded),
        ("attack_success_control", np.zeros(40, bool)),
    ):
        made["metrics"][name] |= {
            "outcomes": pack(outcomes),
            "parts": [{"name": "badnets", "n": 20}, {"name": "blended", "n": 20}],
        }
    return made


def test_each_trigger_has_a_row_that_counts_each_image_once(make_result: MakeResult) -> None:
    """Success, control, verdict; and neither vouches for the other."""
    strong, weak = leaderboard([run(make_result, 20, 2)]).to_dict("records")
    assert "trigger=badnets" in strong["attack"]
    assert (strong["attack_success_k"], strong["attack_success_n"]) == (20, 20)
    assert (weak["attack_success_k"], weak["attack_success_n"]) == (2, 20)
    assert weak["attack_success_control_n"] == 20
    assert (strong["eligible"], weak["eligible"]) == ("yes", "no (undefended 10.0%)")


def test_a_defense_is_held_against_the_same_trigger(make_result: MakeResult) -> None:
    """Seeds are put together trigger by trigger, too."""
    made = [run(make_result, 20, 2, seed=seed) for seed in (0, 1)]
    made += [run(make_result, 0, 0, seed=seed, defense="mine") for seed in (0, 1)]
    frame = leaderboard(made)
    told = {(row["attack"], row["defense"]): row for row in frame.to_dict("records")}
    assert len(told) == 4
    for (attack, _), row in told.items():
        assert row["seeds"] == 2
        assert row["eligible"] == ("yes" if "badnets" in attack else "no (undefended 10.0%)")


def test_what_is_known_of_all_triggers_alone_is_told_of_none(make_result: MakeResult) -> None:
    """Neither among the five most similar, nor what a plugin counted; clean accuracy stays."""
    made = run(make_result, 20, 2)
    made["metrics"]["linear_probe_attack_success"] = dict(made["metrics"]["attack_success_top5"])
    for part in by_part([made]):
        assert "attack_success_top5" not in part.metrics
        assert "linear_probe_attack_success" not in part.metrics
        assert part.metrics["zeroshot_top1"].k == made["metrics"]["zeroshot_top1"]["k"]
        assert part.id == made["id"]


def test_a_result_that_does_not_tell_triggers_apart_judges_nobody(make_result: MakeResult) -> None:
    """As older versions wrote it; one of a single trigger is as it is."""
    made = make_result(attack="multi_trigger", attack_parameters=PARAMETERS, success=(40, 40))
    (row,) = leaderboard([made]).to_dict("records")
    assert row["eligible"] == "unknown (not measured per trigger)"
    assert not is_pooled(make_result(attack_parameters={"triggers": ["badnets"]}))


def test_defenses_are_compared_trigger_by_trigger(make_result: MakeResult) -> None:
    """On the same probes, each image once."""
    made = [run(make_result, 20, 2), run(make_result, 5, 1, defense="mine")]
    found = compare_defenses(made, "none", "mine", warn=pytest.fail)
    assert [compared.success.difference for compared in found] == [15 / 20, 1 / 20]


def test_the_page_has_details_of_each_trigger(make_result: MakeResult) -> None:
    """Each with an anchor of its own."""
    made = run(make_result, 20, 2)
    page = to_html([made])
    for trigger in ("badnets", "blended"):
        assert page.count(f'id="r-{made["id"]}-{trigger}"') == 1
    assert "1 run in 2 rows" in page


def test_doses_are_rows_in_their_order(make_result: MakeResult) -> None:
    """Each is a parameter of the attack, as a trigger is, and rises from row to row."""
    made = run(make_result, 2, 15)
    made["attack"]["name"] = "targeted"
    made["attack"]["parameters"] = {"doses": [2, 16]}
    for name in ("attack_success", "attack_success_control"):
        parts = [{"name": "2", "n": 20}, {"name": "16", "n": 20}]
        made["metrics"][name] |= {"parts": parts, "parts_by": "dose"}
    checked(made)
    rows = leaderboard([made]).to_dict("records")
    assert [row["attack"] for row in rows] == [f"targeted (dose={dose})" for dose in (2, 16)]
    assert [row["attack_success_k"] for row in rows] == [2, 15]
    assert f'id="r-{made["id"]}-16"' in to_html([made])


def test_parts_are_those_of_all_probes(make_result: MakeResult) -> None:
    """A result whose parts do not add up, or share a name, is none."""
    made = run(make_result, 20, 2)
    checked(made)
    made["metrics"]["attack_success"]["parts"][0]["n"] = 19
    with pytest.raises(CorruptData, match="must be of all 40 trials"):
        checked(made)
    parts = [{"name": name, "n": 20, "k": 20} for name in ("badnets", "blended")]
    made["metrics"]["attack_success"]["parts"] = parts
    with pytest.raises(CorruptData, match="must have 22 successes"):
        checked(made)
    made["metrics"]["attack_success"]["parts"] = 2 * [{"name": "badnets", "n": 20}]
    with pytest.raises(CorruptData, match="a name of its own"):
        checked(made)
