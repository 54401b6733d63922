"""Axes, places of names, and looks: what charts are made of."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from as_json import of_json

from clipbench.evaluation.statistics import Proportion
from clipbench.leaderboard.charts.axes import accuracies, linear, percent, rates
from clipbench.leaderboard.charts.looks import looks_of
from clipbench.leaderboard.charts.placing import LONGEST, MARK, Box, place, shortened
from clipbench.leaderboard.page.document import to_html

to_html = of_json(to_html)


def test_linear_axes_hold_their_values_and_few_ticks() -> None:
    """Ticks are round numbers inside the axis; one value alone has room around it."""
    axis = linear("x", [95.1, 98.7])
    assert axis.low < 95.1
    assert axis.high > 98.7
    assert axis.ticks == (95, 96, 97, 98)
    assert linear("x", [3.0]).place(3.0) == pytest.approx(0.5)
    assert linear("x", [0.0, 0.0]).ticks
    assert linear("epoch", [1, 2], whole=True).ticks == (1, 2)
    assert linear("cost", [1, 4.2], zero=True).low == 0


def test_accuracies_lie_in_equal_ratios_of_errors() -> None:
    """From 80 to 90% is the step from 90 to 95%; the best is at the right, and 100% has a place."""
    axis = accuracies("x", [80.0, 95.0])
    first, second, third = (axis.place(value) for value in (80.1, 90.1, 95.1))
    assert second - first == pytest.approx(third - second)
    assert axis.ticks == (80, 85, 90, 92, 94, 95)
    wide = accuracies("x", [66.0, 99.2])
    steps = [b - a for a, b in itertools.pairwise(map(wide.place, wide.ticks))]
    assert min(steps) > 0.065  # 12 of 190 points: the texts of 94 and 95 would touch
    assert 0 < accuracies("x", [99.0, 100.0]).place(100.0) < 1
    assert accuracies("x", [97.0]).place(97.0) == pytest.approx(0.5)


def test_rates_lie_in_equal_ratios() -> None:
    """Ten times the rate is the same step anywhere, and ticks are at rates that are there."""
    axis = rates("rate", [1e-6, 1e-5, 1e-4])
    first, second, third = map(axis.place, (1e-6, 1e-5, 1e-4))
    assert second - first == pytest.approx(third - second)
    assert axis.ticks == (1e-6, 1e-5, 1e-4)
    assert axis.say(1e-6) == "1e-6"


def test_a_rate_of_any_size_has_a_place() -> None:
    """Also a stranger's that is the least there is, beside which others are infinitely larger."""
    axis = rates("Rate", [5e-324, 0.05])
    assert 0 < axis.low <= 5e-324
    assert 0.05 < axis.high < math.inf
    assert 0 <= axis.place(5e-324) < axis.place(0.05) <= 1


def test_all_shares_fit() -> None:
    """Neither 0 nor 100% lies on the edge."""
    axis = percent("y")
    assert 0 < axis.place(0) < axis.place(100) < 1


@pytest.mark.parametrize("count", [1, 3, 8])
def test_names_cover_nothing(count: int) -> None:
    """However near marks are, no name lies on a mark, on another name or outside."""
    frame = Box(0, 0, 400, 240)
    marks = [(200.0 + 3 * number, 20.0) for number in range(count)]
    placed = place([(*mark, f"defense {i}") for i, mark in enumerate(marks)], frame, marks)
    assert len(placed) >= min(count, 5)  # the others find no room
    squares = [Box(x - MARK, y - MARK, x + MARK, y + MARK) for x, y in marks]
    for name in placed:
        assert name.box.inside(frame)
        assert not any(name.box.meets(square) for square in squares)
        assert (name.leader is None) == (count == 1)
    for one, other in itertools.combinations(placed, 2):
        assert not one.box.meets(other.box)


def test_a_name_without_room_is_left_to_the_legend() -> None:
    """A frame too small for letters gets none."""
    assert place([(5.0, 5.0, "defense")], Box(0, 0, 10, 10), [(5.0, 5.0)]) == []


def test_long_names_keep_both_ends() -> None:
    """A name is cut in its middle to the longest that is drawn."""
    name = shortened("cleanclip (clean_up_epochs=20, clean_up_lr_scale=0.3)")
    assert len(name) == LONGEST
    assert name.startswith("cleanclip")
    assert name.endswith("scale=0.3)")


def test_looks_differ() -> None:
    """None and clip look alike everywhere; 30 other defenses all look different."""
    names = [f"defense {number}" for number in range(30)]
    looks = looks_of(["clip", *names, "none"])
    assert len(set(looks.values())) == 32
    few = looks_of(["none", "clip"])
    assert (few["none"], few["clip"]) == (looks["none"], looks["clip"])


def test_success_by_epoch_has_the_interval_of_seeds(make_result: Any) -> None:
    """As in the table: 0 and 16 of 16 are no 32 independent trials."""
    made = [
        make_result(seed=seed, history=[{"epoch": 1, "attack_success": share.to_json()}])
        for seed, share in enumerate([Proportion(0, 16), Proportion(16, 16)])
    ]
    assert "epoch 1: 50.0% [0.2, 99.8]" in to_html(made)
