from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from clipbench.parallel.batchnorm import synchronize_batch_norm


@pytest.fixture(scope="module")
def results(found: Callable[[str], Any]) -> list[dict[str, np.ndarray]]:
    """Return what processes computed with 2, 2 and 3 rows of a batch, and alone with all 7."""
    return list(found("batch_norm"))


@pytest.mark.parametrize("rank", [0, 1, 2])
@pytest.mark.parametrize("kind", ["plain", "act"])
@pytest.mark.parametrize("part", ["out", "grad", "state", "evaluated"])
def test_several_processes_are_one(
    results: list[dict[str, np.ndarray]], rank: int, kind: str, part: str
) -> None:
    """Outputs, all gradients and running statistics are those of one process with the whole batch.

    Of batch norms in two and in one dimension, and of timm's with an activation inside.
    """
    found = {n: v for n, v in results[rank].items() if n.startswith(f"{kind} {part}")}
    assert found
    for name, value in found.items():
        expected = results[rank][f"expected {name}"]
        # An entry near zero is the difference of terms as large as the largest.
        noise = 2e-5 * max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(value, expected, rtol=2e-4, atol=noise, err_msg=name)


def test_the_comparison_is_not_empty(results: list[dict[str, np.ndarray]]) -> None:
    """Gradients of the first layer, which pass through every norm, are far from zero."""
    for kind in ("plain", "act"):
        assert np.abs(results[0][f"{kind} grad 0.weight"]).max() > 1e-3


def test_all_processes_keep_the_same_statistics(results: list[dict[str, np.ndarray]]) -> None:
    """Running mean and variance agree to the bit, so that checkpoints of one are those of all."""
    names = [name for name in results[0] if " state " in name and "running" in name]
    assert len(names) == 24
    for name in names:
        if not name.startswith("expected"):
            assert np.array_equal(results[0][name], results[1][name]), name
            assert np.array_equal(results[0][name], results[2][name]), name


def test_evaluation_needs_no_other_process() -> None:
    """In evaluation mode a synchronized norm works alone, without a process group."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(3)
    nn.init.normal_(norm.running_mean)  # type: ignore[arg-type]
    images = torch.randn(2, 3, 4, 4)
    expected = norm.eval()(images)
    synchronize_batch_norm(norm)
    assert torch.equal(norm(images), expected)
