"""Outcomes of trials as text."""

from __future__ import annotations

import numpy as np
import pytest

from clipbench.errors import CorruptData
from clipbench.evaluation.outcomes import pack, unpack


@pytest.mark.parametrize("n", [1, 7, 8, 9, 1980])
def test_outcomes_come_back(n: int) -> None:
    """Each trial has its bit, whatever their number."""
    succeeded = np.random.default_rng(n).random(n) < 0.3
    text = pack(succeeded)
    assert len(text) <= n / 6 + 8
    np.testing.assert_array_equal(unpack(text, n), succeeded)


@pytest.mark.parametrize(
    ("text", "n"),
    [("not base64!", 8), (None, 8), (pack(np.ones(8, bool)), 9), (pack(np.ones(8, bool)), 7)],
)
def test_damaged_outcomes_are_refused(text: object, n: int) -> None:
    """Text that is none, and bits of more or fewer trials."""
    with pytest.raises(CorruptData, match="Outcomes"):
        unpack(text, n)
