"""Alarms at the stated rate, however many questions are asked and however they depend."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.stats import binom, hypergeom, ks_2samp

from clipbench.audit.monitor.differences import (
    Among,
    Concentration,
    Count,
    Difference,
    Distribution,
    GroupShift,
    MeanFeatures,
    Repeated,
    SeenBefore,
    fourier_features,
)
from clipbench.audit.monitor.permutation import LEAST, compare, divisions


def drawn(rng: np.random.Generator, count: int = 90) -> dict[str, Difference]:
    """Return differences of pairs that are all alike, most of which depend on each other."""
    values = rng.standard_normal((count, 4)).astype(np.float32)
    groups = csr_array(np.eye(5)[rng.integers(5, size=count)])
    return {
        "values": Distribution(values[:, 0].astype(float)),
        "low": Count(values[:, 0] < -1),
        "features": MeanFeatures(fourier_features(values, rng, 16)),
        "traits": Concentration(groups),
        "groups": GroupShift(values[:, 0].astype(float), groups),
        "copies": Repeated(rng.integers(60, size=count)),
    }


def test_pairs_that_are_alike_give_alarms_at_the_stated_rate() -> None:
    """Of 300 simulations no more alarm than 5% allow, and not so few that nothing could be seen."""
    rng, new = np.random.default_rng(0), np.arange(90) >= 50
    alarms = sum(
        min(one.p_family for one in compare(drawn(rng), new, 99, seed).values()) <= 0.05
        for seed in range(300)
    )
    assert binom.ppf(0.001, 300, 0.05) <= alarms <= binom.ppf(0.999, 300, 0.05)


def test_a_count_is_as_rare_as_the_exact_distribution_says() -> None:
    """Fisher's exact test, one-sided, is what random divisions come to."""
    new, has = np.arange(100) >= 60, np.isin(np.arange(100), [1, 2, 70, 71, 72, 73, 74, 75])
    found = compare({"count": Count(has)}, new, 4_999, 0)["count"]
    assert found.value == 6
    assert found.p == pytest.approx(hypergeom.sf(5, 100, 8, 40), abs=0.01)
    assert found.p_family == found.p


def test_a_distance_of_distributions_is_that_of_kolmogorov_and_smirnov() -> None:
    """With ties, too, and scaled by the numbers of pairs, as its asymptotic distribution is."""
    rng = np.random.default_rng(1)
    values, new = rng.integers(12, size=80).astype(float), np.arange(80) >= 30
    expected = ks_2samp(values[new], values[~new]).statistic * np.sqrt(50 * 30 / 80)
    assert Distribution(values).of(new[None])[0] == pytest.approx(expected, abs=1e-6)


def test_a_difference_is_the_rarer_the_larger() -> None:
    """A shift of all values is found, and others are told apart from it."""
    rng, new = np.random.default_rng(2), np.arange(200) >= 100
    values = rng.standard_normal(200)
    found = compare(
        {"shifted": Distribution(values + new), "not": Distribution(rng.standard_normal(200))},
        new,
        999,
        0,
    )
    assert found["shifted"].p == 1 / 1000
    assert found["shifted"].p_family <= 0.002
    assert found["not"].p_family > 0.05


def test_copies_are_counted_where_they_are_new() -> None:
    """Three copies in a delivery, two of an earlier pair, one of a pair that is known only."""
    group = np.array([0, 1, 2, 3, 3, 3, 0, 0, 4])
    new = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1], bool)
    known = np.array([0, 0, 0, 0, 0, 0, 0, 0, 1], bool)
    assert Repeated(group).of(new[None]).tolist() == [5]
    assert SeenBefore(group, known).of(new[None]).tolist() == [3]


def test_a_group_that_fits_worse_than_before_is_found_among_groups() -> None:
    """One that always fitted badly is none."""
    rng = np.random.default_rng(3)
    group = rng.integers(4, size=400)
    new = np.arange(400) >= 200
    fit = rng.standard_normal(400) - 3 * (group == 0) - 3 * ((group == 2) & new)
    shifts = GroupShift(fit, csr_array(np.eye(4)[group])).shifts(new[None])[0]
    assert shifts.argmax() == 2
    assert shifts[2] > 5 > shifts[0]


def test_more_questions_and_a_lower_rate_need_more_divisions() -> None:
    """So that the rarest answer to each question can still be an alarm."""
    assert divisions(2, 0.05) == LEAST
    assert divisions(15, 0.01) == 4_500


def all_kinds(values: np.ndarray, rng: np.random.Generator) -> dict[str, Difference]:
    """Return a difference of each kind, of values of N pairs."""
    features = np.repeat(values[:, None], 4, axis=1).astype(np.float32)
    groups = csr_array(np.ones((len(values), 1)))
    same: dict[str, Difference] = {
        "values": Distribution(values),
        "count": Count(values > values.max() - 1),
        "features": MeanFeatures(fourier_features(features, rng, 16)),
        "traits": Concentration(groups),
        "groups": GroupShift(values, groups),
        "copies": Repeated(np.zeros(len(values), np.int64)),
        "seen": SeenBefore(np.zeros(len(values), np.int64), np.zeros(len(values), bool)),
    }
    some = np.arange(0, len(values), 2)
    part = Distribution(values[some])
    return {**same, "among": Among(part, some)}


@pytest.mark.filterwarnings("error")
def test_pairs_that_are_all_equal_differ_in_nothing() -> None:
    """Every division is as rare as the actual one; nothing is divided by zero."""
    values, new = np.full(60, 0.25), np.arange(60) >= 40
    for one in compare(all_kinds(values, np.random.default_rng(4)), new, 99, 0).values():
        assert (one.p, one.p_family) == (1.0, 1.0)
    shift = GroupShift(values, csr_array(np.ones((60, 1))))
    assert shift.shifts(new[None]).tolist() == [[0.0]]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("is_new", [False, True])
def test_a_division_with_an_empty_side_is_a_number(is_new: bool) -> None:
    """Among some of the pairs there may be no new one, or no earlier one."""
    rng = np.random.default_rng(5)
    for difference in all_kinds(rng.standard_normal(60), rng).values():
        assert np.isfinite(difference.of(np.full((3, 60), is_new))).all()
    assert Distribution(np.zeros(0)).of(np.zeros((2, 0), bool)).tolist() == [0, 0]


@pytest.mark.parametrize("is_new", [False, True])
def test_nothing_is_compared_with_nothing(is_new: bool) -> None:
    """There is one division then, and it would be called rare."""
    with pytest.raises(ValueError, match="some pairs must be new and some earlier"):
        compare({"count": Count(np.ones(9, bool))}, np.full(9, is_new), 99, 0)


def test_one_pair_has_features() -> None:
    """There is no distance to take as a width."""
    assert np.isfinite(
        fourier_features(np.ones((1, 4), np.float32), np.random.default_rng(6))
    ).all()


def test_a_difference_among_some_pairs_is_no_rarer_for_being_asked_of_fewer() -> None:
    """Nine tenths of the new pairs are left out: the rest is alike, and nothing is found."""
    rng, rare = np.random.default_rng(7), 0
    for seed in range(200):
        new = np.arange(400) >= 200
        rows = np.concatenate([np.arange(200), np.arange(380, 400)])
        fit, group = rng.standard_normal(220), csr_array(np.eye(6)[rng.integers(6, size=220)])
        differences: dict[str, Difference] = {
            "fit": Among(Distribution(fit), rows),
            "traits": Among(Concentration(group), rows),
            "groups": Among(GroupShift(fit, group), rows),
        }
        rare += min(one.p_family for one in compare(differences, new, 99, seed).values()) <= 0.05
    assert rare <= binom.ppf(0.999, 200, 0.05)
