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
    assert [line.split(" | ")[:7] for line in runs] == [
        ["| none", "clip", "—", "of shapes", "20", "0", "0.0"],
        ["| targeted", "safeclip", "mixture", "SafeCLIP's", "20", "0", "0.4"],
        ["| targeted", "safeclip", "share of 0.5", "of shapes", "20", "0", "0.4"],
    ]
    assert runs[1].split(" | ")[7] == "2/16 [3.5, 36.0]"
    assert splits[0] == (
        "| targeted | mixture | SafeCLIP's | 0 | 2 | 3,000 (15.0%) | 1/160 | 0.900 |"
        " 5,000 (25.0%) | 2/160 | 0.950 |"
    )
    assert splits[1].startswith("| targeted | share of 0.5 | of shapes | 0 | 2 | 3,000 (15.0%) |")


def test_the_page_has_the_tables_of_the_rows() -> None:
    """Both, whole and in order."""
    page = (STUDY / "README.md").read_text(encoding="utf-8")
    made = runpy.run_path(str(TABLE))["tables"](load_results([STUDY / "rows"]))
    for table in made.split("\n\n"):
        assert f"\n\n{table.rstrip()}\n\n" in page


Arm = tuple[str, int, int]  # whose augmentation, how many epochs, and the seed
THEIRS, MIXTURE, RECIPE = ("SafeCLIP's", 32, 0), ("of shapes", 32, 0), ("of shapes", 15, 0)
AGAIN = ("SafeCLIP's", 32, 1)


class Rows:
    """The rows by attack, defense and arm, and what the page says of them."""

    def __init__(self) -> None:
        augmentation = runpy.run_path(str(TABLE))["augmentation"]
        self._of: dict[tuple[str, str, Arm], Any] = {}
        for result in load_results([STUDY / "rows"]):
            assert result.train is not None
            arm = augmentation(result), int(result.train.epochs), result.seed
            self._of[result.attack.name, result.defense.name, arm] = result

    def metrics(self, attack: str, defense: str, arm: Arm) -> Any:
        """Return what was measured."""
        return self._of[attack, defense, arm].metrics

    def history(self, attack: str, arm: Arm) -> Any:
        """Return SafeCLIP's epochs."""
        return self._of[attack, "safeclip", arm].history

    def split(self, attack: str, arm: Arm, place: int = 0) -> Any:
        """Return the epoch of the first or of the last safe set."""
        return [epoch for epoch in self.history(attack, arm) if epoch.safe_set_size][place]

    def size(self, attack: str, arm: Arm, place: int = 0) -> str:
        """Return how many pairs that safe set has."""
        return f"{self.split(attack, arm, place).safe_set_size:,}"

    def sizes(self, arm: Arm, place: int = 0, attack: str = "targeted") -> str:
        """Return them on clean and on poisoned pairs."""
        return f"{self.size('none', arm, place)} and {self.size(attack, arm, place)}"

    def top1(self, arm: Arm, defense: str = "safeclip") -> str:
        """Return top-1 after clean and after poisoned pairs."""
        metrics = [self.metrics(attack, defense, arm) for attack in ("none", "targeted")]
        return " and ".join(f"{100 * found['zeroshot_top1'].value:.2f}%" for found in metrics)

    def success(self, arm: Arm, defense: str = "safeclip", attack: str = "targeted") -> str:
        """Return how many targets, or images, are misclassified."""
        share = self.metrics(attack, defense, arm)["attack_success"].share
        return f"{share.k:,} of {share.n:,}"

    def control(self, arm: Arm, defense: str, attack: str) -> int:
        """Return how many of them are after training on clean pairs."""
        return int(self.metrics(attack, defense, arm)["attack_success_control"].share.k)

    def warm_up(self, arm: Arm, attack: str = "targeted") -> str:
        """Return the loss of the cross-modal warm-up."""
        name, epochs = "cross-modal warm-up", self.history(attack, arm)
        (loss,) = (epoch.loss[name] for epoch in epochs if name in epoch.loss)
        return f"{loss:.1f}"

    def auroc(self, arm: Arm, place: int = 0, attack: str = "targeted") -> str:
        """Return that of the scores that decided a safe set."""
        return f"{self.split(attack, arm, place).score_auroc:.3f}"

    def kept(self, arm: Arm, place: int = 0, attack: str = "targeted") -> int:
        """Return how many poisoned pairs are in a safe set."""
        return int(self.split(attack, arm, place).poisons_in_safe_set)


def claims() -> Iterator[str]:
    """Say what the page says below its tables."""
    rows = Rows()
    yield f"has {rows.sizes(THEIRS)} of the 100,000 pairs (clean, and with poison)"
    yield f"and {rows.sizes(MIXTURE)} with ours; the recipe"
    yield f"the recipe of `shapes` takes {rows.size('targeted', RECIPE)}."
    yield f"ends at {rows.sizes(THEIRS, -1)}, and at {rows.sizes(MIXTURE, -1)}."
    yield f"Top-1 is {rows.top1(THEIRS)} with the authors' settings, {rows.top1(MIXTURE)} with"
    yield f"and {rows.top1(RECIPE)} with the recipe, in half the epochs"
    yield f"it is {rows.top1(THEIRS, 'clip')} with the authors' augmentation"
    yield f"{rows.top1(MIXTURE, 'clip')} with ours"
    first, last = (
        [rows.split(attack, arm).safe_set_size for attack in ("none", "targeted")]
        for arm in (THEIRS, MIXTURE)
    )
    assert 1.4 < first[1] / first[0] < 1.6  # "by half"
    assert 0.5 < last[1] / last[0] < 0.6  # "nearly halve"
    yield f"The loss of that epoch is {rows.warm_up(THEIRS)} with the authors' augmentation and"
    yield f"{rows.warm_up(MIXTURE)} with ours, where chance is {math.log(256):.1f} "
    yield f"which has the whole rate there, it is {rows.warm_up(RECIPE)}."
    yield f"AUROC at the first split is {rows.auroc(THEIRS)} and {rows.auroc(MIXTURE)}, and"
    yield f"{rows.auroc(RECIPE)} with the recipe"
    kept = f"{rows.kept(THEIRS)} and {rows.kept(MIXTURE)} of 280 poisoned pairs"
    yield f"{kept} are in the first safe set"
    kept = f"{rows.kept(THEIRS, -1)} and {rows.kept(MIXTURE, -1)} in the last"
    yield f"{kept}, where AUROC is {rows.auroc(THEIRS, -1)} and {rows.auroc(MIXTURE, -1)}."
    yield f"{rows.success(THEIRS)} targets is misclassified with the authors' settings"
    yield f"{rows.success(MIXTURE)} with the same mixture and ours"
    yield f"and {rows.success(RECIPE)} with the recipe."
    assert rows.success(RECIPE, "clip") == rows.success(MIXTURE, "clip")
    yield f"`clip` with our augmentation leaves all: {rows.success(MIXTURE, 'clip')}."
    yield f"With the authors', `clip` leaves {rows.success(THEIRS, 'clip')} by itself (control 0 of"
    assert rows.control(THEIRS, "clip", "targeted") == 0
    left = [
        f"{rows.success(AGAIN, name, 'badnets')} (control {rows.control(AGAIN, name, 'badnets')})"
        for name in ("clip", "safeclip")
    ]
    yield f"`clip` leaves {left[0]}, and SafeCLIP {left[1]}"
    sizes = rows.sizes(AGAIN, 0, "badnets")
    yield f"The first safe set of this seed has {sizes} pairs (clean, and with poison)"
    kept = [rows.kept(AGAIN, place, "badnets") for place in (0, -1)]
    yield f"{kept[0]} of 100 poisoned pairs are in the first, and {kept[1]} in the last"
    aurocs = [rows.auroc(AGAIN, place, "badnets") for place in (0, -1)]
    yield "AUROC is {} and {} there".format(*aurocs)
    sizes = f"{rows.size('none', AGAIN)} instead of {rows.size('none', THEIRS)}"
    yield f"clean pairs have a first safe set of {sizes}"
    free = [
        f"{100 * rows.metrics('none', name, arm)['zeroshot_top1'].value:.2f}%"
        for name, arm in (("safeclip", AGAIN), ("safeclip", THEIRS), ("clip", AGAIN))
    ]
    yield "and a top-1 of {} instead of {} (`clip` of that seed: {})".format(*free)
    yield f"There, the loss of the cross-modal warm-up is {rows.warm_up(AGAIN, 'none')}"
    free = [rows.top1(THEIRS, defense).split(" ")[0] for defense in ("safeclip", "clip")]
    yield "SafeCLIP has a top-1 of {} on clean data, and `clip` of as many epochs {}.".format(*free)
    epochs = {epoch.epoch: epoch for epoch in rows.history("none", THEIRS)}
    rates = ", ".join(f"{epochs[at].lr:.4f}" for at in (7, 25))
    yield f"the rate of the safe set is {rates}, and {epochs[32].lr:.4f}."
    worst = max(range(10, 33), key=lambda at: epochs[at].loss["safe"])
    losses = {at: f"{epochs[at].loss['safe']:.2f}" for at in (16, worst, 32)}
    yield f"{losses[16]} in epoch 16, {losses[worst]} in epoch {worst}, and {losses[32]} in"


def test_figures_of_the_text_are_those_of_the_rows() -> None:
    """Of the attack that two arms have."""
    page = " ".join((STUDY / "README.md").read_text(encoding="utf-8").split())
    assert [claim for claim in claims() if claim not in page] == []
