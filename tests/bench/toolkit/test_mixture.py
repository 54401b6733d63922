from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.mixture import GaussianMixture

from clipbench.rng import generator
from clipbench.toolkit.mixture import fit_mixture

FloatArray = npt.NDArray[np.float32]
LOW, HIGH, SPREAD = 0.05, 0.6, 0.08


def two_groups(num_low: int = 300, num_high: int = 700) -> FloatArray:
    """Similarities of pairs that do not match, then of pairs that do."""
    rng = generator(0, "mixture")
    low, high = rng.normal(LOW, SPREAD, num_low), rng.normal(HIGH, SPREAD, num_high)
    return np.concatenate([low, high]).astype(np.float32)


@pytest.mark.parametrize(("num_low", "num_high"), [(300, 700), (900, 100), (50, 950)])
def test_the_posterior_is_of_the_larger_mean(num_low: int, num_high: int) -> None:
    """Matching pairs get a posterior near 1 and others near 0, whichever group is the larger."""
    mixture = fit_mixture(two_groups(num_low, num_high))
    assert mixture.low_mean == pytest.approx(LOW, abs=0.03)
    assert mixture.high_mean == pytest.approx(HIGH, abs=0.03)
    assert mixture.converged
    assert mixture.posterior[:num_low].mean() < 0.01
    assert mixture.posterior[num_low:].mean() > 0.99


def test_the_posterior_is_bayes_rule() -> None:
    """Between groups of equal size and spread it is 1/2 half-way, and Bayes's rule elsewhere."""
    values = two_groups(5000, 5000)
    posterior = fit_mixture(values).posterior
    exponent = (HIGH - LOW) / SPREAD**2 * (values.astype(np.float64) - (HIGH + LOW) / 2)
    expected = 1 / (1 + np.exp(-exponent))
    assert np.abs(posterior - expected).mean() < 0.005
    assert posterior[np.abs(values - (HIGH + LOW) / 2).argmin()] == pytest.approx(0.5, abs=0.15)


def test_the_order_of_pairs_does_not_matter() -> None:
    """A shuffled set gives each pair the posterior it had."""
    values = two_groups()
    order = generator(0, "shuffle").permutation(len(values))
    expected = fit_mixture(values).posterior[order]
    np.testing.assert_allclose(fit_mixture(values[order]).posterior, expected, atol=1e-3)


def test_the_same_similarities_give_the_same_mixture() -> None:
    """Nothing is drawn from a global generator."""
    first = fit_mixture(two_groups())
    np.random.seed(5)  # noqa: NPY002 - the global state is what must not matter
    assert np.array_equal(fit_mixture(two_groups()).posterior, first.posterior)


def test_a_thinned_fit_still_gives_every_pair_a_posterior() -> None:
    """Above `max_fitted` the fit uses evenly spaced pairs and changes by next to nothing."""
    values = two_groups(4000, 6000)
    values = values[generator(0, "order").permutation(len(values))]
    whole, thinned = fit_mixture(values), fit_mixture(values, max_fitted=999)
    assert thinned.posterior.shape == values.shape
    assert thinned.high_mean == pytest.approx(whole.high_mean, abs=0.01)
    assert np.abs(thinned.posterior - whole.posterior).mean() < 0.01


@pytest.mark.parametrize("count", [0, 1, 2, 500])
def test_equal_similarities_cannot_be_told_apart(count: int) -> None:
    """Where all are alike every posterior is a half and nothing warns or divides by zero."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mixture = fit_mixture(np.full(count, 0.25, np.float32))
    assert mixture.posterior.tolist() == [0.5] * count
    assert not mixture.converged
    assert mixture.low_mean == mixture.high_mean == (0.25 if count else 0.0)


def test_two_different_similarities_are_two_components() -> None:
    """The smallest set that can be split is split the right way round."""
    posterior = fit_mixture(np.array([0.9, 0.1], np.float32)).posterior
    assert posterior[0] > 0.99
    assert posterior[1] < 0.01


def test_one_hump_does_not_fail() -> None:
    """Similarities of an untrained model, all of one kind, still give probabilities."""
    values = generator(0, "hump").normal(0.0, 0.01, 2000).astype(np.float32)
    posterior = fit_mixture(values).posterior
    assert posterior.min() >= 0
    assert posterior.max() <= 1


@pytest.mark.parametrize(
    ("low", "high", "share", "closeness"),
    [
        ((0.05, 0.05), (0.45, 0.06), 0.3, 1e-4),
        ((0.05, 0.05), (0.30, 0.08), 0.3, 1e-2),
        ((0.10, 0.08), (0.25, 0.08), 0.5, 1e-2),
        ((0.00, 0.01), (0.00, 0.01), 0.5, 1e-2),
    ],
    ids=["apart", "touching", "overlapping", "one hump"],
)
def test_the_posterior_is_that_of_the_authors_settings(
    low: tuple[float, float], high: tuple[float, float], share: float, closeness: float
) -> None:
    """scikit-learn's mixture of similarities sorted from the top, with its own 100 iterations.

    Where the humps are apart posteriors are the same; elsewhere the start by k-means, which depends
    on the order, moves them by up to a hundredth.
    """
    rng = generator(3, "posterior", int(1000 * high[0]))
    count = int(20_000 * share)
    values = np.concatenate([rng.normal(*low, count), rng.normal(*high, 20_000 - count)])
    values = values.astype(np.float32)
    falling = np.sort(values)[::-1]
    model = GaussianMixture(n_components=2, random_state=0).fit(falling[:, None])
    theirs = model.predict_proba(falling[:, None])[:, int(np.argmax(model.means_))]
    ours = fit_mixture(values).posterior[np.argsort(-values, kind="stable")]
    assert np.abs(ours - theirs).max() < closeness
    safe = int((theirs >= 0.9).sum())
    assert int((ours >= 0.9).sum()) == pytest.approx(safe, rel=0.01, abs=2)
