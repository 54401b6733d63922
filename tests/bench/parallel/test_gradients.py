from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from clipbench.parallel.gradients import GradientSum
from clipbench.parallel.group import Processes


@pytest.fixture(scope="module")
def results(found: Callable[[str], Any]) -> list[dict[str, np.ndarray]]:
    """Return what processes computed with 2, 2 and 3 rows of a batch, and alone with all 7."""
    return list(found("overlap"))


@pytest.mark.parametrize("rank", [0, 1, 2])
@pytest.mark.parametrize("passed", ["whole", "partly"])
def test_gradients_are_those_of_one_process_with_all_rows(
    results: list[dict[str, np.ndarray]], rank: int, passed: str
) -> None:
    """Of every layer that takes part; one that takes none has none, and holds up no other."""
    found = results[rank]
    np.testing.assert_allclose(found[passed], found[f"expected {passed}"], rtol=1e-4)
    assert np.isnan(found[passed]).any(axis=(1, 2)).tolist() == [False, passed == "partly", False]


def test_gradients_travel_while_the_backward_pass_is_at_work(
    results: list[dict[str, np.ndarray]],
) -> None:
    """Those of the last layers are on their way when the first layer's are computed."""
    for found in results:
        before, in_all = found["whole sent"]
        assert (before >= 4, in_all) == (True, 6)
        before, in_all = found["partly sent"]  # the middle layer's never come: the rest waits
        assert (before, in_all) == (2, 4)


def test_a_process_alone_keeps_its_gradients() -> None:
    """Nothing is registered, sent or copied."""
    weight = nn.Parameter(torch.ones(2))
    with GradientSum([weight], Processes()).summed():
        (3 * weight).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [3.0, 3.0]
