"""Training settings."""

from __future__ import annotations

from typing import Any

import pytest

from clipbench.configuration.settings import TrainSettings
from clipbench.errors import BadSetting, UnknownName


def test_settings_are_what_their_fields_say() -> None:
    """Text and whole numbers become the field's type, so that equal settings are equal."""
    made = TrainSettings.from_mapping({"epochs": "20", "lr": 1, "pairs-per-epoch": "none"})
    assert made == TrainSettings(epochs=20, lr=1.0, pairs_per_epoch=None)
    assert isinstance(made.lr, float)


@pytest.mark.parametrize(
    ("field", "value", "must"),
    [
        ("model", " ", "a name"),
        ("epochs", 0, "from 1 to 100,000"),
        ("epochs", "many", "int"),
        ("pairs_per_epoch", 0, "from 1 to"),
        ("batch_size", 1, "from 2 to 16,777,216"),
        ("lr", 0.0, "above 0"),
        ("lr", float("nan"), "a finite number"),
        ("wd", -0.1, "at least 0"),
        ("beta1", 1.0, "in [0, 1)"),
        ("beta2", -0.1, "in [0, 1)"),
        ("eps", 0.0, "above 0"),
        ("warmup", -1, "from 0 to"),
        ("grad_clip_norm", 0.0, "above 0"),
        ("precision", "fp8", "'auto' | 'fp32' | 'tf32' | 'bf16'"),
        ("lr_schedule", "linear", "'cosine_after_warmup' | 'cosine' | 'constant'"),
        ("crop_scale", 0.0, "in (0, 1]"),
        ("crop_scale_max", 0.9, "in [1, 10]"),
        ("flip", 1.1, "in [0, 1]"),
        ("eda", 1.0, "in [0, 1)"),
        ("workers", -1, "from 0 to 4,096"),
        ("device", "gpu", "auto, cpu, cuda or cuda:N"),
        ("device", "mps", "auto, cpu, cuda or cuda:N"),
        ("save_frequency", -1, "from 0 to 100,000"),
        ("tensorboard", "maybe", "bool"),
    ],
)
def test_settings_out_of_range_are_refused(field: str, value: Any, must: str) -> None:
    """Every field says what it must be when it is not."""
    with pytest.raises(BadSetting) as caught:
        TrainSettings.from_mapping({field: value})
    assert f"train.{field} must be {must}" in str(caught.value)
    assert repr(value) in str(caught.value)


def test_unknown_settings_name_the_nearest() -> None:
    """A setting that does not exist is answered with the nearest that does."""
    with pytest.raises(UnknownName, match="Did you mean 'batch_size'"):
        TrainSettings.from_mapping({"batchsize": 3})


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:3"])
def test_devices(device: str) -> None:
    """The usual names of devices are accepted."""
    assert TrainSettings(device=device).device == device
