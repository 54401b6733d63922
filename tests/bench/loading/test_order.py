from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from clipbench.loading.order import batches, epoch_pairs


@pytest.mark.parametrize("num_pairs", [1, 7, 100])
@pytest.mark.parametrize("share", [0.01, 0.2, 0.34, 0.5, 0.77, 1.0])
def test_every_pair_is_seen_exactly_once_a_pass(num_pairs: int, share: float) -> None:
    """Epochs laid end to end are whole permutations, however epochs and passes are aligned."""
    per_epoch = max(1, round(share * num_pairs))
    epochs = -(-3 * num_pairs // per_epoch)
    order = np.concatenate([epoch_pairs(num_pairs, per_epoch, e, 5) for e in range(epochs)])
    assert len(order) == epochs * per_epoch
    for start in range(0, 3 * num_pairs, num_pairs):
        assert sorted(order[start : start + num_pairs]) == list(range(num_pairs))


def test_an_epoch_is_a_function_of_seed_and_number_alone() -> None:
    """Asked for in any order, epochs are the same; they differ from each other and by seed."""
    forward = [epoch_pairs(50, 20, epoch, 1).tolist() for epoch in range(6)]
    backward = [epoch_pairs(50, 20, epoch, 1).tolist() for epoch in reversed(range(6))]
    assert forward == backward[::-1]
    assert epoch_pairs(50, 50, 0, 1).tolist() != epoch_pairs(50, 50, 1, 1).tolist()
    assert epoch_pairs(50, 50, 0, 1).tolist() != epoch_pairs(50, 50, 0, 2).tolist()


def test_longer_epochs_see_the_same_order() -> None:
    """Cutting the training into other epochs does not change the order of samples."""
    short = list(chain.from_iterable(epoch_pairs(30, 10, epoch, 0).tolist() for epoch in range(6)))
    long = list(chain.from_iterable(epoch_pairs(30, 15, epoch, 0).tolist() for epoch in range(4)))
    assert short == long


@pytest.mark.parametrize("num_pairs", [0, 1, 2, 31, 32, 33, 64, 100, 257])
@pytest.mark.parametrize("batch_size", [2, 32, 256])
def test_batches_drop_nothing_and_are_of_equal_size(num_pairs: int, batch_size: int) -> None:
    """End to end they are the pairs in order; sizes differ by one at most; none is too large."""
    pairs = epoch_pairs(300, 300, 0, 0)[:num_pairs]
    parts = batches(pairs, batch_size)
    assert list(chain.from_iterable(part.tolist() for part in parts)) == pairs.tolist()
    assert len(parts) == -(-num_pairs // batch_size)
    sizes = [len(part) for part in parts]
    assert max(sizes, default=0) <= batch_size
    assert max(sizes, default=0) - min(sizes, default=0) <= 1
