from __future__ import annotations

import io
from collections import deque

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from clipbench.errors import BadSetting
from clipbench.rng import generator
from clipbench.toolkit.pool import NearestNeighborPool

CPU = torch.device("cpu")
FEATURES = 5


def pool_of(size: int, name: str = "image", seed: int = 0) -> NearestNeighborPool:
    return NearestNeighborPool(size, FEATURES, seed, name, CPU)


def unit(rows: int, *scope: int) -> Tensor:
    values = generator(1, "pool test", rows, *scope).standard_normal((rows, FEATURES))
    return F.normalize(torch.from_numpy(values.astype(np.float32)), dim=1)


def rows_of(pool: NearestNeighborPool) -> list[tuple[float, ...]]:
    return sorted(tuple(row) for row in pool.features.tolist())


def test_push_wraps_round_without_losing_entries() -> None:
    """After any pushes the pool holds exactly the last K features, as a FIFO of single rows does.

    lightly's memory bank drops the part of a batch that lies beyond the wrap; 7 is not a multiple
    of 3 or 5, so that every push but the first wraps somewhere else.
    """
    pool = pool_of(7)
    reference = deque(pool.features.tolist(), maxlen=7)
    for step, size in enumerate([3, 5, 3, 5, 5, 1, 7, 6, 2]):
        batch = unit(size, step)
        pool.push(batch)
        reference.extend(batch.tolist())
        assert rows_of(pool) == sorted(tuple(row) for row in reference)
        assert pool.features[pool.position].tolist() == reference[0]  # the oldest goes next


def test_a_batch_larger_than_the_pool_keeps_its_last_rows() -> None:
    """Of 11 features pushed at once into a pool of 4, the last 4 stay."""
    pool, batch = pool_of(4), unit(11)
    pool.push(unit(3))
    pool.push(batch)
    assert rows_of(pool) == sorted(tuple(row) for row in batch[-4:].tolist())


def test_the_nearest_feature_is_that_of_a_slow_search() -> None:
    """Each answer is the stored row of largest cosine, found by a double loop in float64."""
    pool = pool_of(64)
    pool.push(unit(40))
    queries = unit(23, 1)
    answers = pool.nearest(queries)
    stored: npt.NDArray[np.float64] = pool.features.double().numpy()
    for query, answer in zip(queries.double().numpy(), answers, strict=True):
        best, best_cosine = stored[0], -2.0
        for row in stored:
            cosine = float(row @ query) / float(np.linalg.norm(row) * np.linalg.norm(query))
            if cosine > best_cosine:
                best, best_cosine = row, cosine
        np.testing.assert_allclose(answer.double().numpy(), best, atol=1e-6)


def test_a_stored_feature_finds_itself() -> None:
    """Looking up what was pushed gives it back to the bit."""
    pool, batch = pool_of(32), unit(20)
    pool.push(batch)
    assert torch.equal(pool.nearest(batch), batch)


def test_neither_answers_nor_entries_carry_gradient() -> None:
    """The pool is constant for the loss, and later changes of a batch do not reach into it."""
    pool = pool_of(8)
    batch = unit(4).requires_grad_()
    assert not pool.nearest(batch).requires_grad
    pool.push(batch)
    assert not pool.features.requires_grad
    kept = pool.features.clone()
    with torch.no_grad():
        batch.zero_()
    assert torch.equal(pool.features, kept)


def test_half_precision_queries_are_answered_in_single() -> None:
    """Features of a bf16 forward pass may be pushed and asked for."""
    pool = pool_of(8)
    pool.push(unit(4).bfloat16())
    assert pool.nearest(unit(3).bfloat16()).dtype == torch.float32


def test_the_start_is_random_directions_of_seed_and_name() -> None:
    """An empty pool answers with unit vectors that differ between pools and seeds, and recur."""
    torch.testing.assert_close(pool_of(50).features.norm(dim=1), torch.ones(50))
    assert torch.equal(pool_of(50).features, pool_of(50).features)
    assert not torch.equal(pool_of(50).features, pool_of(50, "text").features)
    assert not torch.equal(pool_of(50).features, pool_of(50, seed=1).features)


def test_a_restored_pool_is_the_same_pool() -> None:
    """Saved midway, written to a file and loaded, it holds and answers the same ever after."""
    original, restored = pool_of(7), pool_of(7, seed=3)
    original.push(unit(5))
    file = io.BytesIO()
    torch.save(original.state_dict(), file)
    original.push(unit(4, 9))  # the saved state must not follow
    file.seek(0)
    restored.load_state_dict(torch.load(file, weights_only=True))
    restored.push(unit(4, 9))
    for step in range(4):
        assert torch.equal(original.features, restored.features)
        assert original.position == restored.position
        assert torch.equal(original.nearest(unit(6, step)), restored.nearest(unit(6, step)))
        original.push(unit(3, step))
        restored.push(unit(3, step))


def test_a_pool_holds_at_least_one_feature() -> None:
    """A size below 1 is refused in one sentence that names the value."""
    with pytest.raises(BadSetting, match=r"at least 1 feature\. Got 0"):
        pool_of(0)
