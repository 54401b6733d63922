"""Programs of the icons study: ranks on two sets held against each other, and scores by dose."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from as_json import of_json
from made_results import make_result
from sklearn.metrics import roc_auc_score

from clipbench.evaluation.statistics import Proportion

__all__ = ["make_result"]
Result = dict[str, Any]
PROGRAMS = Path(__file__).parents[2] / "results" / "icons"
STUDY = runpy.run_path(str(PROGRAMS / "correlation.py"))
Shares = Mapping[tuple[str, str], float]
ATTACKS = ("badnets", "blended", "sig", "targeted")
DEFENSES = ("clip", "clipscore", "dao", "par", "safeclip")


Place = tuple[int, int]


def world(share: Callable[[Place], float]) -> dict[tuple[str, str], float]:
    """Return success by attack and defense: a function of their places, and 1 without a defense."""
    made = {(attack, "none"): 1.0 for attack in ATTACKS}
    for i, attack in enumerate(ATTACKS):
        made |= {(attack, defense): share((i, j)) for j, defense in enumerate(DEFENSES)}
    return made


def rising(at: Place) -> float:
    """Return a success that is larger from attack to attack, and more so between defenses."""
    return 0.02 * at[0] + 0.2 * at[1]


def told(first: Shares, second: Shares) -> tuple[list[list[str]], list[list[str]]]:
    """Return the cells of both tables' lines."""
    above, below = STUDY["tables"](first, second).split("\n\n")
    split = [
        [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
        for table in (above, below)
    ]
    return split[0], split[1]


def test_sets_with_the_same_order_correlate_fully_and_with_the_opposite_order_not_at_all() -> None:
    """Of defenses, of attacks, and of cells; whatever the heights."""
    first = world(rising)
    same = world(lambda at: rising(at) / 2)
    _, ranks = told(first, same)
    assert ranks[0][:2] == ["defenses", "5"]
    assert [line[2] for line in ranks] == ["1.00 [1.00, 1.00]"] * 3
    _, ranks = told(first, world(lambda at: 1 - rising(at)))
    assert [line[2] for line in ranks] == ["-1.00 [-1.00, -1.00]"] * 3


def test_the_interval_is_wide_where_the_ranks_hang_on_which_attacks_were_chosen() -> None:
    """One of four attacks orders the defenses in the opposite way."""
    second = world(lambda at: rising(at) if at[0] else 1 - rising(at))
    _, ranks = told(world(rising), second)
    assert ranks[0][2] == "1.00 [-1.00, 1.00]"


def test_an_attack_that_fails_without_a_defense_is_told_but_not_ranked() -> None:
    """Its line says so; that of the ranks counts the others."""
    weak = world(rising) | {("sig", "none"): 0.3}
    lines, ranks = told(world(rising), weak)
    assert ["sig", "100%", "30%", "1.00", "5/5"] in lines
    assert ranks[1][:2] == ["attacks", "3"]


def test_sets_agree_where_both_say_that_a_defense_holds_or_both_that_it_does_not() -> None:
    """At most a tenth of the probes: three of five cells are alike here."""
    first = world(lambda at: (0.0, 0.1, 0.2, 0.9, 0.05)[at[1]])
    second = world(lambda at: (0.1, 0.3, 0.9, 0.2, 0.5)[at[1]])
    assert {line[4] for line in told(first, second)[0]} == {"3/5"}


def test_a_defense_that_did_not_meet_every_attack_in_both_sets_is_left_out() -> None:
    """A mean over other attacks would rank it by what it met."""
    second = world(rising)
    del second["sig", "par"]
    _, ranks = told(world(rising), second)
    assert ranks[0][:2] == ["defenses", "4"]


def test_nothing_shared_is_told_by_dashes() -> None:
    first = {("badnets", "none"): 1.0, ("badnets", "clip"): 1.0}
    lines, ranks = told(first, {("badnets", "none"): 1.0, ("badnets", "dao"): 0.0})
    assert lines == [["badnets", "100%", "100%", "—", "0/0"]]
    assert [line[2] for line in ranks] == ["—"] * 3


def test_cells_of_both_sets_stand_side_by_side() -> None:
    """Those without a defense first; what one set lacks is left out."""
    second = {("sig", "par"): 0.5, ("sig", "none"): 0.25, ("sig", "new"): 1.0}
    lines = STUDY["side_by_side"](world(rising), second).splitlines()[2:]
    assert lines == ["| sig | none | 100.0% | 25.0% |", "| sig | par | 64.0% | 50.0% |"]


def test_a_cell_is_pooled_over_seeds_and_of_the_variant_with_most_rows(
    make_result: Callable[..., Result],
) -> None:
    """`clip` was also run as long as another defense; controls and clean runs are no cells."""
    made = [
        make_result(defense="clip", seed=0, success=(4, 16), settings={"train": {"epochs": 9}}),
        make_result(defense="clip", seed=1, success=(8, 16), settings={"train": {"epochs": 9}}),
        make_result(defense="clip", success=(16, 16), settings={"train": {"epochs": 15}}),
        make_result(defense="clip", attack="none"),
    ]
    assert of_json(STUDY["cells"])(made) == {("targeted", "clip"): 12 / 32}
    longer = make_result(defense="clip", defense_parameters={"warmed": 3}, success=(16, 16))
    assert of_json(STUDY["cells"])([*made[:2], longer]) == {("targeted", "clip"): 12 / 32}


def test_a_cell_has_all_parts_of_an_attack(make_result: Callable[..., Result]) -> None:
    """Targets of all doses, and images with any of several triggers; not those of the last part."""
    result = make_result(defense="clip", success=(6, 16))
    parts = [
        {"name": "5", **Proportion(1, 8).to_json()},
        {"name": "40", **Proportion(5, 8).to_json()},
    ]
    result["metrics"]["attack_success"] |= {"parts_by": "dose", "parts": parts}
    assert of_json(STUDY["cells"])([result]) == {("targeted", "clip"): 6 / 16}


def test_scores_by_dose_are_the_auroc_of_each_doses_pairs_against_the_clean_ones() -> None:
    """Of targets with two and with five poisoned pairs, which lie anywhere in the set."""
    rng = np.random.default_rng(5)
    scores = rng.normal(size=400).astype(np.float32).round(2)  # some are equal
    target = np.repeat([0, 1, 2, 3], [2, 5, 2, 5])
    index = rng.choice(400, len(target), replace=False)
    scores[index[np.isin(target, [1, 3])]] += 1  # many of a target: it is learned
    found = runpy.run_path(str(PROGRAMS / "by_dose.py"))["by_dose"](scores, index, target)
    clean = np.delete(scores, index)
    for dose, of in ((2, [0, 2]), (5, [1, 3])):
        own = scores[index[np.isin(target, of)]]
        truth = np.repeat([0, 1], [len(clean), len(own)])
        auroc = roc_auc_score(truth, -np.concatenate([clean, own]))
        assert found[dose].startswith(f"{auroc:.2f} [")
    assert float(found[5].split()[0]) < 0.4 < float(found[2].split()[0])
