"""The page of the dose study: its tables and figures are those of the rows."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from dose_programs import STUDY, fit, modules

from clipbench.results.store import load_results
from clipbench.sweep.grid import read_grid

__all__ = ["fit", "modules"]
CELLS = ("trained", "all", "trained, below a million")  # that slopes are of


@pytest.fixture(scope="module")
def cells(fit: ModuleType) -> Any:
    """What the rows say, by cell."""
    return fit.read(result.record for result in load_results([STUDY / "rows"]))


@pytest.fixture(scope="module")
def tables(fit: ModuleType, cells: Any) -> str:
    """All tables, as the program prints them."""
    return str(fit.report(cells)[0])


@pytest.fixture(scope="module")
def page() -> str:
    """The page in one line."""
    return " ".join((STUDY / "README.md").read_text(encoding="utf-8").split())


def test_the_tables_are_those_of_the_rows(tables: str) -> None:
    """Made again, the file has the same text."""
    assert (STUDY / "fit.md").read_text(encoding="utf-8") == tables


def test_the_pages_table_is_the_first_of_these(tables: str) -> None:
    """N50 of every cell, whole and in order."""
    page = (STUDY / "README.md").read_text(encoding="utf-8")
    assert f"\n\n{tables.partition(chr(10) * 2)[0]}\n\n" in page


def test_every_attacked_row_has_its_clean_control() -> None:
    """Measured on the clean run of its pairs, epochs, and defense, whose row is beside it."""
    known = {
        config.id: config for grid in STUDY.glob("*.yaml") for config in read_grid(grid).configs
    }
    results = load_results([STUDY / "rows"])
    there = {result.id for result in results}
    for result in results:
        if result.attack.name != "none":
            assert "attack_success_control" in result.metrics
            assert known[result.id].without_attack().id in there


def test_the_page_says_which_rows_are_of_another_machine(page: str) -> None:
    """Two clean runs are, and others were made again there, with the same numbers."""
    rows = load_results([STUDY / "rows"])
    newer = [row for row in rows if "family 26" in row.environment.hardware.cpu]
    assert sorted((row.attack.name, row.defense.name, row.train.epochs) for row in newer) == [
        ("none", "none", 9),
        ("none", "safeclip", 5),
    ]
    assert {row.data.pairs for row in newer} == {1_000_000}
    again = [note for row in rows for note in row.again]
    assert {note.differs for note in again} == {()}
    assert f"{len(again)} runs were made on both, with the same numbers" in page


def claims(fit: ModuleType, cells: Any) -> Iterator[str]:
    """Say what the page says below its table."""

    def successes(pairs: int, epochs: float, count: int, defense: str = "none") -> tuple[int, int]:
        data = cells[fit.Cell("targeted", defense, pairs, float(epochs))]
        own = [one for one in data.trials if one.count == count]
        return sum(one.successes for one in own), sum(one.trials for one in own)

    controls = [
        control
        for result in load_results([STUDY / "rows"])
        if (control := result.metrics.get("attack_success_control")) is not None
    ]
    assert sum(control.k or 0 for control in controls) == 0
    of_all = sum(control.n or 0 for control in controls)
    yield f"In all cells together, 0 of {of_all:,} targets"
    million = 1_000_000
    assert successes(million, 3, 1) == successes(million, 9, 1) == (0, 64)
    yield "none is misclassified, after three epochs or after nine (0 of 64"
    eight = [successes(million, epochs, 8)[0] for epochs in (3, 9)]
    yield f"With eight pairs each, {eight[0]} are after three epochs, and {eight[1]} after nine"
    four = successes(million, 9, 4)[0]
    yield f"mislead {four} of 64 targets, and eight (72 exposures) {eight[1]}"
    half = {
        (cell.pairs, cell.epochs): estimate.value
        for cell, estimate in fit.report(cells)[1].items()
        if (cell.attack, cell.defense) == ("targeted", "none")
    }
    low, high, few = half[20_000, 9], half[million, 9], half[million, 3]
    yield f"raise N50 threefold, from {low:.1f} to {high:.1f};"
    assert 2.5 < high / low < 3.5
    yield f"from {100 * low / 20_000:.3f}% to {100 * high / million:.4f}% per target"
    yield f"turn {eight[0]} of 64 targets of eight poisoned pairs into {eight[1]}, and lower N50"
    yield f"from {few:.1f} to {high:.1f}; if exposures"
    assert half[20_000, 27] < 1
    yield f"N50 is {half[20_000, 3]:.1f} after 3 epochs (under-trained), {low:.1f} after 9, and"
    once = successes(180_000, 1, 16)
    yield f"180,000 that are seen once, {once[0]} of {once[1]} is misclassified"
    of_safeclip = [successes(million, 3, count, "safeclip") for count in (1, 2, 4, 8)]
    assert of_safeclip == [(0, 64)] * 4
    top1 = {
        result.attack.name: result.metrics["zeroshot_top1"].value
        for result in load_results([STUDY / "rows"])
        if result.defense.name == "safeclip"
    }
    yield (
        f"leaves none of the 256 targets at a top-1 of {top1['targeted']:.1%} "
        f"({top1['none']:.1%} on clean data)"
    )


def test_figures_of_the_text_are_those_of_the_rows(
    fit: ModuleType, cells: Any, tables: str, page: str
) -> None:
    """Counts and N50 of the cells, and the slopes."""
    slopes = {
        arm: next(
            line.removesuffix(" |").split(" | ")
            for line in tables.splitlines()
            if f" none | {arm} (" in line
        )
        for arm in (*CELLS, "equal epochs", "equal samples", "more epochs")
    }
    assert f"c/b is {slopes['equal epochs'][8]}, where the rate" in page
    trained, every, small = (slopes[cells] for cells in CELLS)
    assert f"d/b is {trained[9]} and c/b is {trained[8]}, where" in page
    assert f"cells, d/b is {every[9]} and c/b {every[8]}, and without" in page
    assert f"the million pairs, c/b is {small[8]}." in page
    assert "after 9, and below 1 after 27" in page
    assert f"from 9 to 27, d/b is {slopes['more epochs'][9]}." in page
    assert f"(c − d)/b is {slopes['equal samples'][10]}." in page
    assert [claim for claim in claims(fit, cells) if claim not in page] == []
