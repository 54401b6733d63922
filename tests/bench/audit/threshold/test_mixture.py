"""Whether SafeCLIP's mixture can be trusted: two humps, of which the lower is small, or not."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from audited import Audited

from clipbench.audit.suspects.files import FIRST_SPLIT, write_splits
from clipbench.audit.threshold.found import Mixture
from clipbench.audit.threshold.mixture import fitted
from clipbench.errors import MissingData
from clipbench.rng import generator

PAIRS = 2_000
Similarities = npt.NDArray[np.float32]


def similarities(low: float, apart: float, seed: int = 0) -> Similarities:
    """Return similarities of which a share lies lower."""
    values = generator(seed, "similarities").normal(0.6, 0.05, PAIRS)
    values[: round(low * PAIRS)] -= apart
    return values.astype(np.float32)


def fit(audited: Audited, folder: Path, *seeds: Similarities) -> Mixture:
    """Return the fit to similarities of one seed or several."""
    path = folder / "split.parquet"
    splits = dict(enumerate(seeds))
    found = msgspec.structs.replace(
        audited.found, pairs=PAIRS, seeds=[*splits], first_split_sha256=write_splits(path, splits)
    )
    return fitted(path, found)


def test_two_humps_are_trusted(audited: Audited, tmp_path: Path) -> None:
    """A tenth far below: all but that tenth are safe, of those that were in the epoch."""
    values = similarities(0.1, 0.4)
    values[::2] = np.nan
    for mixture in (fit(audited, tmp_path, similarities(0.1, 0.4)), fit(audited, tmp_path, values)):
        assert mixture.trusted
        assert mixture.separation > 5
        assert mixture.low_share == pytest.approx(0.1, abs=0.005)
        assert mixture.fits[0].safe == pytest.approx([0.9] * len(mixture.thresholds), abs=0.01)


def test_the_mixture_is_that_of_the_users_pairs(audited: Audited) -> None:
    """Planted pairs, which lie lower, would make a hump of their own: their similarities go."""
    found, folder = audited.found, audited.request.out / "suspects"
    table = pd.read_parquet(folder / FIRST_SPLIT)
    assert found.canaries.planted
    assert [*table.columns] == [f"seed{seed}" for seed in found.seeds]
    assert len(table) == found.pairs == len(pd.read_parquet(folder / "scores.parquet"))
    assert not table.isna().any(axis=None)


def test_every_seed_has_to_have_two_humps(audited: Audited, tmp_path: Path) -> None:
    """Whichever has none is the one that the page tells of."""
    two, one = similarities(0.1, 0.4), similarities(0.1, 0.0, seed=1)
    for seeds in ((two, one), (one, two)):
        mixture = fit(audited, tmp_path, *seeds)
        assert not mixture.trusted
        assert "no two humps" in mixture.why
    assert fit(audited, tmp_path, two, similarities(0.1, 0.4, seed=1)).trusted


def test_a_seed_without_similarities_is_said_to_have_too_few(
    audited: Audited, tmp_path: Path
) -> None:
    """Though the others have them."""
    none = np.full(PAIRS, np.nan, np.float32)
    mixture = fit(audited, tmp_path, similarities(0.1, 0.4), none)
    assert not mixture.trusted
    assert "too few pairs" in mixture.why


def test_similarities_of_another_list_are_refused(audited: Audited, tmp_path: Path) -> None:
    """A file that was changed behind the search's back is no file of it."""
    path = tmp_path / "split.parquet"
    write_splits(path, {0: similarities(0.1, 0.4)})
    with pytest.raises(MissingData, match="run the audit again"):
        fitted(path, audited.found)


def test_one_hump_is_not(audited: Audited, tmp_path: Path) -> None:
    """Where one Gaussian is all there is, the line is chance."""
    mixture = fit(audited, tmp_path, similarities(0.1, 0.0))
    assert not mixture.trusted
    assert "no two humps" in mixture.why


def test_two_humps_of_which_the_lower_is_the_larger_are_not(
    audited: Audited, tmp_path: Path
) -> None:
    """So much poison there is not: what lies lower is something else."""
    mixture = fit(audited, tmp_path, similarities(0.7, 0.4))
    assert not mixture.trusted
    assert "not what poison" in mixture.why


def test_a_larger_growth_never_ends_with_fewer_safe_pairs(audited: Audited, tmp_path: Path) -> None:
    mixture = fit(audited, tmp_path, similarities(0.1, 0.4))
    for cap in {cap for _, cap, _ in mixture.growth}:
        shares = [share for _, its, share in mixture.growth if its == cap]
        assert shares == sorted(shares)
        assert max(shares) <= cap
