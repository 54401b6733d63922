from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from clipbench.errors import BadInput
from clipbench.evaluation.detection import detection_metrics


def test_low_scores_of_poison_are_good_detection() -> None:
    """Higher means safer: poison at the bottom gives 1, poison at the top 0."""
    poisoned = np.arange(100) < 5
    scores = np.linspace(-1, 1, 100)
    good, bad = detection_metrics(scores, poisoned), detection_metrics(-scores, poisoned)
    assert good["auroc"].value == good["auprc"].value == 1.0
    assert bad["auroc"].value == 0.0
    assert bad["auprc"].value < 0.05


def test_perfect_detection_is_no_more_than_perfect() -> None:
    """The sum behind the average precision of these scores ends an ulp above 1."""
    rng = np.random.default_rng(0)
    poisoned = np.arange(100) < 20
    risk = poisoned + rng.random(100) / 2
    assert average_precision_score(poisoned, risk) > 1.0  # what scikit-learn gives
    assert detection_metrics(-risk, poisoned)["auprc"].value == 1.0


def test_scores_that_say_nothing_give_a_half_and_the_prevalence() -> None:
    """Ties count half, and precision is then the share of poison, which is reported beside it."""
    metrics = detection_metrics(np.zeros(200), np.arange(200) < 10)
    assert metrics["auroc"].value == 0.5
    assert metrics["auprc"].value == pytest.approx(0.05)
    assert metrics["poison_prevalence"].value == 0.05
    assert (metrics["poison_prevalence"].k, metrics["poison_prevalence"].n) == (10, 200)


def test_auroc_is_the_chance_that_poison_scores_lower() -> None:
    """Equal to counting all couples of a poison and a clean pair."""
    rng = np.random.default_rng(0)
    poisoned = rng.random(80) < 0.3
    scores = rng.integers(0, 6, 80) - poisoned
    couples = [
        1.0 if bad < good else 0.5 if bad == good else 0.0
        for bad in scores[poisoned]
        for good in scores[~poisoned]
    ]
    metrics = detection_metrics(scores.astype(np.float32), poisoned)
    assert metrics["auroc"].value == pytest.approx(np.mean(couples))


def test_poison_and_clean_kept_are_counted_in_their_own_groups() -> None:
    """One of two poisons and three of four clean pairs are in the safe set."""
    poisoned = np.array([True, True, False, False, False, False])
    kept = np.array([True, False, True, True, True, False])
    metrics = detection_metrics(np.arange(6.0), poisoned, kept)
    assert (metrics["poison_kept"].k, metrics["poison_kept"].n) == (1, 2)
    assert (metrics["clean_kept"].k, metrics["clean_kept"].n) == (3, 4)


def test_without_a_safe_set_nothing_is_said_about_one() -> None:
    """A score alone has no kept shares."""
    metrics = detection_metrics(np.arange(4.0), np.array([True, False, False, False]))
    assert set(metrics) == {"auroc", "auprc", "poison_prevalence"}


@pytest.mark.parametrize("poisoned", [np.zeros(3, bool), np.ones(3, bool)])
def test_nothing_to_tell_apart_gives_no_metrics(poisoned: np.ndarray) -> None:
    """Clean data have no detection, rather than a number that means nothing."""
    assert detection_metrics(np.arange(3.0), poisoned) == {}


def test_scores_that_are_missing_are_an_error() -> None:
    """A NaN or a short array is refused, not ranked somewhere."""
    with pytest.raises(BadInput, match="1 of 2 scores are not numbers"):
        detection_metrics(np.array([0.0, np.nan]), np.array([True, False]))
    with pytest.raises(BadInput, match="one score and one mark"):
        detection_metrics(np.zeros(3), np.array([True, False]))
    with pytest.raises(BadInput, match="3, 3, 2"):
        detection_metrics(np.zeros(3), np.array([True, False, True]), np.ones(2, bool))
