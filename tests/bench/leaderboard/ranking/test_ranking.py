"""Defenses ranked by their worst attack, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from as_json import of_json

from clipbench.errors import MissingData
from clipbench.leaderboard.matrix import to_matrix
from clipbench.leaderboard.ranking.board import Board, boards
from clipbench.leaderboard.ranking.findings import findings
from clipbench.leaderboard.ranking.markdown import to_ranking
from clipbench.leaderboard.ranking.standing import Ranking, ranking
from clipbench.leaderboard.record import records_of
from clipbench.leaderboard.tables import leaderboard

leaderboard = of_json(leaderboard)

Result = dict[str, Any]
MakeResult = Callable[..., Result]
ATTACKS = ("badnets", "sig", "weak")
SUCCESS = {  # of 1,000 probes, by defense: under badnets, sig, and weak, which fails by itself
    "none": (980, 900, 100),
    "clip": (970, 880, 90),
    "filter": (20, 300, 990),
    "tuned": (310, 10, 0),
    "plain": (600, 950, 0),
    "other": (700, 500, 0),
}
TRUSTED = {"trusted_size": 500}


@pytest.fixture
def results(make_result: MakeResult) -> list[Result]:
    """Two attacks that succeed and one that does not, under defenses with and without pairs."""
    return runs(make_result, 0)


def runs(make_result: MakeResult, seed: int) -> list[Result]:
    """Return runs of one seed."""
    made = []
    for defense, counts in SUCCESS.items():
        given = TRUSTED if defense in ("filter", "tuned") else {}
        common = {"defense": defense, "defense_parameters": given, "attack_parameters": {}}
        common["seed"] = seed
        made += [
            make_result(attack=attack, success=(count, 1000), **common)
            for attack, count in zip(ATTACKS, counts, strict=True)
        ]
        made.append(make_result(attack="none", seconds=200.0 if given else 100.0, **common))
    return made


def of(results: list[Result]) -> tuple[Board, Ranking]:
    """Return the one board of some results, and its ranking."""
    (board,) = boards(records_of(leaderboard(results)))
    return board, ranking(board)


def ranks(ranked: Ranking) -> dict[str, tuple[int, int] | None]:
    """Return ranks by defense, in the order shown."""
    return {one.name: one.ranks for one in ranked.all}


def test_only_attacks_that_succeed_by_themselves_count(results: list[Result]) -> None:
    """An attack that fails undefended moves nobody, whatever a defense's row says of it."""
    board, ranked = of(results)
    assert [(attack.label, attack.counts) for attack in board.attacks] == [
        ("badnets", True),
        ("sig", True),
        ("weak", False),
    ]
    assert next(one for one in ranked.trusting if one.name == "filter").success == 0.3


def test_defenses_are_ranked_by_their_worst_attack_and_by_kind(results: list[Result]) -> None:
    """Those that are given clean pairs first; 30% and 31% of 1,000 overlap, 70% and 95% do not."""
    _, ranked = of(results)
    assert ranks(ranked) == {
        "filter": (1, 2),
        "tuned": (1, 2),
        "other": (1, 1),
        "plain": (2, 2),
        "none": None,
        "clip": None,
    }
    other = ranked.others[0]
    assert (other.worst and other.worst.label, other.success) == ("badnets", 0.7)
    assert other.mean == pytest.approx(0.6)
    assert [one.trusted for one in ranked.all] == [500, 500, 0, 0, 0, 0]


def test_the_worst_case_has_the_ends_of_all_intervals(make_result: MakeResult) -> None:
    """A few probes of one attack bound the worst of two less well than many of the other."""
    made = [
        make_result(attack=attack, attack_parameters={}, defense=defense, success=success)
        for attack, n in (("many", 1000), ("few", 16))
        for defense, success in (("none", (n, n)), ("mine", (n // 4, n)))
    ]
    (one,) = of(made)[1].others
    rows = leaderboard(made).query("defense == 'mine'")
    assert one.low == rows["attack_success_low"].max() > rows["attack_success_low"].min()
    assert one.high == rows["attack_success_high"].max() > rows["attack_success_high"].min()


def test_defenses_of_one_range_are_in_the_order_of_their_mean(make_result: MakeResult) -> None:
    """A worst case that is lower by less than the intervals hold says little."""
    success = {"none": (1000, 1000), "often": (300, 290), "rarely": (310, 10)}
    made = [
        make_result(
            attack=attack, attack_parameters={}, defense=defense, success=(counts[place], 1000)
        )
        for defense, counts in success.items()
        for place, attack in enumerate(("badnets", "sig"))
    ]
    assert ranks(of(made)[1]) == {"rarely": (1, 2), "often": (1, 2), "none": None}
    assert [one.name for one in of(made)[1].others] == ["rarely", "often"]


def test_the_note_says_whose_intervals_are_of_one_seed(
    make_result: MakeResult, results: list[Result]
) -> None:
    """As filter's of one attack that counts; a weak attack, and what is not ranked, do not."""
    concerned = "another seed may rank a defense otherwise: this concerns "
    assert to_ranking(leaderboard(results)).rstrip().endswith(f"{concerned}all of them.")
    again = runs(make_result, 1)
    once = {("filter", "sig"), ("plain", "weak"), *(("none", attack) for attack in ATTACKS)}
    several = [one for one in again if (one["defense"]["name"], one["attack"]["name"]) not in once]
    assert to_ranking(leaderboard(results + several)).rstrip().endswith(f"{concerned}filter.")
    assert concerned not in to_ranking(leaderboard(results + again))


def test_a_defense_that_was_spared_an_attack_has_no_rank(results: list[Result]) -> None:
    """It stands below those that were not, and says under how many it was run."""
    spared = [
        one
        for one in results
        if (one["defense"]["name"], one["attack"]["name"]) != ("other", "badnets")
    ]
    _, ranked = of(spared)
    assert {**ranks(ranked), "other": None} == ranks(ranked) != ranks(of(results)[1])
    assert [one.name for one in ranked.others] == ["plain", "other"]
    assert "50.0% (1 of 2 attacks)" in to_ranking(leaderboard(spared))


def test_an_attack_that_few_defenses_met_counts_for_none(
    results: list[Result], make_result: MakeResult
) -> None:
    """One that was run under a single defense would cost all others their rank."""
    rare = [
        make_result(attack="rare", attack_parameters={}, defense=name, success=(900, 1000))
        for name in ("none", "plain")
    ]
    board, ranked = of([*results, *rare])
    assert [attack.label for attack in board.counted] == ["badnets", "sig"]
    assert ranks(ranked) == ranks(of(results)[1])


def test_precisions_are_one_board_and_models_are_not(make_result: MakeResult) -> None:
    """A column has its precision where there are several; another model is no rival."""
    made = [
        make_result(attack=attack, attack_parameters={}, defense=defense, success=success)
        for attack in ("badnets", "sig")
        for defense, success in (("none", (16, 16)), ("mine", (0, 16)))
    ]
    for result in made[2:]:
        result["train"]["precision"] = "fp32"
    (board,) = boards(records_of(leaderboard(made)))
    assert board.model == "shapes-tiny"
    assert [(a.label, a.precision) for a in board.counted] == [("badnets", "bf16"), ("sig", "fp32")]
    other = make_result(model="RN50")
    found = boards(records_of(leaderboard([*made, other])))
    assert [board.model for board in found] == ["shapes-tiny", "RN50"]


def test_an_attack_at_several_rates_is_told_apart_by_its_rate(make_result: MakeResult) -> None:
    """Each rate is a column, and the one that does best is named with it."""
    made = [
        make_result(attack="badnets", attack_parameters={}, defense=name, rate=rate, success=(k, 9))
        for name, k in (("none", 9), ("mine", 1))
        for rate in (0.01, 0.02)
    ]
    assert [attack.label for attack in of(made)[0].counted] == ["badnets 1%", "badnets 2%"]


def test_three_sentences_say_who_holds_best_and_what_it_costs(results: list[Result]) -> None:
    """By kind, with the worst attack and its interval; a tie is called one."""
    assert findings(*of(results)) == [
        "Among the 2 defenses given 500 pairs known to be clean, filter and tuned tie for best:"
        " their worst attacks succeed on 30.0% [27.2, 32.9] (sig) and 31.0% [28.2, 33.9] (badnets)"
        " of test inputs.",
        "Among the 2 defenses given no clean pairs, other is best: its worst attack succeeds"
        " on 70.0% [67.1, 72.8] (badnets) of test inputs.",
        "Attack success averaged over these 2 attacks is 94.0% without a defense, 92.5% with"
        " augmentation alone (clip), 16.0% with filter (clean accuracy 85.0%, training time 2.00×),"
        " 60.0% with other (clean accuracy 85.0%, training time 1.00×); no defense keeps every"
        " attack below 30.0%.",
    ]


def test_augmentation_alone_is_that_of_as_many_epochs_as_without_a_defense(
    make_result: MakeResult,
) -> None:
    """Not of more, though `clip` was trained for more, too, and under every attack."""
    made = []
    for attack, longer in (("badnets", 500), ("none", 0)):
        one = {"attack": attack, "attack_parameters": {}}
        made += [
            make_result(defense="none", success=(1000, 1000), **one),
            make_result(defense="clip", success=(longer, 1000), train={"epochs": 90}, **one),
            make_result(defense="clip", success=(900, 1000), **one),
            make_result(defense="mine", success=(0, 1000), **one),
        ]
    told = findings(*of(made))[-1]
    assert "100.0% without a defense, 90.0% with augmentation alone (clip (epochs=" in told


def test_what_cannot_be_ranked_is_said(results: list[Result], make_result: MakeResult) -> None:
    """No attack that succeeds, one defense alone, none but the baselines, and nothing at all."""
    failing = [one for one in results if one["attack"]["name"] in ("weak", "none")]
    assert findings(*of(failing)) == [
        "No defense can be ranked: no attack is known to succeed by itself."
    ]
    alone = [one for one in results if one["defense"]["name"] in ("none", "filter")]
    assert findings(*of(alone))[0].startswith(
        "The one defense given 500 pairs known to be clean is filter: its worst attack"
    )
    bare = [one for one in results if one["defense"]["name"] == "none"]
    assert findings(*of(bare)) == [
        "Attack success averaged over these 2 attacks is 94.0% without a defense."
    ]
    with pytest.raises(MissingData, match="whose success was measured"):
        to_ranking(leaderboard([make_result(attack="none")]))


def test_the_table_names_who_is_given_clean_pairs(results: list[Result]) -> None:
    """Three groups, ranks before names, ranges where intervals overlap, and what is not known."""
    lines = to_ranking(leaderboard(results)).splitlines()
    table = [line for line in lines if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in table[2:]] == [
        "| **Given 500 clean pairs**",
        "| 1–2. filter",
        "| 1–2. tuned",
        "| **Given no clean pairs**",
        "| 1. other",
        "| 2. plain",
        "| **For comparison**",
        "| none",
        "| clip",
    ]
    assert table[3] == "| 1–2. filter | 30.0% [27.2, 32.9] sig | 16.0% | 85.0% | 2.00× |"
    assert "worst of 2 of 3 attacks" in lines[-1]


def test_hostile_names_stay_text(make_result: MakeResult) -> None:
    """A name can neither end a cell nor be a link."""
    made = [
        make_result(defense=name, success=success)
        for name, success in (("none", (16, 16)), ("[a](http://x)|*b*\n", (0, 16)))
    ]
    text = to_ranking(leaderboard(made))
    assert "](http" not in text
    assert all(line.count(" | ") == 4 for line in text.splitlines() if line.startswith("| "))


def test_one_name_trained_in_several_ways_is_several_defenses(
    make_result: Callable[..., Result],
) -> None:
    """What was tuned for each attack is not joined to one, with another's accuracy and cost."""
    made = []
    for attack, epochs in (("badnets", 90), ("blended", 5), ("none", 15)):
        one = {"attack": attack, "attack_parameters": {}}
        made.append(make_result(defense="none", success=(1980, 1980), **one))
        made.append(make_result(defense="mine", success=(0, 1980), train={"epochs": epochs}, **one))
    told = to_ranking(leaderboard(made))
    assert "mine (epochs=90)" in told
    assert "mine (epochs=5)" in told
    assert "1. mine" not in told
    found = to_matrix(leaderboard(made))
    assert "| mine |" not in found
    assert "| none |" in found
