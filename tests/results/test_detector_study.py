"""The detector study: the table is that of the numbers, and the text says what the table says."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "results" / "detectors"
SLOW_LEARNERS = ("dao", "slof", "kdist", "isolation_forest")  # all but `lid`
BACKDOORS = ("badnets", "sig")  # with fewer poisoned pairs in a block of 1,024 than k
Row = dict[str, Any]


@cache
def rows() -> list[Row]:
    found: list[Row] = json.loads((STUDY / "detectors.json").read_text())
    return found


def chosen(attacks: Iterable[str], filters: Iterable[str], **wanted: object) -> list[Row]:
    """Return the rows of some attacks and filters under a setting; a forest has no blocks."""
    found = []
    for row in rows():
        method = row["method"]
        told = {"scoring_epochs": row["scoring_epochs"], **method}
        is_one = row["attack"].partition(":")[0] in attacks and method["name"] in filters
        if is_one and all(told.get(key, value) == value for key, value in wanted.items()):
            found.append(row)
    assert found
    return found


def aurocs(found: Iterable[Row]) -> list[float]:
    return [round(row["auroc"]["value"], 2) for row in found]


def dropped(found: Iterable[Row]) -> list[int]:
    return [row["poison_kept"]["n"] - row["poison_kept"]["k"] for row in found]


PAPER = {"features": "raw", "block": 1024, "scoring_epochs": 9}


def test_the_table_is_what_the_numbers_give() -> None:
    table = runpy.run_path(str(ROOT / "tests" / "benchmarks" / "detectors.py"))["table"]
    assert (STUDY / "detectors.md").read_text() == table(rows())


def test_every_setting_was_tried_on_every_attack() -> None:
    """Four filters with two kinds of features and of blocks, one with features alone."""
    assert len(rows()) == 6 * 2 * (4 * 2 * 2 + 2)


def test_what_is_said_of_the_authors_setting() -> None:
    found = chosen(BACKDOORS, SLOW_LEARNERS, **PAPER)
    assert (min(dropped(found)), max(dropped(found)), min(aurocs(found))) == (95, 100, 0.99)
    unit = chosen(BACKDOORS, SLOW_LEARNERS, **{**PAPER, "features": "unit"})
    assert sorted(dropped(unit))[-1] == 73
    assert (sorted(dropped(unit))[0], sorted(dropped(unit))[-2]) == (1, 33)
    assert aurocs(chosen(BACKDOORS, ["lid"], **PAPER)) == [0.70, 0.26]


def test_what_is_said_of_blocks() -> None:
    large = {**PAPER, "block": 4096}
    found = aurocs(chosen(BACKDOORS, ["dao", "slof"], **large))
    assert (min(found), max(found)) == (0.46, 0.58)
    assert aurocs(chosen(BACKDOORS, ["kdist"], **large)) == [1.00, 0.53]
    short = {"features": "raw", "scoring_epochs": 2}
    assert aurocs(chosen(["badnets"], ["dao"], **short)) == [0.79, 0.91]
    everything = [*SLOW_LEARNERS, "lid"]
    assert max(dropped(chosen(BACKDOORS, everything, scoring_epochs=2))) == 77


def test_what_is_said_of_what_is_not_found() -> None:
    everything = [*SLOW_LEARNERS, "lid"]
    many = ["blended", "filter"]
    paper = aurocs(chosen(many, everything, **PAPER))
    assert (min(paper), max(paper)) == (0.40, 0.64)
    assert max(aurocs(chosen(many, everything))) == 0.81
    copies = aurocs(chosen(["targeted", "text_trigger"], ["lid"]))
    assert (min(copies), max(copies)) == (0.00, 0.32)


@pytest.mark.parametrize("told", ["95 to 100", "1 to 33", "(73)", "0.46 and 0.58", "0.40 to 0.64"])
def test_the_text_has_these_figures(told: str) -> None:
    """Those of the tests above, so that neither changes alone."""
    assert told in " ".join((STUDY / "README.md").read_text().split())
