from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from clipbench.errors import BadSetting, CorruptData
from clipbench.evaluation.statistics import Proportion, mean_and_spread, pool, wilson

Z95 = 1.959963984540054  # 97.5% quantile of the normal distribution, from a printed table


def score_bound(k: int, n: int, z: float, *, upper: bool) -> float:
    """Find by bisection the share at which the score test just rejects k of n."""
    share = k / n
    inside, outside = share, 1.0 if upper else 0.0

    def rejected(p: float) -> bool:
        return abs(share - p) > z * math.sqrt(p * (1 - p) / n)

    if not rejected(outside):
        return outside
    for _ in range(200):
        middle = (inside + outside) / 2
        if rejected(middle):
            outside = middle
        else:
            inside = middle
    return inside


@pytest.mark.parametrize(
    ("k", "n"), [(1, 2), (15, 16), (3, 16), (1, 1000), (997, 1000), (4321, 10000), (7, 7000000)]
)
def test_wilson_solves_the_score_equation(k: int, n: int) -> None:
    """The bounds are the shares where a two-sided score test stops rejecting k of n."""
    low, high = wilson(k, n)

    assert low == pytest.approx(score_bound(k, n, Z95, upper=False), abs=1e-12)
    assert high == pytest.approx(score_bound(k, n, Z95, upper=True), abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 16, 1000, 10**7])
def test_wilson_at_the_ends(n: int) -> None:
    """0 of n gives exactly 0 and z2 / (n + z2), n of n the mirror image, in closed form."""
    bound = Z95**2 / (n + Z95**2)

    assert wilson(0, n) == (0.0, pytest.approx(bound, rel=1e-12))
    assert wilson(n, n) == (pytest.approx(1 - bound, rel=1e-12), 1.0)


def test_wilson_known_values() -> None:
    """One success of one says 21 to 100 percent, 0 of 16 at most 19.4 percent."""
    assert wilson(1, 1) == (pytest.approx(0.2065, abs=5e-5), 1.0)
    assert wilson(0, 16)[1] == pytest.approx(0.1936, abs=5e-5)


def test_wilson_narrows_with_less_confidence() -> None:
    """At 68.27% the interval is that of z = 1."""
    low, high = wilson(3, 10, confidence=0.6826894921370859)

    assert low == pytest.approx(score_bound(3, 10, 1.0, upper=False), abs=1e-9)
    assert high == pytest.approx(score_bound(3, 10, 1.0, upper=True), abs=1e-9)


def test_wilson_always_holds_the_share() -> None:
    """For every k of small n the share lies in its interval and the interval in [0, 1]."""
    for n in range(1, 60):
        for k in range(n + 1):
            low, high = wilson(k, n)
            assert 0 <= low <= k / n <= high <= 1


@pytest.mark.parametrize(
    ("k", "n", "confidence"),
    [(0, 0, 0.95), (-1, 4, 0.95), (5, 4, 0.95), (1, 2, 1.0), (1, 2, 0.0), (1, -2, 0.9)],
)
def test_wilson_refuses_what_is_no_share(k: int, n: int, confidence: float) -> None:
    """No trials, more successes than trials and a confidence outside (0, 1) are errors."""
    with pytest.raises(BadSetting):
        wilson(k, n, confidence)


def test_proportion_says_all_five_numbers() -> None:
    """A share writes value, k, n and its bounds, and is read back equal."""
    share = Proportion(15, 16)
    record = share.to_json()

    assert list(record) == ["value", "k", "n", "low", "high"]
    assert (record["value"], record["k"], record["n"]) == (0.9375, 15, 16)
    assert (record["low"], record["high"]) == wilson(15, 16) == (share.low, share.high)
    assert Proportion.from_json(record) == share


def test_proportion_takes_counts_of_numpy() -> None:
    """Counts of numpy become plain whole numbers, and fractions are refused."""
    share = Proportion(np.int64(3), np.int32(4))  # type: ignore[arg-type]

    assert type(share.k) is int
    assert type(share.to_json()["n"]) is int
    with pytest.raises(TypeError):
        Proportion(0.5, 4)  # type: ignore[arg-type]
    with pytest.raises(BadSetting):
        Proportion(5, 4)


@pytest.mark.parametrize(
    "damage",
    [
        {"k": 17},
        {"k": 15.0},
        {"k": True},
        {"n": None},
        {"n": 0, "k": 0},
        {"value": 0.94},
        {"value": float("nan")},
        {"low": 0.7},
        {"high": "0.98"},
        {"high": 10**400},
        {"k": 10**400, "n": 10**400},
    ],
)
def test_from_json_refuses_numbers_that_do_not_agree(damage: dict[str, object]) -> None:
    """A share whose counts, value or bounds contradict each other is damaged."""
    record = Proportion(15, 16).to_json() | damage

    with pytest.raises(CorruptData):
        Proportion.from_json(record)


def test_from_json_needs_every_number() -> None:
    """A share without one of its numbers is damaged."""
    for name in ("value", "k", "n", "low", "high"):
        record = Proportion(1, 2).to_json()
        del record[name]
        with pytest.raises(CorruptData, match=name):
            Proportion.from_json(record)


def test_pool_sums_counts() -> None:
    """Pooling weighs trials, not seeds: 1/1 and 0/99 is 1/100."""
    assert pool([Proportion(1, 1), Proportion(0, 99)]) == Proportion(1, 100)
    with pytest.raises(BadSetting):
        pool([])


def test_mean_and_spread() -> None:
    """The spread is the sample standard deviation, and a single value has none."""
    values = [0.1, 0.4, 0.7, 0.75]
    mean, spread = mean_and_spread(values)

    assert mean == pytest.approx(np.mean(values), rel=1e-14)
    assert spread == pytest.approx(np.std(values, ddof=1), rel=1e-14)
    assert mean_and_spread([0.3]) == (0.3, None)
    assert mean_and_spread([0.3, 0.3])[1] == 0.0


def test_mean_and_spread_does_not_depend_on_order() -> None:
    """Any order of the values gives the same bits."""
    values = [0.1, 1e8, 0.3, -1e8, 0.7]

    assert mean_and_spread(values) == mean_and_spread(values[::-1])


@pytest.mark.parametrize("least", [1e150, 1e200, sys.float_info.max / 4])
def test_a_mean_is_of_values_as_large_as_a_float_gets(least: float) -> None:
    """Neither their sum nor a square need fit; a spread that does not is the largest float."""
    mean, spread = mean_and_spread([least, 2 * least, 3 * least])
    assert mean == pytest.approx(2 * least, rel=1e-15)
    assert spread == pytest.approx(least, rel=1e-15)
    most = sys.float_info.max
    assert mean_and_spread([most, most]) == (most, 0.0)
    assert mean_and_spread([most, -most]) == (0.0, most)


@pytest.mark.parametrize("values", [[], [0.5, math.nan], [math.inf]])
def test_mean_and_spread_refuses_missing_values(values: list[float]) -> None:
    """Nothing, NaN and infinity have no mean."""
    with pytest.raises(BadSetting):
        mean_and_spread(values)
