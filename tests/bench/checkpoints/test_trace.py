"""Traces of epochs: what decides the pairs, not the pairs; and those of earlier versions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from clipbench.checkpoints.trace import read_trace, write_trace
from clipbench.contracts import Phase
from clipbench.errors import CorruptData
from clipbench.loading.order import EpochOrder, epoch_pairs

ORDERS = [
    EpochOrder(100, 100, 0, 5),
    EpochOrder(100, 30, 7, 2**63 - 1),
    EpochOrder(100, 100, 9, 5, 4),
    EpochOrder(100, 0, 9, 5),
]


@pytest.mark.parametrize("order", ORDERS)
def test_a_trace_gives_back_the_epoch_s_pairs(tmp_path: Path, order: EpochOrder) -> None:
    """With which of them a cross-modal loss was given, and their scores."""
    size = order.pairs_per_epoch
    scores, keep = torch.rand(size), torch.arange(size) % 3 == 0
    phases = [Phase("kept", lambda _: torch.zeros(()), keep=keep)] if size else []
    write_trace(tmp_path / "0.npz", order, phases, scores)
    found = read_trace(tmp_path / "0.npz")
    np.testing.assert_array_equal(found.pairs, epoch_pairs(*order))
    np.testing.assert_array_equal(found.cross_modal, keep.numpy())
    np.testing.assert_array_equal(found.scores, scores.numpy())


def test_a_trace_takes_a_bit_a_pair_where_nothing_is_scored(tmp_path: Path) -> None:
    """Numbers of pairs, which the seed gives, took thirty times that."""
    write_trace(tmp_path / "0.npz", EpochOrder(80_000, 80_000, 0, 0), (), None)
    assert (tmp_path / "0.npz").stat().st_size < 11_000


def test_a_trace_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """It holds the numbers of the pairs."""
    pairs, scores = np.array([3, 1, 2]), np.array([0.5, 0.25, 1.0], np.float32)
    bits = np.packbits([True, False, True])
    np.savez_compressed(tmp_path / "0.npz", cross_modal=bits, scores=scores, pairs=pairs)
    found = read_trace(tmp_path / "0.npz")
    assert found.pairs.tolist() == [3, 1, 2]
    assert found.cross_modal.tolist() == [True, False, True]
    assert found.scores.tolist() == scores.tolist()


@pytest.mark.parametrize(
    "order", [[5], [5, 9, 0, 0, 0], [10**9, 10**9, 0, 0, 0], [9, 9, 0, -1, 0], [9, 9, 0, 0, 3]]
)
def test_an_order_that_is_none_is_refused(tmp_path: Path, order: list[int]) -> None:
    """Before pairs are drawn that the rest of the file tells nothing of."""
    bits, scores = np.packbits(np.ones(9, bool)), np.empty(0, np.float32)
    np.savez(tmp_path / "0.npz", cross_modal=bits, scores=scores, order=np.array(order))
    with pytest.raises(CorruptData, match="missing or damaged"):
        read_trace(tmp_path / "0.npz")
