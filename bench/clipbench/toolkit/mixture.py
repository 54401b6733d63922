"""Gaussian mixtures on similarities: of two components in SafeCLIP (Yang et al., ICML 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
MOST_FITTED = 200_000


@dataclass(frozen=True)
class Mixture:
    """A fitted mixture.

    Args:
        posterior: ``(N,)`` probability of the component with the larger mean.
        low_mean: mean of the other component.
        high_mean: mean of the component with the larger mean.
        converged: whether expectation-maximization did.
    """

    posterior: FloatArray
    low_mean: float
    high_mean: float
    converged: bool


def fit_mixture(similarity: npt.NDArray[np.float32], max_fitted: int = MOST_FITTED) -> Mixture:
    """Fit two Gaussians to the similarities.

    Args:
        similarity: ``(N,)`` cosine similarities.
        max_fitted: a longer array is thinned evenly for the fit; every pair gets a posterior.

    Returns:
        The mixture with a posterior for all N. Where the similarities are all equal there is
        nothing to tell apart, and every posterior is 0.5.
    """
    values = similarity.astype(np.float64)[:, None]
    if len(values) < 2 or np.ptp(values) < 1e-6:
        mean = float(values.mean()) if len(values) else 0.0
        return Mixture(np.full(len(values), 0.5), mean, mean, converged=False)
    model = gaussians(values, 2, max_fitted)
    high = int(np.argmax(model.means_[:, 0]))
    return Mixture(
        posterior=model.predict_proba(values)[:, high],
        low_mean=float(model.means_[1 - high, 0]),
        high_mean=float(model.means_[high, 0]),
        converged=bool(model.converged_),
    )


def gaussians(values: FloatArray, components: int, max_fitted: int = MOST_FITTED) -> Any:
    """Return scikit-learn's mixture of some Gaussians, fitted to values; the same each time.

    Args:
        values: ``(N, 1)``, at least as many as components.
        components: of the mixture.
        max_fitted: a longer array is thinned evenly for the fit.
    """
    from sklearn.mixture import GaussianMixture  # noqa: PLC0415 - heavy

    thinned = values[:: -(-len(values) // max_fitted)]
    return GaussianMixture(n_components=components, random_state=0, max_iter=200).fit(thinned)
