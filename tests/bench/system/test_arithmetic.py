"""What torch multiplies float32 numbers as."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from clipbench.errors import BadSetting
from clipbench.system.arithmetic import computing, refuse_without_tf32


def switches() -> tuple[bool, bool, str]:
    """Return torch's: of matrix products, of convolutions, and the name of both."""
    matmul = torch.backends.cuda.matmul.allow_tf32
    return matmul, torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()


@pytest.fixture(autouse=True)
def as_found() -> Iterator[None]:
    """Every test leaves torch as it was."""
    before = switches()
    yield
    torch.set_float32_matmul_precision(before[2])
    torch.backends.cudnn.allow_tf32 = before[1]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_fp32_is_fp32_in_convolutions_and_products(precision: str) -> None:
    """Torch's default rounds convolutions to TF32; a caller may have products rounded, too."""
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.allow_tf32 = True
    with computing(precision):
        assert switches() == (False, False, "highest")


def test_tf32_is_tf32_in_convolutions_and_products() -> None:
    """By default torch has it in the first alone, so a ViT would train in another format."""
    with computing("tf32"):
        assert switches()[:2] == (True, True)


@pytest.mark.parametrize("convolutions", [True, False])
@pytest.mark.parametrize("products", ["highest", "high", "medium"])
def test_what_was_set_before_is_set_afterwards(products: str, *, convolutions: bool) -> None:
    """Also after an error, and inside out."""
    torch.set_float32_matmul_precision(products)
    torch.backends.cudnn.allow_tf32 = convolutions
    before = switches()
    with pytest.raises(KeyError), computing("tf32"), computing("fp32"):
        raise KeyError
    assert switches() == before


def test_tf32_is_refused_where_nothing_would_be_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a processor, and on a GPU older than Ampere; a record would say TF32 of fp32."""
    with pytest.raises(BadSetting, match=r"this is a processor\. Use --precision fp32"):
        refuse_without_tf32("tf32", torch.device("cpu"))
    gpu = torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla V100")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 0))
    with pytest.raises(BadSetting, match="this is Tesla V100"):
        refuse_without_tf32("tf32", gpu)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    refuse_without_tf32("tf32", gpu)
    refuse_without_tf32("fp32", torch.device("cpu"))
