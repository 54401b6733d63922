"""The tables of two drawn worlds: rows that differ in nothing but data and seed, side by side."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from as_json import of_json
from made_results import make_result

from clipbench.results.store import load_results

__all__ = ["make_result"]
Result = dict[str, Any]
STUDY = Path(__file__).parents[2] / "results" / "worlds"
TABLE = runpy.run_path(str(STUDY / "table.py"))
tables = of_json(TABLE["tables"])


def there(made: Result) -> Result:
    """Return a result of the other world."""
    made["data"]["parameters"] |= {"seed": 2}
    return made


THERE = {"data": {"name": "shapes", "seed": 2}}


def cells(table: str) -> list[list[str]]:
    """Return the cells of a table's lines."""
    return [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]


def test_success_scores_and_accuracy_stand_side_by_side(make_result: Callable[..., Result]) -> None:
    """One world has two seeds, the other one; what a defense does not score has no AUROC."""
    scored = {"metrics": {"score_auroc": 0.9}}
    first = [
        *(make_result(defense="dao", seed=s, success=(4, 16), **scored) for s in (0, 1)),
        make_result(attack="none", defense="dao", top1=(900, 1000)),
    ]
    second = [
        there(make_result(defense="dao", success=(2, 16), settings=THERE)),
        there(make_result(attack="none", defense="dao", top1=(800, 1000), settings=THERE)),
        make_result(defense="dao", success=(9, 16)),  # of the first world again: in the third table
    ]
    attacked, clean, _ = map(cells, tables(first, second).split("\n\n"))
    here, other = ["2", "8/32 [13.3, 42.1]", "0/32", "0.900"], ["1", "2/16 [3.5, 36.0]", "0/16"]
    assert attacked == [["targeted", "dao", *here, *other, "—"]]
    assert clean == [["dao", "1", "90.0", "1", "80.0"]]


def test_rows_of_other_trainings_do_not_stand_side_by_side(
    make_result: Callable[..., Result],
) -> None:
    """Nor do those of other parameters or rates; a world alone has no line."""
    first = [
        make_result(defense="clip", settings={"train": {"epochs": 15}}),
        make_result(defense="dao", defense_parameters={"k": 32}),
        make_result(defense="par", rate=0.1),
        make_result(defense="slof"),
    ]
    second = [
        there(make_result(defense="clip", settings={**THERE, "train": {"epochs": 9}})),
        there(make_result(defense="dao", settings=THERE)),
        there(make_result(defense="par", settings=THERE)),
    ]
    assert [cells(table) for table in tables(first, second).split("\n\n")] == [[], [], []]


def test_runs_with_several_seeds_are_told_one_by_one(make_result: Callable[..., Result]) -> None:
    """By world, machine, and seed; the first world's are of both folders, and of both machines."""
    first = [make_result(defense=name, success=(k, 16)) for name, k in (("none", 16), ("par", 1))]
    elsewhere = [make_result(defense="par", seed=s, success=(2 + s, 16)) for s in (0, 1)]
    for result in elsewhere:
        result["environment"] = {"hardware": {"cpu": "Other CPU", "cores": 2, "gpus": []}}
    second = [
        *elsewhere,
        there(make_result(defense="par", success=(9, 16), settings=THERE)),
        make_result(defense="none", seed=0),
        make_result(defense="none", seed=1),
        there(make_result(defense="dao", settings=THERE)),  # one seed
    ]
    head, _, *lines = tables(first, second).split("\n\n")[2].splitlines()
    assert head == "| attack | world | machine | seed | none | par |"
    assert lines == [
        "| targeted | 0 | Example CPU | 0 | 15/16 | 1/16 |",
        "| targeted | 0 | Example CPU | 1 | 15/16 | — |",
        "| targeted | 0 | Other CPU | 0 | — | 2/16 |",
        "| targeted | 0 | Other CPU | 1 | — | 3/16 |",
        "| targeted | 2 | Example CPU | 0 | — | 9/16 |",
    ]


PAGE = STUDY / "README.md"
HERE, THERE_ROWS = (load_results([STUDY.parent / name / "rows"]) for name in ("shapes", "worlds"))


def test_the_page_has_the_tables_of_the_rows(capsys: pytest.CaptureFixture[str]) -> None:
    """All, whole, with those of the ranks."""
    page = PAGE.read_text(encoding="utf-8")
    made = TABLE["tables"](HERE, THERE_ROWS).split("\n\n")
    ranks = runpy.run_path(str(STUDY.parent / "icons" / "correlation.py"))
    ranks["main"]([str(STUDY.parent / name / "rows") for name in ("shapes", "worlds")])
    for table in (*made, *capsys.readouterr().out.split("\n\n")[:2]):
        assert f"\n\n{table.strip()}\n\n" in page


def test_one_run_on_two_kinds_of_processors_has_the_same_numbers() -> None:
    """To the last digit, as the page says: losses, success, and accuracy."""
    first = {result.id: result for result in HERE}
    both = [(first[one.id], one) for one in THERE_ROWS if one.id in first]
    both = [(one, other) for one, other in both if processor(one) != processor(other)]
    for one, other in both:
        assert [epoch.loss for epoch in one.history] == [epoch.loss for epoch in other.history]
        for name in one.metrics.keys() & other.metrics.keys():
            assert one.metrics[name].share == other.metrics[name].share
            assert one.metrics[name].value == other.metrics[name].value
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert f"{len(both)} runs of this folder are rows of `shapes`, too" in page


def processor(result: Any) -> str:
    """Return what a run was made on."""
    return str(result.environment.hardware.cpu)


def only(attack: str, defense: str, world: int, seed: int = 0) -> Any:
    """Return what was measured of a run of this folder, or else of `shapes`."""
    chosen = [
        one.metrics
        for one in (*THERE_ROWS, *HERE)
        if (one.attack.name, one.defense.name, one.seed) == (attack, defense, seed)
        and TABLE["world"](one) == world
        and one.config["train"]["epochs"] != (15 if defense == "clip" else None)
    ]
    return chosen[0]


def k(attack: str, defense: str, world: int = 2, seed: int = 0) -> str:
    """Return how many probes are misclassified."""
    return f"{only(attack, defense, world, seed)['attack_success'].k:,}"


def three(values: list[str]) -> str:
    """Return what seeds 0, 1, and 2 gave as text: ``0, 25, and 6``."""
    return "{}, {}, and {}".format(*values)


def claims() -> Iterator[str]:
    """Say what the page says of the rows."""
    yield f"SafeCLIP leaves {k('targeted', 'safeclip')} of 16 targets and"
    yield f"and {k('badnets', 'safeclip')} of 1,980 images"
    yield f"`clipscore` {k('targeted', 'clipscore')} and {k('badnets', 'clipscore')}"
    names = ("dao", "slof", "kdist", "isolation_forest")
    assert {k("badnets", name) for name in names} == {"0"}
    left = sorted(int(k("targeted", name)) for name in names)
    yield f"leave {left[0]} to {left[-1]} of 16 targets, and 0 images of `badnets`;"
    cells = [(name, 0, seed) for name in names for seed in (0, 1, 2)]
    before = sorted(int(k("targeted", *cell)) for cell in cells)
    most = max(int(k("badnets", *cell)) for cell in cells)
    yield f"in the default world, over three seeds, {before[0]} to {before[-1]} and at most {most}."
    seeds = [[k("badnets", "par", world, seed) for seed in (0, 1, 2)] for world in (2, 0)]
    yield "leaves `badnets` at {}, {}, and {} of 1,980 here".format(*seeds[0])
    yield "and at {}, {}, and {} in the default world".format(*seeds[1])
    there = [only("badnets", "lid", 0, seed) for seed in (0, 1, 2)]
    kept = only("badnets", "lid", 2)["poison_kept"].k
    yield f"it keeps {kept} of 100 poisoned pairs here, and {k('badnets', 'lid')} images are"
    yield "there, {}, {}, and {}, and".format(*(one["poison_kept"].k for one in there))
    left = (f"{one['attack_success'].k:,}" for one in there)
    yield "and {}, {}, and {} are.".format(*left)
    there = [k("targeted", "roclip", 0, seed) for seed in (0, 1, 2)]
    yield f"leaves {k('targeted', 'roclip')} of 16 targets, and there {three(there)}"
    top1 = {
        name: [100 * only("none", name, world)["zeroshot_top1"].value for world in (0, 2)]
        for name in {one.defense.name for one in THERE_ROWS}
    }
    there = [
        f"{100 * only('none', 'roclip', 0, seed)['zeroshot_top1'].value:.1f}" for seed in (0, 1, 2)
    ]
    yield f"its top-1 is {top1['roclip'][1]:.1f}%, and there {three(there)}%."
    apart = max(abs(a - b) for name, (a, b) in top1.items() if name != "roclip")
    yield f"on clean data, at seed 0, differs by at most {apart:.1f} points for all others"


def test_figures_of_the_text_are_those_of_the_rows() -> None:
    """Of seed 0, but where seeds are named; README and catalogue have those of `par`, too."""
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert [claim for claim in claims() if claim not in page] == []
    of_par = {
        world: [only("badnets", "par", world, seed)["attack_success"].share for seed in (0, 1, 2)]
        for world in (0, 2)
    }
    spans = {
        world: "{:.0f} to {:.0f}%".format(
            *(100 * pick(one.k / one.n for one in shares) for pick in (min, max))
        )
        for world, shares in of_par.items()
    }
    root = STUDY.parents[1]
    readme = (root / "README.md").read_text(encoding="utf-8")
    assert f"`par` leaves {spans[2]} of `badnets` there, and {spans[0]} on these" in readme
    counts = {w: "{:,}, {:,}, and {:,}".format(*(x.k for x in of_par[w])) for w in (0, 2)}
    catalogue = (root / "docs" / "catalogue.md").read_text(encoding="utf-8")
    assert f"`badnets` succeeds on {counts[0]} of 1,980 images over three seeds" in catalogue
    assert f"`badnets` is at {counts[2]}." in catalogue
