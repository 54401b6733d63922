"""Programs of the icons study: ranks on two sets held against each other, and scores by dose."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from as_json import of_json
from made_results import make_result
from sklearn.metrics import roc_auc_score

from clipbench.api.board import frame_of
from clipbench.evaluation.statistics import Proportion
from clipbench.leaderboard.matrix import to_matrix
from clipbench.results.store import load_results

__all__ = ["make_result"]
Result = dict[str, Any]
PROGRAMS = Path(__file__).parents[2] / "results" / "icons"
PAGE = (PROGRAMS / "README.md").read_text(encoding="utf-8")
STUDY = runpy.run_path(str(PROGRAMS / "correlation.py"))
Shares = Mapping[tuple[str, str], float]
ATTACKS = ("badnets", "blended", "sig", "targeted")
ATTACKED = ("targeted", "badnets")  # that rows of icons are of
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
    assert ranks[0][:3] == ["defenses", "5", "4 attacks"]
    assert [line[3] for line in ranks] == ["1.00 [1.00, 1.00]"] * 3
    _, ranks = told(first, world(lambda at: 1 - rising(at)))
    assert [line[3] for line in ranks] == ["-1.00 [-1.00, -1.00]"] * 3


def test_the_interval_is_wide_where_the_ranks_hang_on_which_attacks_were_chosen() -> None:
    """One of four attacks orders the defenses in the opposite way."""
    second = world(lambda at: rising(at) if at[0] else 1 - rising(at))
    _, ranks = told(world(rising), second)
    assert ranks[0][3] == "1.00 [-1.00, 1.00]"


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


def test_defenses_are_ranked_over_attacks_that_all_of_them_met_and_attacks_likewise() -> None:
    """A mean over other attacks would rank it by what it met; a cell is there or not."""
    second = world(rising)
    del second["sig", "par"]
    lines, ranks = told(world(rising), second)
    assert ["sig", "100%", "100%", "1.00", "4/4"] in lines
    assert [line[:3] for line in ranks] == [
        ["defenses", "5", "3 attacks"],
        ["attacks", "4", "4 defenses"],
        ["cells", "19", "—"],
    ]
    for defense in DEFENSES[1:]:
        second.pop(("blended", defense), None)
        second.pop(("sig", defense), None)
        second.pop(("targeted", defense), None)
    _, ranks = told(world(rising), second)
    # Five met one attack alone, whose order another need not have; and one defense all attacks.
    assert [line[:3] for line in ranks] == [
        ["defenses", "5", "1 attack"],
        ["attacks", "4", "1 defense"],
        ["cells", "8", "—"],
    ]


def test_nothing_shared_is_told_by_dashes() -> None:
    first = {("badnets", "none"): 1.0, ("badnets", "clip"): 1.0}
    lines, ranks = told(first, {("badnets", "none"): 1.0, ("badnets", "dao"): 0.0})
    assert lines == [["badnets", "100%", "100%", "—", "0/0"]]
    assert [line[3] for line in ranks] == ["—"] * 3


def test_success_and_accuracy_of_both_sets_stand_side_by_side() -> None:
    """Attacks that both sets have, under the defenses of the last, and clean data below them."""
    second = {("sig", "par"): 0.5, ("sig", "none"): 0.25, ("new", "none"): 1.0, ("sig", "new"): 1.0}
    clean = {"drawn": {("none", "par"): 0.9}, "real": {("none", "none"): 0.15}}
    table = STUDY["side_by_side"]({"drawn": world(rising), "real": second}, clean)
    assert table.splitlines() == [
        "|  | set | none | clip | new | par |",
        "| --- | --- | --- | --- | --- | --- |",
        "| sig | drawn | 100.0% | 4.0% | — | 64.0% |",
        "|  | real | 25.0% | — | 100.0% | 50.0% |",
        "| top-1 of clean data | drawn | — | — | — | 90.0% |",
        "|  | real | 15.0% | — | — | — |",
    ]


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


def test_cells_are_of_the_pairs_with_most_rows(make_result: Callable[..., Result]) -> None:
    """A folder may have a few rows of the other set, to be held against its own."""
    other = {"data": {"name": "shapes", "seed": 2}}
    made = [make_result(defense="clip", seed=seed, success=(4, 16)) for seed in (0, 1)]
    made.append(make_result(defense="clip", success=(16, 16), settings=other))
    assert of_json(STUDY["cells"])(made) == {("targeted", "clip"): 8 / 32}
    assert of_json(STUDY["cells"])([]) == {}


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


def test_the_tables_are_those_of_the_rows(capsys: pytest.CaptureFixture[str]) -> None:
    """Made again, both have the same text; the page has the last of them."""
    STUDY["main"]([str(PROGRAMS.parent / name / "rows") for name in ("shapes", "icons")])
    printed = capsys.readouterr().out
    assert (PROGRAMS / "correlation.md").read_text(encoding="utf-8") == printed
    matrix = to_matrix(frame_of(load_results([PROGRAMS / "rows"])), "attack_success")
    assert (PROGRAMS / "matrix.md").read_text(encoding="utf-8") == matrix
    assert f"\n\n{printed.split(chr(10) * 2)[2].strip()}\n\n" in PAGE


@cache
def rows(name: str) -> list[Any]:
    """Return the rows of a set."""
    return load_results([PROGRAMS.parent / name / "rows"])


def row(attack: str, defense: str, name: str = "icons", seed: int = 0, warm: int = 1) -> Any:
    """Return the row of a cell of a set at a seed; `warm`: epochs over all pairs before a split."""
    (found,) = (
        result
        for result in rows(name)
        if (result.attack.name, result.defense.name, result.seed) == (attack, defense, seed)
        and result.defense.parameters.get("cross_modal_epochs", 1) == warm
    )
    return found


def doses(file: str) -> list[list[str]]:
    """Return the cells of a table of scores by dose."""
    lines = (PROGRAMS / file).read_text(encoding="utf-8").splitlines()[2:]
    return [line.strip("| ").split(" | ") for line in lines]


@pytest.mark.parametrize(
    ("file", "seed", "warm"),
    [("by_dose.md", 0, 1), ("by_dose_seed1.md", 1, 1), ("by_dose_longer.md", 1, 3)],
)
def test_scores_by_dose_are_those_of_the_row(file: str, seed: int, warm: int) -> None:
    """Over all doses, by their pairs, they give the AUROC that the row has of each epoch."""
    told = doses(file)
    pairs = np.array([16 * dose for dose in (5, 10, 20, 40)])
    history = row("targeted", "safeclip", seed=seed, warm=warm).history
    scored = [one for one in history if one.score_auroc is not None]
    assert [int(line[0]) for line in told] == [one.epoch for one in scored]
    for line, one in zip(told, scored, strict=True):
        shares = np.array([float(cell.split()[0]) for cell in line[1:]])
        assert shares @ pairs / pairs.sum() == pytest.approx(one.score_auroc, abs=0.006)


def split(attack: str, name: str = "icons", seed: int = 0, warm: int = 1) -> str:
    """Return the AUROC of SafeCLIP's first split."""
    entries = row(attack, "safeclip", name, seed, warm).history
    first = next(one.score_auroc for one in entries if one.score_auroc is not None)
    return f"{first:.2f}"


def filtered(attack: str, name: str = "icons") -> str:
    """Return the AUROC of `clipscore` at seed 0."""
    return f"{row(attack, 'clipscore', name).metrics['score_auroc'].value:.2f}"


def of_both(told: Callable[[Any], object], attack: str, defense: str) -> str:
    """Return something of a cell at two seeds."""
    first, second = (told(row(attack, defense, seed=seed)) for seed in (0, 1))
    return f"{first} and {second}"


def successes(result: Any) -> str:
    return f"{result.metrics['attack_success'].k:,}"


def warm_up(result: Any) -> str:
    """Return the loss of SafeCLIP's epoch over all pairs."""
    return f"{result.history[1].loss['cross-modal warm-up']:.2f}"


def top1(result: Any) -> str:
    return f"{result.metrics['zeroshot_top1'].value:.1%}"


def claims() -> Iterator[str]:
    """Say what the page says of the rows below its table."""
    of = {(a, d): of_both(successes, a, d) for a in ATTACKED for d in ("none", "clip", "safeclip")}
    images = row("badnets", "none").metrics["attack_success"].n
    assert images == row("badnets", "none", seed=1).metrics["attack_success"].n
    yield f"{of['targeted', 'none']} of 64 targets, and {of['badnets', 'none']} of {images:,} test"
    yield (
        f"SafeCLIP leaves {of['targeted', 'safeclip']} of 64 targets, and `clipscore`"
        f" {successes(row('targeted', 'clipscore'))}, where `clip`, their augmentation alone,"
        f" leaves {of['targeted', 'clip']}."
    )
    kept = of_both(lambda result: result.history[-1].poisons_in_safe_set, "badnets", "safeclip")
    yield (
        f"lets {of['badnets', 'safeclip']} of {images:,} images through, though {kept} of the 300"
        " poisoned pairs are in its last safe set"
    )
    warm = of_both(
        lambda result: f"{result.history[1].loss['cross-modal warm-up']:.2f}",
        "targeted",
        "safeclip",
    )
    yield f"the loss of SafeCLIP's epoch is {warm}, where chance is {np.log(256):.2f}"
    drawn = [row("badnets", "clipscore", "shapes", seed) for seed in (0, 1, 2)]
    shares = [result.metrics["attack_success"] for result in drawn]
    yield (
        "which on `shapes` leaves "
        f"{100 * sum(one.k for one in shares) / sum(one.n for one in shares):.1f}% of it."
    )
    first = {attack: f"{split(attack)} and {split(attack, seed=1)}" for attack in ATTACKED}
    yield f"AUROC is {first['targeted']} at SafeCLIP's first split, and {filtered('targeted')} for"
    yield f"for `badnets`, {first['badnets']}, and {filtered('badnets')} for `clipscore`"
    there = [f"{split(a, 'shapes')} and {filtered(a, 'shapes')} for `{a}`" for a in ATTACKED]
    yield f"On `shapes`, at seed 0, it is {', and '.join(there)}"
    accuracy = {name: of_both(top1, "none", name) for name in ("safeclip", "clip")}
    yield f"top-1 of {accuracy['safeclip']} on clean data, and `clip` {accuracy['clip']}."
    yield f"does not learn** (top-1 {top1(row('none', 'roclip'))} on clean data)"
    begun, third = (row("none", "roclip").history[n].loss["own captions"] for n in (0, 2))
    yield f"hardly better than chance (loss {begun:.2f}); in the third, it is worse ({third:.2f})"
    assert [note.differs for one in rows("icons") for note in one.again] == [()]
    yield "One run was made on both, with the same numbers"
    assert row("targeted", "dedup").history[-1].poisons_in_safe_set == 64


def others() -> Iterator[str]:
    """Say what the page says of attacks that met three defenses at seed 1."""

    def pooled(attack: str) -> str:
        shares = [
            row(attack, "safeclip", "shapes", seed).metrics["attack_success"] for seed in (0, 1, 2)
        ]
        return f"{100 * sum(one.k for one in shares) / sum(one.n for one in shares):.1f}%"

    sig, text = (row(attack, "safeclip", seed=1) for attack in ("sig", "text_trigger"))
    yield f"SafeCLIP: {successes(sig)} of 2,583 images at seed 1, where on `shapes` {pooled('sig')}"
    split_at = [one for one in sig.history if one.score_auroc is not None]
    whole = next(one.epoch for one in split_at if one.poisons_in_safe_set == 600)
    yield (
        f"Of its 600 poisoned pairs, {split_at[0].poisons_in_safe_set} are in the first safe set, "
        f"and all from epoch {whole} of 13 on"
    )
    yield "(AUROC {:.2f}, {:.2f}, and {:.2f} at".format(*(one.score_auroc for one in split_at[:3]))
    blended = [successes(row("blended", name, seed=1)) for name in ("safeclip", "clip")]
    yield (
        f"Of `blended`, it leaves {blended[0]} of 2,584 images at seed 1, where `clip` leaves "
        f"{blended[1]}; on `shapes`, {pooled('blended')}"
    )
    yield f"as on `shapes`: {successes(text)} of 1,000 captions at seed 1"
    first = next(one for one in text.history if one.score_auroc is not None)
    assert first.poisons_in_safe_set == 300
    tables = STUDY["tables"](*(STUDY["cells"](rows(name)) for name in ("shapes", "icons")))
    agree = [
        line.strip("| ").split(" | ")[4].split("/")
        for line in tables.partition("\n\n")[0].splitlines()[2:]
    ]
    alike, of = (sum(int(one[place]) for one in agree) for place in (0, 1))
    yield f"in {alike} of {of} cells"


def longer() -> Iterator[str]:
    """Say what the page says of a longer warm-up, and of scores by dose."""
    both = {
        attack: [row(attack, "safeclip", seed=1, warm=w) for w in (3, 1)] for attack in ATTACKED
    }
    left = {attack: [successes(result) for result in both[attack]] for attack in ATTACKED}
    found = {a: [split(a, seed=1, warm=w) for w in (3, 1)] for a in ATTACKED}
    yield "is {} for `badnets` (with one: {}), and ".format(*found["badnets"])
    yield "and {} of 2,583 images are misclassified ({});".format(*left["badnets"])
    entered, others = (
        [count for one in result.history if (count := one.poisons_in_safe_set) is not None]
        for result in both["badnets"]
    )
    yield (
        f"{entered[0]} of the 300 poisoned pairs are in the first safe set ({others[0]}) and "
        f"{entered[-1]} in the last, most of them since epoch 9 of 13"
    )
    assert entered[8 - 5] < 150 < entered[9 - 5]  # the first split is in epoch 5
    yield "AUROC is {} ({}), and ".format(*found["targeted"])
    yield "{} of 64 targets are misclassified ({}).".format(*left["targeted"])
    clean = [top1(row("none", "safeclip", seed=1, warm=w)) for w in (3, 1)]
    yield "Top-1 on clean data is {} ({});".format(*clean)
    files = ("by_dose.md", "by_dose_seed1.md", "by_dose_longer.md")
    few, many = ([doses(file)[0][place].split()[0] for file in files] for place in (1, 4))
    yield f"(AUROC {few[0]} at seed 0 and {few[1]} at seed 1)"
    yield f"({many[0]} and {many[1]})"
    yield f"move both further: {few[2]} and {many[2]} (seed 1)"


def test_figures_of_the_text_are_those_of_the_rows() -> None:
    """Counts, AUROC, and accuracy; the catalogue has two of them, too."""
    page = " ".join(PAGE.split())
    assert [claim for claim in (*claims(), *others(), *longer()) if claim not in page] == []
    left = [
        int(row("targeted", name).metrics["attack_success"].k)
        for name in ("safeclip", "clipscore", "clip")
    ]
    catalogue = (PROGRAMS.parents[1] / "docs" / "catalogue.md").read_text(encoding="utf-8")
    assert (
        f"{left[0]} and {left[1]} of 64 targets are misclassified, and with `clip` {left[2]}"
        in catalogue
    )
