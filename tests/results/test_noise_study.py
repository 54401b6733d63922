"""The tables of the noise study: a row per attack, defense and kind of captions, and clean runs."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from as_json import of_json
from made_results import make_result

from clipbench.evaluation.statistics import Proportion, pool
from clipbench.results.store import load_results

__all__ = ["make_result"]
Result = dict[str, Any]
STUDY = Path(__file__).parents[2] / "results" / "noise"
TABLE = runpy.run_path(str(STUDY / "table.py"))
tables = of_json(TABLE["tables"])


def test_seeds_are_pooled_and_noise_rises_from_row_to_row(
    make_result: Callable[..., Result],
) -> None:
    """What a defense does not score has no AUROC."""
    made = []
    for noise, seed, k in ((0.2, 0, 3), (0.2, 1, 4), (0, 0, 1)):
        metrics = {"score_auroc": 0.9 - noise, "poison_kept": (k, 160)}
        settings = {"data": {"name": "shapes", "caption_noise": noise}}
        one = make_result(
            defense="clipscore", seed=seed, success=(k, 16), metrics=metrics, settings=settings
        )
        one["data"]["parameters"] |= {"caption_noise": noise} if noise else {}
        made.append(one)
    made.append(make_result(defense="clip", success=(16, 16)))
    made.append(make_result(attack="none"))
    lines = tables(made).partition("\n\n")[0].splitlines()
    # Accuracy is that of poisoned models, and not after training on clean data as in other tables.
    assert lines[0].endswith("| poison kept | top-1 % |")
    assert lines[2].startswith(
        "| targeted | clip | 20 | 0 | 0 | 1 | 16/16 [80.6, 100.0] | 0/16 | — |"
    )
    assert [line.split(" | ")[3:7] for line in lines[3:]] == [
        ["0", "0", "1", "1/16 [1.1, 28.3]"],
        ["0.2", "0", "2", "7/32 [11.0, 38.8]"],
    ]
    assert [line.split(" | ")[8] for line in lines[3:]] == ["0.900", "0.700"]


def test_top1_without_poison_is_told_by_training_and_kind_of_captions(
    make_result: Callable[..., Result],
) -> None:
    """Seeds of one training are one line, with the lowest and the highest."""
    made = []
    for noise, epochs, seed, top1 in ((0.2, 9, 0, 700), (0.2, 9, 1, 800), (0.2, 15, 0, 900)):
        settings = {"data": {"name": "shapes"}, "train": {"epochs": epochs}}
        one = make_result(
            attack="none", defense="clip", seed=seed, top1=(top1, 1000), settings=settings
        )
        one["data"]["parameters"] |= {"caption_noise": noise}
        one["config"]["train"] = {"epochs": epochs}
        made.append(one)
    told = tables([*made, make_result(defense="clip", success=(16, 16))])
    assert told.partition("\n\n")[2].splitlines()[2:] == [
        "| clip | 9 | 0.2 | 0 | 2 | 75.0 (70.0 to 80.0) |",
        "| clip | 15 | 0.2 | 0 | 1 | 90.0 |",
    ]


def test_the_page_has_the_tables_of_the_rows() -> None:
    """Both, whole and in order."""
    page = (STUDY / "README.md").read_text(encoding="utf-8")
    first, _, second = TABLE["tables"](load_results([STUDY / "rows"])).partition("\n\n")
    assert f"\n\n{first}\n\n" in page
    assert f"\n\n{second.rstrip()}\n\n" in page


def claims() -> Iterator[str]:
    """Say what the page says beside its tables."""
    results = load_results([STUDY / "rows"])

    def share(
        attack: str,
        defense: str,
        captions: tuple[float, float],
        epochs: int | None = None,
        **of: float,
    ) -> Proportion:
        chosen = [
            result.metrics["attack_success"].share
            for result in results
            if (result.attack.name, result.defense.name) == (attack, defense)
            and TABLE["captions_of"](result) == captions
            and epochs in {None, result.config["train"]["epochs"]}
            and all(result.defense.parameters.get(k) == v for k, v in of.items())
        ]
        return pool(one for one in chosen if one is not None)

    def success(
        attack: str, defense: str, noise: float, epochs: int | None = None, **of: float
    ) -> str:
        found = share(attack, defense, (noise, 0), epochs, **of)
        return f"{found.k:,} of {found.n:,}"

    for noise in (0, 0.1, 0.2):
        yield success("targeted", "safeclip", noise, 15, cap=0.97)
    yield f"`badnets` succeeds on {success('badnets', 'safeclip', 0.2, 15, cap=0.97)}"
    yield (
        f"at 30 epochs (one seed), {success('targeted', 'safeclip', 0.2, 30)} targets and "
        f"{success('badnets', 'safeclip', 0.2, 30)} images are misclassified"
    )
    yield (
        f"{success('targeted', 'safeclip', 0.2, cap=0.75)} targets and "
        f"{success('badnets', 'safeclip', 0.2, cap=0.75)} images"
    )
    for noise in (0, 0.2):
        yield (
            f"{success('targeted', 'clipscore', noise, drop=0.1)} and "
            f"{success('badnets', 'clipscore', noise, drop=0.1)}"
        )
    yield (
        f"{success('targeted', 'clipscore', 0.2, drop=0.25)} and "
        f"{success('badnets', 'clipscore', 0.2, drop=0.25)}"
    )
    yield f"`badnets` at {success('badnets', 'dao', 0.2)}"
    yield f"`badnets` succeeds on {success('badnets', 'clip', 0.4)}"
    both = {
        (attack, defense): share(attack, defense, (0.2, 0.4)).k
        for attack in ("targeted", "badnets")
        for defense in ("safeclip", "clipscore", "clip")
    }
    yield (
        f"`safeclip` leaves {both['targeted', 'safeclip']} of 16 targets and "
        f"{both['badnets', 'safeclip']} of 1,980 images with all but two"
    )
    yield f"`clipscore` {both['targeted', 'clipscore']} and {both['badnets', 'clipscore']}"
    yield f"attacked on {both['targeted', 'clip']} and {both['badnets', 'clip']}"


def test_figures_of_the_text_are_those_of_the_rows() -> None:
    page = " ".join((STUDY / "README.md").read_text(encoding="utf-8").split())
    assert [claim for claim in claims() if claim not in page] == []
