"""SafeCLIP's mixture: how its safe set moves with every choice, and whether to trust it at all.

Yang, Gao, Mirzasoleiman. ICML 2024, section 4.2: two Gaussians are fitted to the similarities after
the warm-up, and pairs whose posterior of the upper one reaches a threshold are safe. Separation is
Ashman's D (Ashman, Bird, Zepf. Astronomical Journal 108, 1994), above 2 where two humps stand
apart.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from clipbench.audit.exposure.recipe import defense_spec
from clipbench.audit.suspects.found import Suspects
from clipbench.audit.threshold.found import Fit, Mixture

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
COMPONENTS = (2, 3)
GROWTHS, CAPS = (0.01, 0.05, 0.1), (0.85, 0.97)
USUAL = 0.9  # threshold of the paper
APART = 2.0  # Ashman's D
LEAST_LOW, MOST_LOW = 0.002, 0.5  # weight of the component of low similarity
MOST_FITTED = 200_000
LEAST_PAIRS = 200

FloatArray = npt.NDArray[np.float64]


def fitted(path: Path, suspects: Suspects) -> Mixture | None:
    """Return the mixture's choices and whether it can be trusted; None: there are no similarities.

    Args:
        path: similarities at the first split, a column per seed, canaries last.
        suspects: what was found.
    """
    if not path.is_file():
        return None
    table = pd.read_parquet(path)
    total = suspects.pairs
    every = {int(str(name).removeprefix("seed")): table[name].to_numpy() for name in table.columns}
    values = {seed: column[~np.isnan(column)].astype(np.float64) for seed, column in every.items()}
    first = next(iter(values.values()))
    if len(first) < LEAST_PAIRS or np.ptp(first) < 1e-6:
        return _none("There are too few pairs, or all similarities are equal.")
    fits = [_fit(seed, count, every[seed], total) for seed in every for count in COMPONENTS]
    separation, gain, low = _humps(first)
    trusted = separation >= APART and LEAST_LOW <= low <= MOST_LOW and gain > 0
    start = fits[0].safe[THRESHOLDS.index(USUAL)]
    after = _growing(suspects)
    return Mixture(
        thresholds=[*THRESHOLDS],
        fits=fits,
        separation=separation,
        bic_gain=gain,
        low_share=low,
        growth=[[g, c, min(c, start + g * after)] for g in GROWTHS for c in CAPS],
        trusted=trusted,
        why=_why(separation, low, trusted),
    )


def _growing(suspects: Suspects) -> int:
    """Return the epochs in which the safe set grows."""
    epochs = suspects.epochs["safeclip"]
    spec = defense_spec("safeclip", suspects.per_epoch or suspects.pairs, epochs)
    warmup = sum(int(str(spec[name])) for name in ("unimodal_epochs", "cross_modal_epochs"))
    return max(0, epochs - warmup - 1)


def _none(why: str) -> Mixture:
    return Mixture(
        thresholds=[], fits=[], separation=0.0, bic_gain=0.0, low_share=0.0, growth=[],
        trusted=False, why=why,
    )  # fmt: skip


def _why(separation: float, low: float, trusted: bool) -> str:
    if trusted:
        return (
            f"The similarities have two humps, {separation:.1f} standard deviations apart, and"
            f" {100 * low:.1f}% of the pairs lie in the lower one."
        )
    if separation < APART:
        return (
            f"The similarities have no two humps (their means lie {separation:.1f} standard"
            f" deviations apart, {APART:.0f} are needed): where the mixture draws its line is"
            " chance."
        )
    return (
        f"The lower hump holds {100 * low:.1f}% of the pairs, which is not what poison or wrong"
        " captions look like."
    )


def _fit(seed: int, components: int, values: npt.NDArray[np.float32], total: int) -> Fit:
    """Return what a mixture of so many components calls safe, in pairs and canaries."""
    known = ~np.isnan(values)
    model = _model(values[known].astype(np.float64), components)
    posterior = np.zeros(len(values))
    upper = int(np.argmax(model.means_[:, 0]))
    posterior[known] = model.predict_proba(values[known].astype(np.float64)[:, None])[:, upper]
    return Fit(
        seed=seed,
        components=components,
        safe=[float(np.mean(posterior[:total] >= level)) for level in THRESHOLDS],
        canaries=[float(np.mean(posterior[total:] >= level)) for level in THRESHOLDS],
    )


def _model(values: FloatArray, components: int) -> Any:
    from sklearn.mixture import GaussianMixture  # noqa: PLC0415 - heavy

    thinned = values[:: -(-len(values) // MOST_FITTED), None]
    return GaussianMixture(n_components=components, random_state=0, max_iter=200).fit(thinned)


def _humps(values: FloatArray) -> tuple[float, float, float]:
    """Return Ashman's D of two components, their gain in BIC per pair, and the lower's weight."""
    one, two = _model(values, 1), _model(values, 2)
    means, variances = two.means_[:, 0], two.covariances_[:, 0, 0]
    separation = float(abs(means[0] - means[1]) / np.sqrt(variances.mean()))
    gain = float((one.bic(values[:, None]) - two.bic(values[:, None])) / len(values))
    return separation, gain, float(two.weights_[int(np.argmin(means))])
