"""How many trials a comparison needs, held against enumeration and simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from clipbench.compare.paired import mcnemar
from clipbench.errors import BadSetting
from clipbench.evaluation.power import Design, power, to_json, trials_needed, zero_bound

DESIGNS = [
    Design(0.0, 0.05),
    Design(0.1, 0.3),
    Design(0.1, 0.3, correlation=0.4),
    Design(0.9, 0.5, level=0.01),
]


def test_cells_have_the_shares_and_the_correlation() -> None:
    """Of 30% and 40% with phi 0.25 the margins and the correlation come out again."""
    both, one, other, neither = Design(0.3, 0.4, correlation=0.25).cells
    assert both + one == pytest.approx(0.3)
    assert both + other == pytest.approx(0.4)
    assert both + one + other + neither == pytest.approx(1)
    phi = (both * neither - one * other) / math.sqrt(0.3 * 0.7 * 0.4 * 0.6)
    assert phi == pytest.approx(0.25)


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("trials", [1, 5, 16, 30])
def test_power_is_the_chance_of_all_outcomes_that_are_rejected(design: Design, trials: int) -> None:
    """Summed over every pair of discordant counts, with the p of the test itself."""
    _, one, other, _ = design.cells
    total = 0.0
    for b, c in itertools.product(range(trials + 1), repeat=2):
        if b + c <= trials and mcnemar(b, c) <= design.level:
            cells = [one, other, 1 - one - other]
            total += stats.multinomial.pmf([b, c, trials - b - c], trials, cells)
    assert power(design, trials) == pytest.approx(total, abs=1e-10)


@pytest.mark.parametrize("design", DESIGNS)
def test_power_agrees_with_simulation(design: Design) -> None:
    """Of 20,000 drawn experiments as many reject as the power says, to three standard errors."""
    trials = 60
    drawn = np.random.default_rng(7).multinomial(trials, design.cells, 20_000)
    found, number = np.unique(drawn[:, 1:3], axis=0, return_counts=True)
    rejected = np.array([mcnemar(int(b), int(c)) <= design.level for b, c in found])
    expected = power(design, trials)
    error = math.sqrt(expected * (1 - expected) / 20_000)
    assert number[rejected].sum() / 20_000 == pytest.approx(expected, abs=3 * error + 1e-12)


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("step", [1, 16])
def test_the_fewest_trials_are_those_a_scan_finds(design: Design, step: int) -> None:
    """From there on every number of trials has the power, and the one before has not."""
    needed = trials_needed(design, 0.8, step)
    scanned = [power(design, n) >= 0.8 for n in range(step, 400, step)]
    last_without = max((i for i, enough in enumerate(scanned) if not enough), default=-1)
    assert needed == step * (last_without + 2)


def test_none_against_a_few_needs_six_discordant_trials() -> None:
    """0 of n against 5%: p is below 0.05 from six trials of one side alone, so power is a tail."""
    assert mcnemar(0, 5) > 0.05 >= mcnemar(0, 6)
    assert power(Design(0.0, 0.05), 157) == pytest.approx(stats.binom.sf(5, 157, 0.05))
    assert trials_needed(Design(0.0, 0.05)) == 157


def test_outcomes_that_go_together_need_fewer_trials() -> None:
    """What both defenses let through is not held against either."""
    assert trials_needed(Design(0.1, 0.3, correlation=0.4)) < trials_needed(Design(0.1, 0.3))


def test_what_nothing_leaves() -> None:
    """0 of 16 leaves 19.4%, 0 of 160 2.3%; higher confidence leaves more."""
    assert zero_bound(16) == pytest.approx(0.1936, abs=5e-5)
    assert zero_bound(160) == pytest.approx(0.0234, abs=5e-5)
    assert zero_bound(160, 0.01) > zero_bound(160)


def test_the_plan_says_every_number() -> None:
    """Trials that are no whole number of seeds count the last one."""
    plan = to_json(Design(0.0, 0.05), 50, 16)
    assert (plan["seeds"], plan["targets"], plan["trials"]) == (4, 16, 50)
    assert plan["power"] == power(Design(0.0, 0.05), 50)
    assert plan["zero_upper_bound"] == zero_bound(50)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((0.1, 0.1), "equal shares"),
        ((-0.1, 0.1), "share must be in \\[0, 1\\]. Got -0.1"),
        ((0.1, 1.1), "against must be in"),
        ((0.1, 0.9, 0.9), "correlation"),
        ((0.0, 0.05, 0.9), "leave it out"),
        ((0.1, 0.9, 0.0, 0.0), "level must be in"),
    ],
)
def test_designs_without_meaning_are_refused(settings: tuple[float, ...], message: str) -> None:
    """Shares out of range or equal, and correlations that two such shares cannot have."""
    with pytest.raises(BadSetting, match=message):
        Design(*settings)


def test_numbers_out_of_range_are_refused() -> None:
    """No trials, a power of 1, no targets, and shares too near to tell apart in a million."""
    design = Design(0.0, 0.05)
    for call in (
        lambda: power(design, 0),
        lambda: trials_needed(design, 1.0),
        lambda: trials_needed(design, 0.8, 0),
        lambda: trials_needed(Design(0.5, 0.5001)),
    ):
        with pytest.raises(BadSetting):
            call()
