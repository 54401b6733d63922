"""SafeCLIP's mixture: how its safe set moves with every choice, and whether to trust it at all.

Yang, Gao, Mirzasoleiman. ICML 2024, section 4.2: two Gaussians are fitted to the similarities after
the warm-up, and pairs whose posterior of the upper one reaches a threshold are safe. Separation is
Ashman's D (Ashman, Bird, Zepf. Astronomical Journal 108, 1994), above 2 where two humps stand
apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from clipbench.audit.exposure.recipe import defense_spec
from clipbench.audit.suspects.files import split_of
from clipbench.audit.suspects.found import Suspects
from clipbench.audit.threshold.found import Fit, Mixture
from clipbench.errors import MissingData
from clipbench.files.json_files import sha256_file
from clipbench.toolkit.mixture import FloatArray, gaussians

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
COMPONENTS = (2, 3)
GROWTHS, CAPS = (0.01, 0.05, 0.1), (0.85, 0.97)
USUAL = 0.9  # threshold of the paper
APART = 2.0  # Ashman's D
LEAST_LOW, MOST_LOW = 0.002, 0.5  # weight of the component of low similarity
LEAST_PAIRS = 200


@dataclass(frozen=True)
class _Humps:
    """Two components that were fitted to the similarities of one seed.

    Args:
        separation: Ashman's D.
        gain: by how much two components beat one, BIC per pair.
        low: weight of the component of low similarity.
    """

    separation: float
    gain: float
    low: float

    @property
    def trusted(self) -> bool:
        """Whether a threshold between them parts a small lower one."""
        return self.separation >= APART and LEAST_LOW <= self.low <= MOST_LOW and self.gain > 0


def fitted(path: Path, suspects: Suspects) -> Mixture:
    """Return the mixture's choices, and whether it can be trusted: if so, then under every seed.

    Args:
        path: similarities of the pairs at the first split, a column per seed; NaN: that epoch did
            not have the pair.
        suspects: what was found.

    Raises:
        MissingData: the file is not there, or is not that of these suspects.
    """
    seeds = {seed: _known(column) for seed, column in _read(path, suspects).items()}
    if not seeds or any(len(one) < LEAST_PAIRS or np.ptp(one) < 1e-6 for one in seeds.values()):
        return _none("There are too few pairs, or all similarities are equal.")
    models = {
        seed: {count: gaussians(values[:, None], count) for count in (1, *COMPONENTS)}
        for seed, values in seeds.items()
    }
    fits = [
        _fit(seed, count, models[seed][count], values)
        for seed, values in seeds.items()
        for count in COMPONENTS
    ]
    humps = [_humps(models[seed][1], models[seed][2], values) for seed, values in seeds.items()]
    shown = next((one for one in humps if not one.trusted), humps[0])
    start = fits[0].safe[THRESHOLDS.index(USUAL)]
    after = _growing(suspects)
    return Mixture(
        thresholds=[*THRESHOLDS],
        fits=fits,
        separation=shown.separation,
        bic_gain=shown.gain,
        low_share=shown.low,
        growth=[[g, c, min(c, start + g * after)] for g in GROWTHS for c in CAPS],
        trusted=shown.trusted,
        why=_why(shown),
    )


def _read(path: Path, suspects: Suspects) -> Mapping[int, npt.NDArray[np.float32]]:
    """Return the similarities of each seed, ``(N,)``.

    Raises:
        MissingData: the file is not there, or is not that of these suspects.
    """
    if not path.is_file() or sha256_file(path) != suspects.first_split_sha256:
        raise MissingData(f"{path} is not there, or was changed; run the audit again.")
    table = pd.read_parquet(path)
    return {seed: table[split_of(seed)].to_numpy() for seed in suspects.seeds}


def _known(column: npt.NDArray[np.float32]) -> FloatArray:
    return column[~np.isnan(column)].astype(np.float64)


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


def _why(humps: _Humps) -> str:
    if humps.trusted:
        return (
            f"The similarities have two humps, {humps.separation:.1f} standard deviations apart,"
            f" and {100 * humps.low:.1f}% of the pairs lie in the lower one."
        )
    if humps.separation < APART:
        return (
            f"The similarities have no two humps (their means lie {humps.separation:.1f} standard"
            f" deviations apart, {APART:.0f} are needed): where the mixture draws its line is"
            " chance."
        )
    if humps.gain <= 0:
        return (
            "Two humps describe the similarities no better than one: where the mixture draws its"
            " line is chance."
        )
    return (
        f"The lower hump holds {100 * humps.low:.1f}% of the pairs, which is not what poison or"
        " wrong captions look like."
    )


def _fit(seed: int, components: int, model: GaussianMixture, values: FloatArray) -> Fit:
    """Return what a mixture of so many components calls safe."""
    posterior = model.predict_proba(values[:, None])[:, int(np.argmax(model.means_[:, 0]))]
    return Fit(
        seed=seed,
        components=components,
        safe=[float(np.mean(posterior >= level)) for level in THRESHOLDS],
    )


def _humps(one: GaussianMixture, two: GaussianMixture, values: FloatArray) -> _Humps:
    """Return how far the components of the mixture of two stand apart."""
    means, variances = two.means_[:, 0], two.covariances_[:, 0, 0]
    return _Humps(
        separation=float(abs(means[0] - means[1]) / np.sqrt(variances.mean())),
        gain=float((one.bic(values[:, None]) - two.bic(values[:, None])) / len(values)),
        low=float(two.weights_[int(np.argmin(means))]),
    )
