"""Tables for a terminal: nothing cut, what rows share once above, fitted to a width."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

import pytest
from as_json import of_json

from clipbench.leaderboard.tables import leaderboard
from clipbench.leaderboard.text_table import fit, shorten, text_width, to_text

leaderboard = of_json(leaderboard)

Result = dict[str, Any]
MakeResult = Callable[..., Result]

LONG = ("shards_of_a_crawl_of_last_year", "shards_of_a_crawl_of_this_year")


@pytest.fixture
def wide(make_result: MakeResult) -> list[Result]:
    """Return results whose long names differ at their ends alone."""
    return [
        make_result(
            data=data,
            defense=f"a_defense_whose_name_takes_very_much_room_{number}",
            attack_parameters={"targets": 16, "place": f"{corner}-right corner of the image"},
        )
        for number, data in enumerate(LONG)
        for corner in ("upper", "lower")
    ]


def read_back(text: str) -> list[dict[str, str]]:
    """Return the cells of a table by column, names that were broken put together again."""
    lines = text.splitlines()
    rule = next(number for number, line in enumerate(lines) if line.startswith("--"))
    spans = [(found.start(), found.end()) for found in re.finditer("-+", lines[rule])]
    heads = [lines[rule - 1][a:b].strip() for a, b in spans]
    rows: list[dict[str, str]] = []
    for line in itertools.takewhile(bool, lines[rule + 1 :]):
        cells = {head: line[a:b].strip() for head, (a, b) in zip(heads, spans, strict=True)}
        if cells["success [95%]"]:
            rows.append(dict.fromkeys(heads, ""))
        for head in heads:
            text = cells[head] if head == "success [95%]" else cells[head].replace(" ", "")
            rows[-1][head] += text
    return rows


def test_without_a_width_nothing_is_cut(wide: list[Result]) -> None:
    """A pipe gets every name in one piece, and a row is a line, however long."""
    lines = to_text(leaderboard(wide)).splitlines()
    assert len(lines) == 7
    for result, line in zip(sorted(wide, key=lambda one: one["data"]["name"]), lines, strict=False):
        assert "…" not in line
        assert any(result["data"]["name"] in one for one in lines)
        assert any(result["defense"]["name"] in one for one in lines)
    assert len({re.sub(r"\d", "", line) for line in lines[3:]}) == 4  # rows are told apart


@pytest.mark.parametrize("width", [200, 140, 120, 100])
def test_a_table_fits_its_terminal_with_all_its_words(wide: list[Result], width: int) -> None:
    """Names are broken into lines; whole words of every row and every number stay."""
    text = to_text(leaderboard(wide), width)
    assert max(map(text_width, text.splitlines())) <= width
    rows = read_back(text)
    assert [row["success [95%]"] for row in rows] == ["15/16 93.8% [71.7, 98.9]"] * 4
    for result in wide:
        names = {"data": result["data"]["name"], "defense": result["defense"]["name"]}
        corner = result["attack"]["parameters"]["place"].replace(" ", "")
        found = [row for row in rows if names.items() <= row.items()]
        assert len([row for row in found if f"targeted(place={corner})" == row["attack"]]) == 1


def test_columns_that_are_missed_least_go_first_and_are_named(wide: list[Result]) -> None:
    """One that says nothing, then the control and retrieval; success and accuracy always stay."""
    left_out = [
        re.findall(r"Left out at this width: (.*)\.", to_text(leaderboard(wide), width))
        for width in (300, 150, 110, 60)
    ]
    assert left_out[0] == []
    told = [names.split(", ") for (names,) in left_out[2:]]
    order = ["cost", "control", "R@1 i2t/t2i %", "seeds"]  # no cost is known of any row
    assert all(names == order[: len(names)] for names in told)
    assert told[-1] == order
    narrow = to_text(leaderboard(wide), 60)
    assert "success [95%]" in narrow
    assert "top-1 %" in narrow
    assert "control" not in narrow.splitlines()[1]


def test_the_same_frame_and_width_give_the_same_text(wide: list[Result]) -> None:
    """Whatever the order of the results."""
    assert to_text(leaderboard(wide), 100) == to_text(leaderboard(wide[::-1]), 100)


def test_what_all_rows_of_a_plugin_share_stands_above_once(make_result: MakeResult) -> None:
    """Rows keep what tells them apart."""
    plugin = "my/checker.py"
    results = [
        make_result(
            attack=plugin,
            defense=defense,
            attack_parameters={"side": side, "cells": [2, 3], "mode": "replace"},
        )
        for defense in ("none", "clip")
        for side in (8, 16)
    ]
    text = to_text(leaderboard(results, defaults=lambda *_: {}))
    assert text.splitlines()[0] == (
        "Model shapes-tiny, data shapes (size=20000);"
        " attack my/checker.py (cells=[2, 3], mode=replace)."
    )
    assert text.count("cells=") == 1
    assert text.count("my/checker.py (side=8) ") == 2
    assert text.count("my/checker.py (side=16) ") == 2


def test_labels_lose_nothing_but_what_is_told() -> None:
    """Brackets and commas inside a value do not part it; other names are left alone."""
    names = ["a", "a", "b", "c(x)"]
    labels = ["a (p=[1, 2], q=1)", "a (p=[1, 2], q=2)", "b", "c(x)"]
    assert shorten(names, labels) == (["a (q=1)", "a (q=2)", "b", "c(x)"], ["a (p=[1, 2])"])
    assert shorten(["a"], ["a (p=1)"]) == (["a"], ["a (p=1)"])
    assert shorten(["a", "a"], ["a (p=1)", "a"]) == (["a (p=1)", "a"], [])
    assert shorten(["a"] * 2, ['a (p="1, q=1)", q=1)', "a (p=2, q=1)"]) == (
        ['a (p="1, q=1)")', "a (p=2)"],
        ["a (q=1)"],
    )
    assert shorten([], []) == ([], [])


def test_a_broken_name_leaves_its_other_cells_empty() -> None:
    """A row then is several lines, with its numbers on the first."""
    lines = [["name", "value"], ["one two three four five", "1"], ["six", "2"]]
    text = fit(lines, 18, names=["name"])
    assert text.splitlines() == [
        "name        value",
        "----------  -----",
        "one two     1",
        "three four",
        "five",
        "six         2",
    ]


def test_wide_letters_count_twice() -> None:
    """Columns stay below each other."""
    text = fit([["a", "b"], ["漢字", "1"], ["abcd", "2"]], None, names=[])
    assert text.splitlines()[2:] == ["漢字  1", "abcd  2"]
