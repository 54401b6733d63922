"""Two defenses trial by trial: intervals, tests, and how often the interval holds the truth."""

from __future__ import annotations

import itertools
import math
from functools import cache

import numpy as np
import pytest
from scipy import optimize, stats

from clipbench.compare.paired import (
    PairedCounts,
    compare,
    mcnemar,
    seeds_interval,
    sign_flip,
    tango_interval,
)
from clipbench.errors import BadSetting

Z95 = 1.959963984540054  # 97.5% quantile of the normal distribution, from a printed table


def pairs(only_first: int, only_second: int, n: int = 16) -> PairedCounts:
    """Return the counts of one seed where nothing succeeded on both sides."""
    return PairedCounts(0, only_first, only_second, n - only_first - only_second)


def test_outcomes_are_counted_in_pairs() -> None:
    """Each trial is one of four kinds; both sides' successes and the excess follow."""
    first = np.array([True, True, True, False, False, True])
    second = np.array([True, False, False, True, False, False])
    counts = PairedCounts.of(first, second)

    assert counts == PairedCounts(both=1, only_first=3, only_second=1, neither=1)
    assert (counts.n, counts.first, counts.second, counts.excess) == (6, 4, 2, 2)


def test_outcomes_of_other_probes_cannot_be_paired() -> None:
    """Sides with another number of trials, and sides without one, are refused."""
    with pytest.raises(BadSetting, match="3 and 4 trials"):
        PairedCounts.of(np.ones(3, bool), np.ones(4, bool))
    with pytest.raises(BadSetting, match="at least one"):
        PairedCounts.of(np.ones(0, bool), np.ones(0, bool))


def score(difference: float, only_first: int, only_second: int, n: int) -> float:
    """Return Tango's statistic, with the nuisance found by maximizing the likelihood."""

    def against(chance: float) -> float:
        cells = (chance + difference, chance, 1 - 2 * chance - difference)
        counts = (only_first, only_second, n - only_first - only_second)
        return -sum(k * math.log(p) for k, p in zip(counts, cells, strict=True) if k)

    low, high = max(0.0, -difference), (1 - difference) / 2
    edge = 1e-12 * (high - low)
    best = optimize.minimize_scalar(
        against, bounds=(low + edge, high - edge), method="bounded", options={"xatol": 1e-13}
    ).x
    variance = n * (2 * best + difference * (1 - difference))
    return (only_first - only_second - n * difference) / math.sqrt(variance)


@pytest.mark.parametrize(
    ("only_first", "only_second", "n"),
    [(1, 7, 21), (12, 2, 50), (3, 3, 16), (40, 25, 500), (9, 6, 16), (1, 2, 2000)],
)
def test_tangos_bounds_solve_their_equation(only_first: int, only_second: int, n: int) -> None:
    """At either bound the score, by a maximization of the likelihood, is the normal quantile."""
    low, high = tango_interval(only_first, only_second, n)

    assert score(low, only_first, only_second, n) == pytest.approx(Z95, abs=1e-4)
    assert score(high, only_first, only_second, n) == pytest.approx(-Z95, abs=1e-4)


def test_tangos_interval_of_a_published_example() -> None:
    """1 and 7 discordant pairs of 21 (Fagerland et al. 2014): -0.517 to -0.026."""
    assert tango_interval(1, 7, 21) == pytest.approx((-0.517, -0.026), abs=5e-4)
    assert mcnemar(1, 7) == pytest.approx(0.0703, abs=5e-5)


@pytest.mark.parametrize("n", [1, 16, 2000])
def test_tangos_interval_without_discordant_trials(n: int) -> None:
    """Sides that agree in all trials differ by no more than Wilson's bound of 0 of n."""
    bound = Z95**2 / (n + Z95**2)
    assert tango_interval(0, 0, n) == pytest.approx((-bound, bound), rel=1e-12)


def test_tangos_interval_is_sound_for_all_small_counts() -> None:
    """It holds the difference, stays in [-1, 1], and turns round with the sides."""
    for n in range(1, 13):
        for b, c in itertools.product(range(n + 1), repeat=2):
            if b + c > n:
                continue
            low, high = tango_interval(b, c, n)
            assert -1 <= low <= (b - c) / n <= high <= 1
            assert tango_interval(c, b, n) == pytest.approx((-high, -low), abs=1e-12)


@pytest.mark.parametrize("counts", [(-1, 2, 5), (3, 3, 5), (0, 0, 0)])
def test_tangos_interval_refuses_what_are_no_counts(counts: tuple[int, int, int]) -> None:
    """Negative counts, more discordant trials than trials, and no trials are errors."""
    with pytest.raises(BadSetting):
        tango_interval(*counts)
    with pytest.raises(BadSetting, match="Confidence"):
        tango_interval(1, 2, 5, 1.0)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (0, 5), (0, 6), (9, 3), (4, 4), (30, 51)])
def test_mcnemar_is_the_sum_of_binomial_terms(b: int, c: int) -> None:
    """Twice the smaller tail of a fair coin, at most 1; scipy's binomial test says the same."""
    tail = sum(math.comb(b + c, k) for k in range(min(b, c) + 1)) / 2 ** (b + c)
    assert mcnemar(b, c) == pytest.approx(min(1.0, 2 * tail), rel=1e-12)
    assert mcnemar(b, c) == mcnemar(c, b)
    if b + c:
        assert mcnemar(b, c) == pytest.approx(stats.binomtest(c, b + c).pvalue, rel=1e-12)


@pytest.mark.parametrize(
    "excesses", [[5], [3, -1], [2, 2, 2], [0, 0, 0], [7, -3, 4, 4, 0, 9], [1, -1, 2, -2, 5, 5, 1]]
)
def test_sign_flips_agree_with_enumeration(excesses: list[int]) -> None:
    """The p is the share of all 2^S ways to turn seeds round that are as extreme."""
    signs = itertools.product((-1, 1), repeat=len(excesses))
    totals = [abs(np.dot(way, excesses)) for way in signs]
    assert sign_flip(excesses) == np.mean(np.array(totals) >= abs(sum(excesses)))


def test_sign_flips_agree_with_scipy_and_take_many_seeds() -> None:
    """The permutation test of scipy gives the same p, and 60 seeds are no more work."""
    excesses = [4, 6, -1, 3, 8, 2, 0, 5]
    found = stats.permutation_test(
        (np.array(excesses),), np.sum, permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip(excesses) == pytest.approx(found.pvalue)
    assert sign_flip([3] * 60) == 2.0**-59
    assert sign_flip([3] * 1025) == 2.0**-1024  # of more exchanges than a float holds


def test_the_interval_over_seeds_is_the_t_interval_of_their_differences() -> None:
    """With as many trials a seed it is scipy's interval of the mean."""
    seeds = [pairs(8, 1), pairs(3, 2), pairs(10, 0), pairs(5, 1)]
    shares = [seed.excess / 16 for seed in seeds]
    mean, error = np.mean(shares), stats.sem(shares)
    expected = stats.t.interval(0.9, 3, mean, error)
    assert seeds_interval(seeds, 0.9) == pytest.approx(expected, rel=1e-12)


def test_one_seed_has_no_interval_over_seeds() -> None:
    """Of one seed the interval to quote is Tango's, and there is nothing to permute."""
    found = compare([PairedCounts(5, 9, 1, 1)])

    assert (found.counts.first, found.counts.second, found.seeds) == (14, 6, 1)
    assert found.difference == 0.5
    assert found.by_seeds is None
    assert found.sign_flip is None
    assert (found.low, found.high) == found.by_trials == tango_interval(9, 1, 16)
    assert found.mcnemar == mcnemar(9, 1)


def test_the_wider_interval_is_quoted() -> None:
    """Seeds that vary widen it; seeds that agree leave Tango's, which knows chance."""
    varying = compare([pairs(16, 0), pairs(0, 0), pairs(7, 1)])
    agreeing = compare([pairs(7, 1)] * 3)

    assert (varying.low, varying.high) == varying.by_seeds != varying.by_trials
    assert (agreeing.low, agreeing.high) == agreeing.by_trials == tango_interval(21, 3, 48)
    assert agreeing.by_seeds == pytest.approx((6 / 16, 6 / 16))
    assert agreeing.sign_flip == 0.25
    assert agreeing.to_json() | {"n": 48, "first": 21, "second": 3} == agreeing.to_json()


def test_a_comparison_needs_a_seed() -> None:
    """Nothing to compare is an error."""
    with pytest.raises(BadSetting, match="at least one seed"):
        compare([])


@cache
def bounds_of(seeds: tuple[PairedCounts, ...]) -> tuple[float, float]:
    """Return the quoted interval; the order of seeds does not matter."""
    whole = compare(seeds)
    return whole.low, whole.high


def drawn_shares(
    rng: np.random.Generator, share: float, correlation: float, size: tuple[int, int]
) -> np.ndarray:
    """Return the shares of models around that of their defense."""
    if not correlation or share in (0, 1):
        return np.full(size, share)
    weight = 1 / correlation - 1
    return rng.beta(share * weight, (1 - share) * weight, size)


def coverage(
    first: float, second: float, n: int, *, seeds: int, correlation: float, times: int
) -> float:
    """Return how often the interval holds the difference of two shares.

    The share of each model is drawn around that of its defense, from a beta distribution with the
    given correlation of two trials of one model; given the shares, trials are independent.
    """
    rng = np.random.default_rng([n, seeds, times])
    a, b = (drawn_shares(rng, share, correlation, (times, seeds)) for share in (first, second))
    cells = np.stack([a * b, a * (1 - b), (1 - a) * b, (1 - a) * (1 - b)], axis=-1)
    drawn = rng.multinomial(n, cells)
    held = 0
    for experiment in drawn:
        counted = sorted(tuple(map(int, row)) for row in experiment)
        low, high = bounds_of(tuple(PairedCounts(*row) for row in counted))
        held += low <= first - second <= high
    return held / times


SETTINGS = list(itertools.product(((0.0, 0.05), (0.1, 0.3), (0.5, 0.5), (0.95, 0.05)), (16, 200)))


@pytest.mark.parametrize(("shares", "n"), SETTINGS)
def test_tangos_coverage_of_independent_trials(shares: tuple[float, float], n: int) -> None:
    """Summed over all outcomes of one seed, 92.5 to 98.5% of intervals hold the difference.

    With 16 trials of shares of 0 and 5% there are too few successes for any interval to err.
    """
    first, second = shares
    b, c = (table.ravel() for table in np.meshgrid(range(n + 1), range(n + 1)))
    possible = b + c <= n
    b, c = b[possible], c[possible]
    cells = [first * (1 - second), second * (1 - first)]
    chance = stats.multinomial.pmf(np.stack([b, c, n - b - c], -1), n, [*cells, 1 - sum(cells)])
    likely = chance > 1e-9
    found = [tango_interval(int(x), int(y), n) for x, y in zip(b[likely], c[likely], strict=True)]
    held = [low <= first - second <= high for low, high in found]
    covered = chance[likely][held].sum()
    assert 0.925 <= covered <= (1.0 if n * max(shares) < 1 else 0.985)


def test_the_quoted_interval_holds_where_seeds_vary() -> None:
    """With three seeds that vary, the quoted interval holds the difference; Tango's would not."""
    usual = {"n": 200, "seeds": 3, "correlation": 0.1}
    assert coverage(0.1, 0.3, **usual, times=600) >= 0.92
    assert coverage(0.1, 0.3, n=600, seeds=1, correlation=0.1, times=600) <= 0.6


@pytest.mark.slow
def test_coverage_over_the_grid() -> None:
    """What docs/statistics.md says of paired intervals; -s prints the table."""
    found: dict[tuple[float, ...], float] = {}
    print("\nseeds     n  first  second  correlation  coverage")
    for (first, second), n in SETTINGS:
        for seeds, correlation in itertools.product((1, 3, 5, 10), (0.0, 0.01, 0.1)):
            if seeds == 1 and correlation:
                continue
            covered = coverage(first, second, n, seeds=seeds, correlation=correlation, times=2000)
            found[seeds, n, first, second, correlation] = covered
            print(
                f"{seeds:5d} {n:5d} {first:6.2f} {second:7.2f} {correlation:12.2f}"
                f" {100 * covered:9.1f}"
            )
    rare = {setting for setting in found if {0.05, 0.95} & set(setting) and setting[4] == 0.1}
    assert min(found[setting] for setting in found.keys() - rare) >= 0.9
    assert min(found[setting] for setting in rare) >= 0.8
