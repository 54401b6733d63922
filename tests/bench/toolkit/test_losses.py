from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import open_clip
import pytest
import torch

from clipbench.rng import generator
from clipbench.toolkit.losses import clip_loss, info_nce

FloatArray = npt.NDArray[np.float64]


def unit(name: str, rows: int = 13, size: int = 7) -> FloatArray:
    """Unit vectors in double precision."""
    values = generator(0, "losses", name).standard_normal((rows, size))
    unit_rows: FloatArray = values / np.linalg.norm(values, axis=1, keepdims=True)
    return unit_rows


def slow_info_nce(query: FloatArray, key: FloatArray, scale: float) -> float:
    """The definition, one query and one key at a time."""
    total = 0.0
    for row, own in zip(query, key, strict=True):
        exponentials = [math.exp(scale * float(row @ other)) for other in key]
        total -= math.log(math.exp(scale * float(row @ own)) / math.fsum(exponentials))
    return total / len(query)


@pytest.mark.parametrize("scale", [1.0, 14.3, 100.0])
def test_info_nce_is_its_definition(scale: float) -> None:
    """Against a slow loop in double precision it is right to 1e-6, and in double to 1e-12."""
    query, key = unit("query"), unit("key")
    expected = slow_info_nce(query, key, scale)
    double_scale = torch.tensor(scale, dtype=torch.float64)
    in_double = info_nce(torch.from_numpy(query), torch.from_numpy(key), double_scale)
    assert expected == pytest.approx(in_double.item(), rel=1e-12)
    single = (torch.from_numpy(part).float() for part in (query, key))
    assert expected == pytest.approx(info_nce(*single, torch.tensor(scale)).item(), rel=1e-6)


@pytest.mark.parametrize("scale", [1.0, 14.3, 100.0])
def test_clip_loss_is_its_definition(scale: float) -> None:
    """It is the mean of both directions, each a slow loop in double precision, to 1e-6."""
    image, text = unit("image"), unit("text")
    expected = (slow_info_nce(image, text, scale) + slow_info_nce(text, image, scale)) / 2
    single = (torch.from_numpy(part).float() for part in (image, text))
    assert expected == pytest.approx(clip_loss(*single, torch.tensor(scale)).item(), rel=1e-6)


def test_clip_loss_and_its_gradients_are_open_clips() -> None:
    """Value and gradients of features and logit scale agree with open_clip's own loss."""
    grads = []
    for loss in (clip_loss, open_clip.ClipLoss()):
        leaves: list[Any] = [
            torch.from_numpy(unit("image")).requires_grad_(),
            torch.from_numpy(unit("text")).requires_grad_(),
            torch.tensor(20.0, dtype=torch.float64, requires_grad=True),
        ]
        value = loss(*leaves)
        grads.append([value.detach(), *torch.autograd.grad(value, leaves)])
    for expected, actual in zip(*grads, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


def test_gradients_are_those_of_finite_differences() -> None:
    """Autograd's gradient of info_nce is the numerical one for queries, keys and scale."""
    query, key = (torch.from_numpy(unit(name, 4, 3)).requires_grad_() for name in ("a", "b"))
    scale = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(info_nce, (query, key, scale))


def test_info_nce_has_a_direction() -> None:
    """Each query is compared with all keys, not each key with all queries."""
    query, key = (torch.from_numpy(unit(name)) for name in ("query", "key"))
    scale = torch.tensor(10.0)
    assert info_nce(query, key, scale).item() != pytest.approx(info_nce(key, query, scale).item())


def test_losses_of_known_batches() -> None:
    """Matching orthogonal pairs lose nearly nothing; pairs that are all alike lose log B."""
    eye, scale = torch.eye(8), torch.tensor(100.0)
    assert clip_loss(eye, eye, scale).item() < 1e-6
    assert clip_loss(eye, eye.roll(1, 0), scale).item() == pytest.approx(100.0)
    alike = torch.ones(8, 1)
    assert clip_loss(alike, alike, scale).item() == pytest.approx(math.log(8))
    assert info_nce(alike, alike, scale).item() == pytest.approx(math.log(8))
