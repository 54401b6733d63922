"""The tables of what SafeCLIP's mixture decides: a run a line, and its first and last safe set."""

from __future__ import annotations

import math
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from as_json import of_json
from made_results import make_result

from clipbench.results.store import load_results

__all__ = ["make_result"]
Result = dict[str, Any]
STUDY = Path(__file__).parents[2] / "results" / "mixture"
TABLE = STUDY / "table.py"


def _entry(epoch: int, size: int, kept: int, auroc: float) -> dict[str, Any]:
    told = {"pairs": 20_000, "poisons_in_epoch": 160, "cross_modal_pairs": size}
    safe = {"safe_set_size": size, "poisons_in_safe_set": kept, "score_auroc": auroc}
    return {"epoch": epoch, **told, **safe}


def test_the_first_and_the_last_safe_set_are_told(make_result: Callable[..., Result]) -> None:
    """After warm-ups without a split; of a mixture and of a given share; `clip` has none."""
    warm_up = {"epoch": 1, "pairs": 20_000, "cross_modal_pairs": 0}
    history = [warm_up, _entry(2, 3_000, 1, 0.9), _entry(3, 5_000, 2, 0.95)]
    paper = {"train": {"crop_scale": 0.08}}
    ours = {"train": {"crop_scale": 0.9}}
    made = [
        make_result(
            defense="safeclip",
            defense_parameters={"first_ratio": ratio},
            success=(2, 16),
            history=history,
            settings=settings,
        )
        for ratio, settings in ((None, paper), (0.5, ours))
    ]
    made.append(make_result(defense="clip", attack="none", history=[warm_up], settings=ours))
    told = of_json(runpy.run_path(str(TABLE))["tables"])(made)
    runs, splits = (part.splitlines()[2:] for part in told.split("\n\n"))
    assert [line.split(" | ")[:6] for line in runs] == [
        ["| none", "clip", "—", "of shapes", "20", "0.0"],
        ["| targeted", "safeclip", "mixture", "SafeCLIP's", "20", "0.4"],
        ["| targeted", "safeclip", "share of 0.5", "of shapes", "20", "0.4"],
    ]
    assert runs[1].split(" | ")[6] == "2/16 [3.5, 36.0]"
    assert splits[0] == (
        "| targeted | mixture | SafeCLIP's | 2 | 3,000 (15.0%) | 1/160 | 0.900 |"
        " 5,000 (25.0%) | 2/160 | 0.950 |"
    )
    assert splits[1].startswith("| targeted | share of 0.5 | of shapes | 2 | 3,000 (15.0%) |")


def test_the_page_has_the_tables_of_the_rows() -> None:
    """Both, whole and in order."""
    page = (STUDY / "README.md").read_text(encoding="utf-8")
    made = runpy.run_path(str(TABLE))["tables"](load_results([STUDY / "rows"]))
    for table in made.split("\n\n"):
        assert f"\n\n{table.rstrip()}\n\n" in page


def claims() -> Iterator[str]:
    """Say what the page says below its tables."""
    split = runpy.run_path(str(TABLE))["first_split"]
    of = {(result.attack.name, split(result)): result for result in load_results([STUDY / "rows"])}
    clean, attacked = (of[attack, "mixture"] for attack in ("none", "targeted"))
    recipe = of["targeted", "share of 0.5"]

    def safe(result: Any, epoch: int) -> str:
        sizes = [entry.safe_set_size for entry in result.history if entry.safe_set_size]
        return f"{sizes[epoch]:,}"

    def top1(how: str | None) -> str:
        pair = (of[attack, how].metrics["zeroshot_top1"].value for attack in ("none", "targeted"))
        return " and ".join(f"{100 * value:.2f}%" for value in pair)

    def success(how: str | None) -> str:
        share = of["targeted", how].metrics["attack_success"].share
        return f"{share.k} of {share.n}"

    def warm_up(result: Any) -> str:
        (loss,) = (
            entry.loss["cross-modal warm-up"]
            for entry in result.history
            if "cross-modal warm-up" in entry.loss
        )
        return f"{loss:.1f}"

    yield f"has {safe(clean, 0)} of the 100,000 clean pairs and {safe(attacked, 0)} with poison"
    yield f"takes {safe(recipe, 0)}."
    yield f"ends at {safe(clean, -1)} and {safe(attacked, -1)}, and top-1 is {top1('mixture')},"
    yield f"against {top1('share of 0.5')} with the recipe"
    yield f"{top1(None)} under `clip`"
    yield f"The loss of that epoch is {warm_up(attacked)}, where chance is {math.log(256):.1f} "
    yield f"which has the whole rate there, it is {warm_up(recipe)}."
    first, last = ([e for e in attacked.history if e.safe_set_size][place] for place in (0, -1))
    yield f"AUROC at the first split is {first.score_auroc:.3f}, and"
    yield f"{next(e.score_auroc for e in recipe.history if e.safe_set_size):.3f} with the recipe"
    yield f"{first.poisons_in_safe_set} of 280 poisoned pairs are in the first safe set"
    assert last.poisons_in_safe_set == 0
    yield f"where AUROC is {last.score_auroc:.3f}."
    yield f"{success('mixture')} targets is misclassified with the mixture and"
    yield f"{success('share of 0.5')} with the recipe, against {success(None)} under `clip`"


def test_figures_of_the_text_are_those_of_the_rows() -> None:
    """Of the attack that two arms have."""
    page = " ".join((STUDY / "README.md").read_text(encoding="utf-8").split())
    assert [claim for claim in claims() if claim not in page] == []
