"""Whether SafeCLIP's mixture can be trusted: two humps, of which the lower is small, or not."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from audited import Audited

from clipbench.audit.suspects.files import write_table
from clipbench.audit.threshold.found import Mixture
from clipbench.audit.threshold.mixture import fitted
from clipbench.rng import generator

PAIRS, CANARIES = 2_000, 20


def fit(audited: Audited, folder: Path, low: float, apart: float) -> Mixture:
    """Return the fit to similarities of which a share lies lower, as do canaries."""
    draw = generator(0, "similarities")
    values = draw.normal(0.6, 0.05, PAIRS + CANARIES)
    values[: round(low * PAIRS)] -= apart
    values[PAIRS:] -= apart
    write_table(folder / "split.parquet", {"seed0": values.astype(np.float32)})
    found = msgspec.structs.replace(audited.found, pairs=PAIRS)
    mixture = fitted(folder / "split.parquet", found)
    assert mixture is not None
    return mixture


def test_two_humps_are_trusted(audited: Audited, tmp_path: Path) -> None:
    """A tenth far below: all but that tenth are safe, and no canary is."""
    mixture = fit(audited, tmp_path, 0.1, 0.4)
    assert mixture.trusted
    assert mixture.separation > 5
    assert mixture.low_share == pytest.approx(0.11, abs=0.01)
    two = mixture.fits[0]
    assert two.safe == pytest.approx([0.9] * len(mixture.thresholds), abs=0.01)
    assert two.canaries == [0.0] * len(mixture.thresholds)


def test_one_hump_is_not(audited: Audited, tmp_path: Path) -> None:
    """Where one Gaussian is all there is, the line is chance."""
    mixture = fit(audited, tmp_path, 0.1, 0.0)
    assert not mixture.trusted
    assert "no two humps" in mixture.why


def test_two_humps_of_which_the_lower_is_the_larger_are_not(
    audited: Audited, tmp_path: Path
) -> None:
    """So much poison there is not: what lies lower is something else."""
    mixture = fit(audited, tmp_path, 0.7, 0.4)
    assert not mixture.trusted
    assert "not what poison" in mixture.why


def test_a_larger_growth_never_ends_with_fewer_safe_pairs(audited: Audited, tmp_path: Path) -> None:
    mixture = fit(audited, tmp_path, 0.1, 0.4)
    for cap in {cap for _, cap, _ in mixture.growth}:
        shares = [share for _, its, share in mixture.growth if its == cap]
        assert shares == sorted(shares)
        assert max(shares) <= cap
