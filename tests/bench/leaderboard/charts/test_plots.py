from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from as_json import of_json
from PIL import Image

from clipbench.evaluation.statistics import Proportion, wilson
from clipbench.leaderboard.charts.plots import (
    plot_history,
    plot_success_vs_accuracy,
    plot_success_vs_rate,
)
from clipbench.leaderboard.curves import panels, rate_panels
from clipbench.leaderboard.record import records_of
from clipbench.leaderboard.tables import leaderboard

plot_history = of_json(plot_history)
panels = of_json(panels)
leaderboard = of_json(leaderboard)

Result = dict[str, Any]
MakeResult = Callable[..., Result]


def epochs(successes: list[int | None], kept: list[int] | None = None) -> list[dict[str, Any]]:
    """Return a history with attack success of 16 and, from epoch 1, poisons in a safe set."""
    history: list[dict[str, Any]] = []
    for epoch, count in enumerate(successes):
        entry: dict[str, Any] = {"epoch": epoch}
        if count is not None:
            entry["attack_success"] = Proportion(count, 16).to_json()
        if kept is not None and epoch >= 1:
            entry |= {"safe_set_size": 10000 + 1000 * epoch, "poisons_in_safe_set": kept[epoch]}
            entry |= {"pairs": 20000, "poisons_in_epoch": 160}
        history.append(entry)
    return history


@pytest.fixture
def told(make_result: MakeResult) -> list[Result]:
    """Return runs with a history under two attacks, one of them over two seeds."""
    rising = [round(16 / (1 + math.exp(4 - epoch))) for epoch in range(9)]
    made = [
        make_result(seed=0, history=epochs(rising)),
        make_result(seed=1, history=epochs([*rising[1:], 16])),
        make_result(defense="clip", history=epochs(rising)),
        make_result(defense="safeclip", history=epochs([0] * 12, [0, *range(11)])),
        make_result(attack="badnets", attack_parameters={}, rate=1e-6, history=epochs([0, 8, 16])),
    ]
    return [*made, make_result(attack="none", history=epochs([0, 0])), make_result(seed=9)]


def test_curves_pool_seeds_and_count_poisons(told: list[Result]) -> None:
    """A curve is pooled where all its seeds have the epoch; shares are of all poisons and pairs."""
    told[1]["history"][3].pop("attack_success")

    badnets, targeted = panels(told)

    assert (badnets.attack, badnets.rate, badnets.count) == ("badnets", 1e-6, 160)
    assert [curve.defense for curve in targeted.curves] == ["none", "clip", "safeclip"]
    none, _, safeclip = targeted.curves
    assert none.seeds == 2
    assert sorted(none.success) == [0, 1, 2, 4, 5, 6, 7, 8]
    assert none.success[8] == Proportion(16 + 16, 32)
    assert none.bounds[8] == wilson(32, 32)
    assert none.poisons_kept == {}
    assert safeclip.poisons_kept[11] == 10 / 160
    assert safeclip.safe_share[4] == 14000 / 20000
    assert sorted(safeclip.safe_share) == list(range(1, 12))


def test_of_an_epoch_that_is_part_of_a_pass_shares_are_of_its_own_pairs(
    make_result: MakeResult,
) -> None:
    """Of 2,000 of 20,000 pairs 16 are poison: who keeps all 16 keeps all, not a tenth."""
    entry = {"epoch": 1, "pairs": 2000, "safe_set_size": 1700}
    entry |= {"poisons_in_epoch": 16, "poisons_in_safe_set": 16}
    (panel,) = panels([make_result(defense="safeclip", history=[entry])])
    (curve,) = panel.curves
    assert (curve.poisons_kept[1], curve.safe_share[1]) == (1.0, 0.85)


def test_history_is_drawn_and_stable(tmp_path: Path, told: list[Result]) -> None:
    """Each format is written; the same runs in any order give the same bytes, without a date."""
    formats = ("png", "svg", "pdf")
    paths = plot_history(told, tmp_path / "a.b", formats)
    again = plot_history(told[::-1], tmp_path / "again", formats)

    assert [path.name for path in paths] == ["a.b.png", "a.b.svg", "a.b.pdf"]
    assert sorted(tmp_path.iterdir()) == sorted([*paths, *again])
    for first, second in zip(paths, again, strict=True):
        assert first.read_bytes() == second.read_bytes()
    assert not re.search(rb"Date|Matplotlib v", paths[1].read_bytes())
    with Image.open(paths[0]) as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
        assert image.size[0] > 1000
        assert not image.info.get("Software")
    for color in ((0x00, 0x72, 0xB2), (0xB3, 0x77, 0x00), (0x1B, 0x1B, 0x1B)):
        assert (np.abs(pixels.astype(int) - color).sum(1) == 0).sum() > 200


def test_only_runs_with_a_history_are_drawn(tmp_path: Path, make_result: MakeResult) -> None:
    """Without an attacked run that tells its epochs there is no file."""
    clean = make_result(attack="none", history=epochs([0, 1]))

    assert plot_history([make_result(), clean], tmp_path / "history") == []
    assert list(tmp_path.iterdir()) == []


def test_a_single_epoch_and_no_safe_set_can_be_drawn(
    tmp_path: Path, make_result: MakeResult
) -> None:
    """One measured epoch, and no defense with a safe set, still give a plot."""
    paths = plot_history([make_result(history=epochs([3]))], tmp_path / "history", ("svg",))

    assert "<svg" in paths[0].read_text()


def test_an_empty_panel_says_what_fills_it(tmp_path: Path, make_result: MakeResult) -> None:
    """A safe set by epoch without success by epoch: the plot says how to get the latter."""
    unmeasured = make_result(history=epochs([None, None], [0, 1]))
    measured = make_result(seed=1, history=epochs([0, 1], [0, 1]))
    for results, told in (([unmeasured], True), ([measured], False)):
        paths = plot_history(results, tmp_path / "history", ("svg",))
        assert ("train with save_frequency=1" in paths[0].read_text()) is told


def test_success_against_accuracy(tmp_path: Path, bench: list[Result]) -> None:
    """One panel an attack is drawn from the leaderboard, the same bytes each time."""
    frame = leaderboard(bench)
    first, second = (
        plot_success_vs_accuracy(frame, tmp_path / name, ("png",))[0] for name in ("a", "b")
    )

    assert first.read_bytes() == second.read_bytes()
    with Image.open(first) as image:
        colors = np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)
    assert (colors == (0x00, 0x72, 0xB2)).all(1).any()


def test_rows_without_both_numbers_are_not_drawn(tmp_path: Path, make_result: MakeResult) -> None:
    """A table of clean rows or of rows without accuracy gives no plot."""
    frame = leaderboard([make_result(attack="none"), make_result(top1=None)])

    assert plot_success_vs_accuracy(frame, tmp_path / "trade") == []


def test_success_against_rate(tmp_path: Path, make_result: MakeResult) -> None:
    """An attack at several rates is a panel; a defense that was run at one of them is no curve."""
    made = [make_result(seed=seed, rate=rate) for seed in (0, 1) for rate in (1e-2, 1e-3, 1e-4)]
    made += [make_result(defense="safeclip", rate=rate) for rate in (1e-2, 1e-3)]
    made += [make_result(defense="clip", rate=1e-2), make_result(attack="badnets", rate=1e-2)]
    frame = leaderboard(made)

    (panel,) = rate_panels(records_of(frame))
    rates = {name: [row.rate for row in rows] for name, rows in panel.by_defense.items()}
    assert rates == {"none": [1e-4, 1e-3, 1e-2], "safeclip": [1e-3, 1e-2]}
    first, second = (
        plot_success_vs_rate(frame, tmp_path / name, ("svg",))[0] for name in ("a", "b")
    )
    assert first.read_bytes() == second.read_bytes()
    alone = leaderboard([make_result(), make_result(attack="badnets", rate=1e-2)])
    assert plot_success_vs_rate(alone, tmp_path / "alone") == []


def test_hostile_names_are_drawn_literally(tmp_path: Path, make_result: MakeResult) -> None:
    """Formulas, leading underscores, foreign letters and long names are drawn without a warning."""
    names = ["$\\frac{1}{$", "_hidden", "数据\n", "x" * 300, "a$b$c", "none$"]
    made = [make_result(defense=name, attack="$\\x$_名", history=epochs([0, 4])) for name in names]

    assert plot_history(made, tmp_path / "history")
    assert plot_success_vs_accuracy(leaderboard(made), tmp_path / "trade")


def test_plots_leave_global_state_alone(tmp_path: Path, told: list[Result]) -> None:
    """A plot changes no setting of matplotlib and obeys none of the user's."""
    before = plot_history(told, tmp_path / "before")[0].read_bytes()
    with mpl.rc_context({"lines.linewidth": 9.0, "axes.facecolor": "red"}):
        # Not the backend: it is looked up, and so set, by whoever asks for it first.
        settings = {name: mpl.rcParams[name] for name in mpl.rcParams if name != "backend"}
        after = plot_history(told, tmp_path / "after")[0].read_bytes()
        assert {name: mpl.rcParams[name] for name in settings} == settings

    assert before == after
