"""The sentences below the table of one attack."""

from __future__ import annotations

from typing import Any

from as_json import of_json

from clipbench.evaluation.statistics import Proportion
from clipbench.leaderboard.in_short import in_short

in_short = of_json(in_short)


def result(defense: str, success: int, top1: int = 30, **changes: Any) -> dict[str, Any]:
    """Return what the sentences read of a result."""
    return {
        "data": {"name": "shapes", "parameters": {"size": 300}},
        "attack": {"name": "badnets", "parameters": {}, "rate": 0.05, "count": 15},
        "defense": {"name": defense, "parameters": {}},
        "model": {"name": "shapes-32"},
        "metrics": {
            "attack_success": Proportion(success, 50).to_json(),
            "zeroshot_top1": Proportion(top1, 100).to_json(),
            "mean_per_class_recall": {"value": top1 / 100, "k": None, "n": 10},
            "attack_success_control": Proportion(2, 50).to_json(),
        },
        **changes,
    }


def test_an_attack_and_what_stops_it_are_told_with_what_that_costs() -> None:
    """Counts are exact, and the clean accuracy stands beside them."""
    assert in_short([result("none", 45), result("safeclip", 1, top1=20)]) == (
        "badnets without a defense: 45 of 50 test images (90.0%) are classified as the attacker"
        " wants; with safeclip 1 of 50 test images (2.0%)."
        " Zero-shot accuracy: 30.0% with none, 20.0% with safeclip."
    )


def test_seeds_are_put_together_and_clean_runs_passed_over() -> None:
    """As the row of the table has them."""
    runs = [
        result(name, k, seed=seed) for name in ("none", "clip") for seed, k in enumerate((50, 40))
    ]
    clean = result("none", 0, attack={"name": "none", "parameters": {}, "rate": None, "count": 0})
    assert "90 of 100 test images (90.0%)" in in_short([*runs, clean])


def test_settings_of_one_defense_are_told_apart() -> None:
    """What half of the pairs dropped does is not averaged with what a hundredth does."""
    few, many = result("clipscore", 48), result("clipscore", 0)
    few["defense"]["parameters"], many["defense"]["parameters"] = {"drop": 0.01}, {"drop": 0.5}
    told = in_short([result("none", 45), few, many])
    assert "with clipscore (drop=0.01) 48 of 50 test images (96.0%)" in told
    assert "with clipscore (drop=0.5) 0 of 50 test images (0.0%)" in told
    long, short = ({"train": {"epochs": epochs}} for epochs in (20, 2))
    two = [result("none", 45, config=long), result("none", 1, config=short)]
    assert in_short([*two, result("safeclip", 0)]) == ""


def test_an_attack_that_fails_by_itself_says_nothing_about_a_defense() -> None:
    """No defense is praised for stopping what does not happen."""
    told = in_short([result("none", 10), result("safeclip", 0)])
    assert told.endswith("The attack fails even so, and says nothing about the defenses.")
    assert "safeclip" not in told


def test_an_attack_of_which_an_interval_holds_half_says_nothing_either() -> None:
    """[27.6, 53.8] does, and so more runs are asked for."""
    told = in_short([result("none", 20), result("safeclip", 0)])
    assert told.endswith("its 95% interval holds 50%. Run more seeds or targets.")
    assert "safeclip" not in told


def test_what_the_table_calls_not_eligible_praises_no_defense() -> None:
    """A model that guesses, success that its control has too, or no control to tell by."""
    told = in_short([result("none", 50, top1=10), result("safeclip", 0)])
    assert told.endswith("That says nothing about the defenses: that model at chance.")
    runs = [result("none", 45), result("safeclip", 1)]
    runs[0]["metrics"]["attack_success_control"] = Proportion(44, 50).to_json()
    assert in_short(runs).endswith("That says nothing about the defenses: control 88.0%.")
    del runs[0]["metrics"]["attack_success_control"]
    runs[0]["metrics"]["attack_success"] = Proportion(33, 50).to_json()
    assert in_short(runs).endswith("is not known: run again with --controls.")


def test_nothing_is_said_where_a_table_says_it_better() -> None:
    """Several attacks, no undefended run, nothing beside it, or nothing measured."""
    other = {"name": "sig", "parameters": {}, "rate": 0.05, "count": 15}
    unmeasured = result("safeclip", 0)
    del unmeasured["metrics"]["attack_success"]
    several = [result("none", 45), result("safeclip", 1)]
    several[0]["metrics"]["attack_success"]["parts"] = [
        {"name": "a", "n": 25},
        {"name": "b", "n": 25},
    ]
    assert in_short(several) == ""  # each trigger has a row of its own
    assert in_short([]) == ""
    assert in_short([result("none", 45)]) == ""
    assert in_short([result("clip", 45), result("safeclip", 1)]) == ""
    assert in_short([result("none", 45), unmeasured]) == ""
    assert in_short([result("none", 45), result("safeclip", 1, attack=other)]) == ""
