"""Rows of the leaderboard as objects say what its frame says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from as_json import of_json

from clipbench.leaderboard.record import NOTHING, records_of
from clipbench.leaderboard.tables import leaderboard

leaderboard = of_json(leaderboard)


def test_a_row_says_what_its_columns_say(bench: list[dict[str, Any]]) -> None:
    """Every column is a field, or a part of a metric; what nobody measured is nothing."""
    frame = leaderboard(bench)
    for row, record in zip(frame.to_dict("records"), records_of(frame), strict=True):
        for column, value in row.items():
            if hasattr(record, column):
                assert getattr(record, column) == value
        for name, metric in record.metrics.items():
            assert (metric.seeds, metric.mean, metric.sd) == tuple(
                row[f"{name}{end}"] for end in ("_seeds", "_mean", "_sd")
            )
            if (share := metric.pooled) is not None:
                counts = (share.value, share.k, share.n, share.low, share.high)
                ends = ("", "_k", "_n", "_low", "_high")
                assert counts == tuple(row[f"{name}{end}"] for end in ends)
        assert record.metric("score_auroc") is NOTHING


def test_shares_and_means_are_told_apart(make_result: Callable[..., dict[str, Any]]) -> None:
    """A share has its counts, any other number has its mean alone; of both there is one value."""
    metrics = {"mine": 2.5, "mine_mean": (3, 4)}
    made = [
        make_result(seed=seed, success=(k, 16), metrics=metrics) for seed, k in ((0, 4), (1, 8))
    ]
    (row,) = records_of(leaderboard(made))
    assert row.success is not None
    assert (row.success.k, row.success.n, row.success.value) == (12, 32, 0.375)
    assert row.metric("attack_success").mean == pytest.approx(0.375)
    assert (row.metric("metrics.mine").pooled, row.metric("metrics.mine").value) == (None, 2.5)
    (name,) = (name for name in row.metrics if name.startswith("metrics.mine_mean"))
    assert row.metric(name).value == 0.75
