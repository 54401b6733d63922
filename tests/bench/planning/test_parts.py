"""The counts of a run, and what is refused because of them."""

from __future__ import annotations

from typing import Any

import pytest
from small_runs import config_of

from clipbench.planning.parts import Parts


@pytest.mark.parametrize(
    ("attack", "amount", "count", "pairs_after"),
    [
        ("badnets", {"rate": "3%"}, 6, 200),
        ("badnets:mode=insert", {"rate": "3%"}, 6, 206),  # 0.03 * 200 / 0.97 = 6.19
        ("badnets", {"rate": "0.0025"}, 1, 200),  # half a pair is rounded up
        ("badnets:mode=insert", {"poisons": 7}, 7, 207),
        ("none", {}, 0, 200),
    ],
)
def test_counts_follow_from_rate_size_and_mode(
    attack: str, amount: dict[str, Any], count: int, pairs_after: int
) -> None:
    """The rate is a share of all pairs of the poisoned set, inserted ones included."""
    parts = Parts.of(config_of(attack=attack, **amount))
    assert (parts.num_pairs, parts.count, parts.pairs_after) == (200, count, pairs_after)
