"""What `auto` stands for."""

from __future__ import annotations

import sys

import pytest
import torch

from clipbench.configuration import precision
from clipbench.configuration.precision import settled
from clipbench.errors import BadSetting


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1"])
def test_a_precision_that_was_named_is_kept(device: str) -> None:
    """Whatever the device."""
    assert settled("bf16", device) == "bf16"
    assert settled("fp32", device) == "fp32"


def test_tf32_is_for_gpus() -> None:
    """A processor would compute in fp32 and call it TF32; elsewhere the device will tell."""
    with pytest.raises(BadSetting, match="which GPUs compute in and processors do not"):
        settled("tf32", "cpu")
    assert settled("tf32", "auto") == settled("tf32", "cuda:1") == "tf32"


def test_processors_train_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those with bf16 units, so that results of two kinds of processors are one kind."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    assert settled("auto", "cpu") == "fp32"


@pytest.mark.parametrize(
    ("available", "native", "format_"),
    [(True, True, "bf16"), (True, False, "fp32"), (False, False, "fp32")],
)
def test_gpus_train_in_bf16_where_they_compute_in_it(
    monkeypatch: pytest.MonkeyPatch, *, available: bool, native: bool, format_: str
) -> None:
    """One that only emulates it, which is slow, trains in fp32."""

    def is_bf16_supported(*, including_emulation: bool = True) -> bool:
        return native or including_emulation

    monkeypatch.setattr(precision, "_may_have_gpu", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_bf16_supported)
    assert settled("auto", "auto") == format_


@pytest.mark.parametrize(
    ("there", "visible", "may"),
    [
        ((), None, False),
        (("/dev/nvidiactl",), None, True),
        (("/dev/kfd",), None, True),
        (("/dev/nvidiactl",), "", False),
        (("/dev/nvidiactl",), "0", True),
    ],
)
def test_torch_is_asked_only_where_there_is_a_driver(
    monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], visible: str | None, *, may: bool
) -> None:
    """Loading it takes seconds, and a plan shall come at once."""
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert precision._may_have_gpu(there.__contains__) is may
