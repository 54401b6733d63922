"""Shares pooled over seeds: what their interval is, and how often it holds the truth."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import pytest
from scipy import stats

from clipbench.errors import BadSetting
from clipbench.evaluation.clustered import clustered_interval, design_effect, unpaired_difference
from clipbench.evaluation.statistics import Proportion, wilson

Z95 = 1.959963984540054  # 97.5% quantile of the normal distribution, from a printed table
SEEDS, TRIALS = (3, 5, 10), (16, 200, 2000)
SHARES, CORRELATIONS = (0.02, 0.1, 0.5, 0.9), (0.0, 0.01, 0.1)
GRID = list(itertools.product(SEEDS, TRIALS, SHARES, CORRELATIONS))
TWO_SEEDS = list(itertools.product((2,), TRIALS, SHARES, CORRELATIONS))
WHOLE_SEEDS = list(itertools.product(SEEDS, TRIALS, SHARES, (0.5,)))  # succeed or fail as one
Interval = Callable[[tuple[int, ...], int], tuple[float, float]]
Cell = tuple[int, int, float, float]  # seeds, trials a seed, share, correlation within a seed


def of(*counts: int, n: int = 16) -> list[Proportion]:
    """Return shares of seeds with so many successes."""
    return [Proportion(k, n) for k in counts]


@cache
def interval(counts: tuple[int, ...], n: int) -> tuple[float, float]:
    """Return the interval of seeds with so many successes in n trials each."""
    return clustered_interval(of(*counts, n=n))


@cache
def plain_interval(counts: tuple[int, ...], n: int) -> tuple[float, float]:
    """Return Wilson's interval of the summed counts, for comparison."""
    return wilson(sum(counts), n * len(counts))


def drawn(cell: Cell, repetitions: int, seed: int) -> np.ndarray:
    """Return counts of ``(repetitions, seeds)`` from a beta-binomial distribution."""
    seeds, trials, share, correlation = cell
    rng = np.random.default_rng([seed, seeds, trials])
    size = (repetitions, seeds)
    weight = 1 / correlation - 1 if correlation else math.inf
    each = rng.beta(share * weight, (1 - share) * weight, size) if correlation else share
    return np.sort(rng.binomial(trials, each, size), axis=1)


def coverage(cell: Cell, repetitions: int, bounds: Interval = interval) -> float:
    """Return how often an interval holds the share from which the counts were drawn."""
    found = [bounds(tuple(map(int, row)), cell[1]) for row in drawn(cell, repetitions, seed=0)]
    return float(np.mean([low <= cell[2] <= high for low, high in found]))


def rare_and_clustered(cell: Cell) -> bool:
    """Tell whether successes gather in so few seeds that a handful of them shows none."""
    return cell[2] == 0.02 and cell[3] == 0.1 and cell[1] > 16


def test_the_design_effect_of_a_worked_example() -> None:
    """Of 2, 6 and 10 of 16: p is 18/48, deviations are -4, 0 and 4."""
    variance = 3 / 2 * (16 + 0 + 16) / 48**2
    assert design_effect(of(2, 6, 10)) == pytest.approx(variance / (0.375 * 0.625 / 47))


def test_the_design_effect_of_seeds_of_several_sizes() -> None:
    """A seed counts by its trials: equal shares of unequal seeds do not vary at all."""
    assert design_effect([Proportion(1, 4), Proportion(50, 200)]) == 0.0
    counts, sizes = np.array([3, 20, 5]), np.array([10, 40, 50])
    share = counts.sum() / sizes.sum()
    variance = 1.5 * ((counts - share * sizes) ** 2).sum() / sizes.sum() ** 2
    shares = [Proportion(k, n) for k, n in zip(counts, sizes, strict=True)]
    expected = variance / (share * (1 - share) / (sizes.sum() - 1))
    assert design_effect(shares) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shares", [of(0, 1, 0), of(16, 16, 16, 15), of(1, 0, n=7)])
def test_a_single_success_or_failure_says_nothing_of_clustering(shares: list[Proportion]) -> None:
    """Somewhere it had to be: the design effect is exactly 1."""
    assert design_effect(shares) == 1.0


@pytest.mark.parametrize("shares", [of(5), of(0, 0, 0), of(16, 16)])
def test_nothing_is_known_of_one_seed_or_where_all_trials_agree(shares: list[Proportion]) -> None:
    """One seed does not vary, and neither do seeds without a success or a failure."""
    assert design_effect(shares) is None
    k, n = sum(share.k for share in shares), sum(share.n for share in shares)
    assert clustered_interval(shares) == wilson(k, n)


@pytest.mark.parametrize("shares", [of(4, 4, 4), of(7, 8, 9), of(0, 1, 0)])
def test_seeds_that_vary_no_more_than_chance_get_wilsons_interval(shares: list[Proportion]) -> None:
    """With a design effect of at most 1 nothing speaks against independent trials."""
    effect = design_effect(shares)
    assert effect is not None
    assert effect <= 1
    assert clustered_interval(shares) == wilson(sum(share.k for share in shares), 48)


@pytest.mark.parametrize("counts", [(2, 6, 10), (0, 0, 16), (16, 9), (1, 2, 9, 16, 3)])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_bounds_solve_the_score_equation_of_the_effective_trials(
    counts: tuple[int, ...], confidence: float
) -> None:
    """At each bound the pooled share is as many standard errors away as Student's t allows."""
    shares = of(*counts)
    effect = design_effect(shares)
    assert effect is not None
    assert effect > 1
    quantile = stats.t.ppf(0.5 + confidence / 2, len(counts) - 1)
    share = sum(counts) / (16 * len(counts))
    for bound in clustered_interval(shares, confidence):
        error = math.sqrt(bound * (1 - bound) * effect / (16 * len(counts)))
        assert abs(share - bound) == pytest.approx(quantile * error, rel=1e-9)


def test_it_is_never_narrower_than_wilsons() -> None:
    """Whatever four seeds of five trials count, Wilson's interval of the sums is inside."""
    for counts in itertools.combinations_with_replacement(range(6), 4):
        low, high = clustered_interval(of(*counts, n=5))
        plain = wilson(sum(counts), 20)
        assert 0 <= low <= plain[0]
        assert plain[1] <= high <= 1


def test_no_seeds_and_no_confidence_are_refused() -> None:
    """There must be a share, and a confidence between 0 and 1."""
    with pytest.raises(BadSetting):
        clustered_interval([])
    with pytest.raises(BadSetting, match="Confidence"):
        clustered_interval(of(1, 9), 1.0)


def test_an_unpaired_difference_is_newcombes() -> None:
    """Newcombe 1998, table II, case (a): 56/70 less 48/80 is 0.2 [0.0524, 0.3339]."""
    found = unpaired_difference([Proportion(56, 70)], [Proportion(48, 80)])
    assert found == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_an_unpaired_difference_turns_round() -> None:
    """Exchanging the sides mirrors difference and interval; it stays in [-1, 1]."""
    one, other = of(16, 16, 16), of(0, 3, 0)
    difference, low, high = unpaired_difference(one, other)
    assert unpaired_difference(other, one) == pytest.approx((-difference, -high, -low))
    assert -1 <= low < difference < high <= 1


def test_an_unpaired_difference_widens_with_seeds_that_vary() -> None:
    """The same counts, spread over the seeds as chance does not, say less."""
    even = unpaired_difference(of(8, 8, 8), of(2, 2, 2))
    uneven = unpaired_difference(of(0, 8, 16), of(2, 2, 2))
    assert uneven[0] == even[0]
    assert uneven[1] < even[1] < even[2] < uneven[2]


def exact_coverage(cell: Cell) -> float:
    """Return the probability that the interval holds the share, from every possible outcome."""
    seeds, trials, share, correlation = cell
    weight = 1 / correlation - 1 if correlation else math.inf
    law = (
        stats.betabinom(trials, share * weight, (1 - share) * weight)
        if correlation
        else stats.binom(trials, share)
    )
    chance = law.pmf(np.arange(trials + 1))
    total = 0.0
    for counts in itertools.product(range(trials + 1), repeat=seeds):
        low, high = interval(tuple(sorted(counts)), trials)
        if low <= share <= high:
            total += float(np.prod(chance[list(counts)]))
    return total


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_coverage_of_three_seeds_of_16_trials_is_near_95_percent(
    share: float, correlation: float
) -> None:
    """Summed over all 17^3 outcomes: 92 to 98.5%, where Wilson's of the sums drops to 76%.

    A share of 2% with a correlation of 0.1 is held more often: many runs see no success at all.
    """
    covered = exact_coverage((3, 16, share, correlation))
    top = 0.996 if (share, correlation) == (0.02, 0.1) else 0.985
    assert 0.92 <= covered <= top


@pytest.mark.parametrize(
    "cell", [(3, 200, 0.5, 0.0), (3, 200, 0.1, 0.1), (5, 2000, 0.9, 0.01), (10, 16, 0.1, 0.1)]
)
def test_coverage_of_some_simulated_experiments(cell: Cell) -> None:
    """In 2,000 experiments each the interval holds the share in 92 to 98% of them."""
    assert 0.92 <= coverage(cell, 2000) <= 0.98


def test_the_simulation_agrees_with_the_sum_over_all_outcomes() -> None:
    """10,000 drawn experiments come within three standard errors of the exact coverage."""
    cell = (3, 16, 0.1, 0.1)
    exact = exact_coverage(cell)
    error = math.sqrt(exact * (1 - exact) / 10_000)
    assert coverage(cell, 10_000) == pytest.approx(exact, abs=3 * error)


def lines(measured: Mapping[Cell, float], plain: Mapping[Cell, float]) -> str:
    """Return coverages as a table to read, in percent."""
    rows = (
        f"{seeds:6d} {trials:7d} {share:7.2f} {correlation:12.2f}"
        f" {100 * covered:9.1f} {100 * plain[seeds, trials, share, correlation]:8.1f}"
        for (seeds, trials, share, correlation), covered in measured.items()
    )
    return "\n".join([" seeds  trials   share  correlation  coverage   wilson", *rows])


@pytest.mark.slow
def test_coverage_over_the_grid() -> None:
    """What docs/statistics.md says of coverage, from 10,000 experiments a cell; -s prints them."""
    cells = GRID + TWO_SEEDS + WHOLE_SEEDS
    measured = {cell: coverage(cell, 10_000) for cell in cells}
    plain = {cell: coverage(cell, 10_000, plain_interval) for cell in cells}
    print(f"\n{lines(measured, plain)}")
    inside = [cell for cell in GRID if 0.93 <= measured[cell] <= 0.97]
    print(f"{len(inside)} of {len(GRID)} in 93 to 97%")
    assert len(inside) >= 70
    independent = [cell for cell in GRID if cell[3] == 0]
    assert min(measured[cell] for cell in independent) >= 0.945
    usual = [measured[cell] for cell in GRID if not rare_and_clustered(cell)]
    assert min(usual) >= 0.915
    assert max(usual) <= 0.996
    assert min(measured[cell] for cell in GRID) >= 0.69
    even = [measured[cell] for cell in WHOLE_SEEDS if cell[2] == 0.5]
    assert min(even) >= 0.91
    assert max(even) <= 0.98
