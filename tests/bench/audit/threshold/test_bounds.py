"""Bounds on what a threshold sets aside hold as often as they say."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binom, binomtest

from clipbench.audit.threshold.bounds import (
    Review,
    clopper_pearson,
    learn_then_test,
    p_value,
    thresholds,
)
from clipbench.audit.threshold.find import step_of
from clipbench.rng import generator

DELTA = 0.1
BoolArray = npt.NDArray[np.bool_]


def ranked(number: int, at: float, over: float, size: int = 4_000) -> BoolArray:
    """Return which pairs of a ranked list are bad: a share of `at` at first, of 0 past `over`."""
    chance = np.clip(at * (1 - np.arange(size) / over), 0, 1)
    return np.asarray(generator(number, "ranked").random(size) < chance)


def reviewed(bad: BoolArray, census: int, drawn: int, region: int, number: int) -> Review:
    """Return a review of the first pairs, and of as many drawn at random in the region."""
    ranks = 1 + generator(number, "review").permutation(region)[:drawn]
    beyond = ranks[ranks > census]
    return Review(bad[:census], beyond.astype(np.int64), bad[beyond - 1], region)


def violations(labels: int, alpha: float, at: float, over: float, census: int) -> tuple[int, int]:
    """Return of 200 reviews how many gave a threshold that does not hold, and how many gave one."""
    wrong = given = 0
    for number in range(200):
        bad = ranked(number, at, over)
        review = reviewed(bad, census, labels - census, 800, number)
        flagged = learn_then_test(review, alpha, DELTA)
        given += flagged is not None
        wrong += flagged is not None and (~bad[:flagged]).sum() > alpha * flagged
    return wrong, given


@pytest.mark.parametrize(("labels", "census"), [(50, 25), (100, 50), (200, 100), (100, 0)])
@pytest.mark.parametrize(
    ("alpha", "at", "over"),
    [(0.2, 0.95, 1_200), (0.2, 0.79, 10**9)],
)
def test_a_bound_fails_no_more_often_than_it_says(
    labels: int, census: int, alpha: float, at: float, over: float
) -> None:
    """Of 200 reviews no more than a tenth, and what chance adds, are given a wrong threshold.

    In the second list every threshold is a little worse than allowed, the hardest case.
    """
    wrong, _ = violations(labels, alpha, at, over, census)
    assert wrong <= binom.ppf(0.999, 200, DELTA)


def test_a_good_list_gets_a_threshold() -> None:
    """Where nine in ten of the first pairs are bad, most reviews of 100 pairs find one."""
    wrong, given = violations(100, 0.5, 0.95, 1_200, 25)
    assert given >= 190
    assert wrong <= binom.ppf(0.999, 200, DELTA)


def test_to_believe_the_share_among_the_labels_is_wrong_far_more_often() -> None:
    """The largest threshold whose labels look good enough does not hold in half of the reviews."""
    wrong = 0
    for number in range(200):
        bad = ranked(number, 0.95, 1_200)
        review = reviewed(bad, 0, 100, 800, number)
        counts = {flagged: review.counts(1, flagged) for flagged in thresholds(review)}
        steps = [t for t, (judged, found) in counts.items() if judged - found <= 0.2 * judged]
        wrong += bool(steps) and (~bad[: max(steps)]).sum() > 0.2 * max(steps)
    assert wrong > 80


def test_what_is_known_one_by_one_needs_no_test() -> None:
    """Of the first pairs, all judged, exactly as many are flagged as may be good among them."""
    census = np.array([True] * 8 + [False] * 2 + [True] * 10 + [False] * 30)
    review = Review(census, np.array([], dtype=np.int64), np.array([], dtype=bool), 50)
    assert learn_then_test(review, 0.1, DELTA) == 20  # 2 of 20 are good
    assert p_value(review, 20, 0.1) == 0.0
    assert p_value(review, 21, 0.1) == 1.0


def test_without_labels_no_threshold_is_known() -> None:
    review = Review(np.array([], dtype=bool), np.array([], dtype=np.int64), np.zeros(0, bool), 400)
    assert learn_then_test(review, 0.5, DELTA) is None
    assert p_value(review, 100, 0.5) == 1.0


def test_the_test_of_a_long_list_is_the_binomial_one() -> None:
    """With few labels of many pairs, drawing without putting back makes no difference."""
    bad = np.arange(40) >= 4
    review = Review(np.zeros(0, bool), np.arange(1, 41) * 25_000, bad, 1_000_000)
    expected = binomtest(4, 40, 0.2, alternative="less").pvalue
    assert p_value(review, 1_000_000, 0.2) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 20), (20, 20), (0, 0)])
def test_intervals_are_those_of_clopper_and_pearson(k: int, n: int) -> None:
    low, high = clopper_pearson(k, n)
    if n:
        exact = binomtest(k, n).proportion_ci(0.95, method="exact")
        assert (low, high) == pytest.approx((exact.low, exact.high))
    else:
        assert (low, high) == (0.0, 1.0)


def test_intervals_of_precision_hold_the_truth() -> None:
    """At 95%, the share of bad pairs among the flagged lies within, whatever the threshold."""
    missed = {200: 0, 800: 0}
    for number in range(200):
        bad = ranked(number, 0.9, 900)
        review = reviewed(bad, 25, 75, 800, number)
        for flagged in missed:
            step = step_of(review, flagged)
            missed[flagged] += not step.low <= bad[:flagged].mean() <= step.high
            caught = bad[:flagged].sum() / bad[:800].sum()
            assert step.caught is not None
            missed[flagged] += not step.caught_low <= caught <= step.caught_high
    assert max(missed.values()) <= binom.ppf(0.999, 200, 0.1)  # two intervals of 95% each
