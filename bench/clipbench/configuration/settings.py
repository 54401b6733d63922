"""Training settings, and the poison rate as people write it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from clipbench.errors import BadSetting, UnknownName
from clipbench.plugins.amounts import LONGEST_PLACE, MOST_EPOCHS
from clipbench.plugins.spec import brief, coerce, field_types, underscored
from clipbench.text.locations import Model, Weights, Word

Settled = Literal["fp32", "tf32", "bf16"]
Precision = Literal["auto", "fp32", "tf32", "bf16"]
LrSchedule = Literal["cosine_after_warmup", "cosine", "constant"]
CropFrom = Literal["auto", "original", "square"]

SMALLEST_RATE = Decimal("1e-15")  # one pair of a thousand times all pairs ever crawled


@dataclass(frozen=True)
class TrainSettings:
    """How a model is trained; where no recipe says otherwise, as SafeCLIP's authors trained.

    Args:
        model: name of an open_clip model, or path of a model configuration.
        pretrained: weights file to start from; none: from random weights.
        epochs: number of epochs.
        pairs_per_epoch: pairs in one epoch; none: all of them.
        batch_size: global batch size, over all processes.
        lr: learning rate of AdamW at its peak, see `lr_schedule`.
        wd: weight decay, not applied to norms, biases and the logit scale.
        beta1: AdamW's first decay rate.
        beta2: AdamW's second decay rate.
        eps: AdamW's epsilon.
        warmup: steps of linear warm-up; under cosine_after_warmup as large a share of the training
            as those steps have of one in which every epoch trains once on all of its pairs.
        grad_clip_norm: largest gradient norm; none: no clipping.
        precision: number format of the forward pass; tf32: fp32 whose products GPUs since Ampere
            round to 10 bits; auto: bf16 on GPUs that compute in it, else fp32. It is settled when a
            run is planned, and part of what the run is known by. Evaluation is in fp32.
        compile: whether the towers run as code that `torch.compile` makes of them; that takes
            minutes, pays where steps are many, and rounds otherwise, so it is part of a run's id.
        lr_schedule: after the warm-up a cosine to zero, or constant; cosine: warm-up times a cosine
            over the whole training, which never reaches the peak. A defense may set its own.
        crop_scale: smallest area share of random resized crops, in (0, 1].
        crop_scale_max: largest area share of random resized crops; above 1 an image may shrink, and
            its border is repeated around it.
        crop_from: what crops are cut from: the original picture, decoded again for each batch, or
            the square of the model's size that evaluation sees; auto: the original for models of at
            least 128 pixels.
        flip: probability of a horizontal flip.
        color_jitter: largest relative change of brightness, contrast and saturation of the colors
            of four images in five, and five times that of hue; 0: none.
        grayscale: probability of dropping the colors.
        blur: probability of a Gaussian blur.
        eda: share of words that text augmentation (EDA) changes, in [0, 1); 0: none.
        workers: threads that make batches ahead; none: one a processor where images are decoded
            for each batch, else 0. Results do not depend on it.
        decode_cache_gb: largest size of the squares that are decoded once and kept in the cache, in
            GB of 1e9 bytes; larger sets are decoded for each batch. Results do not depend on it.
        device: where to train: auto, cpu, cuda or cuda:N.
        save_frequency: keep the weights every so many epochs; 0: only the last.
        checkpoint_every_s: seconds between checkpoints for resuming.
        tensorboard: whether to write TensorBoard logs.
    """

    model: Model = "RN50"
    pretrained: Weights | None = None
    epochs: int = 32
    pairs_per_epoch: int | None = None
    batch_size: int = 128
    lr: float = 5e-4
    wd: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    warmup: int = 10_000
    grad_clip_norm: float | None = None
    precision: Precision = "auto"
    compile: bool = False
    lr_schedule: LrSchedule = "cosine_after_warmup"
    crop_scale: float = 0.08
    crop_scale_max: float = 1.0
    crop_from: CropFrom = "auto"
    flip: float = 0.5
    color_jitter: float = 0.5
    grayscale: float = 0.2
    blur: float = 1.0
    eda: float = 0.1
    workers: int | None = None
    decode_cache_gb: float = 8.0
    device: Word = "auto"
    save_frequency: int = 0
    checkpoint_every_s: float = 300.0
    tensorboard: bool = False

    def epoch_size(self, num_pairs: int) -> int:
        """Return how many pairs of a set of `num_pairs` one epoch has."""
        return min(self.pairs_per_epoch or num_pairs, num_pairs)

    def __post_init__(self) -> None:
        for name, hint in field_types(TrainSettings).items():
            value = coerce(getattr(self, name), hint, f"train.{name}")
            object.__setattr__(self, name, value)  # so that lr=1 and lr=1.0 are one configuration
            must, holds = _LIMITS.get(name, _ANYTHING)
            if value is not None and not holds(value):
                raise BadSetting(f"train.{name} must be {must}. Got {brief(value)}.")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> TrainSettings:
        """Return the settings with these fields set.

        Raises:
            UnknownName: a field that does not exist.
            BadSetting: a value that the field cannot take.
        """
        return cls(**dict(check_train_fields(values)))


def check_train_fields(values: object, where: str = "") -> Mapping[str, Any]:
    """Return `values` with `-` in names as `_`, if all are names of training settings.

    Args:
        values: settings by name.
        where: the place they were read from, for the message.
    """
    if not isinstance(values, Mapping):
        must = "must hold training settings, e.g. `epochs: 20`"
        raise BadSetting(f"train{where} {must}. Got {brief(values)}.")
    known = [item.name for item in fields(TrainSettings)]
    named = underscored(values, where)
    for name in named:
        if name not in known:
            raise UnknownName(f"training setting{where}", name, known)
    return named


_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
_Limit = tuple[str, Callable[[Any], bool]]
_ANYTHING: _Limit = ("anything", lambda value: True)  # noqa: ARG005
_TEXT: _Limit = (
    f"a name of at most {LONGEST_PLACE:,} characters",
    lambda text: bool(text.strip()) and len(text) <= LONGEST_PLACE,
)
_ABOVE_ZERO: _Limit = ("greater than 0", lambda number: 0 < number < float("inf"))
_NOT_NEGATIVE: _Limit = ("at least 0", lambda number: 0 <= number < float("inf"))
_DECAY: _Limit = ("in [0, 1)", lambda number: 0 <= number < 1)
_SHARE: _Limit = ("in [0, 1]", lambda number: 0 <= number <= 1)


def _whole(least: int, most: int) -> _Limit:
    return f"from {least:,} to {most:,}", lambda number: least <= number <= most


_LIMITS: Mapping[str, _Limit] = {
    "model": _TEXT,
    "pretrained": _TEXT,
    "epochs": _whole(1, MOST_EPOCHS),
    "pairs_per_epoch": _whole(1, 10**12),
    "batch_size": (
        "at least 2, for a contrast needs two pairs, and at most 2**24",
        lambda number: 2 <= number <= 2**24,
    ),
    "lr": _ABOVE_ZERO,
    "wd": _NOT_NEGATIVE,
    "beta1": _DECAY,
    "beta2": _DECAY,
    "eps": _ABOVE_ZERO,
    "warmup": _whole(0, 10**12),
    "grad_clip_norm": _ABOVE_ZERO,
    "crop_scale": ("in (0, 1]", lambda number: 0 < number <= 1),
    "crop_scale_max": ("in [1, 10]", lambda number: 1 <= number <= 10),
    "flip": _SHARE,
    "color_jitter": _SHARE,
    "grayscale": _SHARE,
    "blur": _SHARE,
    "eda": _DECAY,
    "workers": _whole(0, 4096),
    "decode_cache_gb": _NOT_NEGATIVE,
    "device": ("auto, cpu, cuda or cuda:N", lambda text: bool(_DEVICE.fullmatch(text))),
    "save_frequency": _whole(0, MOST_EPOCHS),
    "checkpoint_every_s": _NOT_NEGATIVE,
}


def parse_rate(value: str | float) -> tuple[float, str]:
    """Return a poison rate as a number and as its exact decimal text.

    Args:
        value: a fraction such as ``"1e-6"`` or ``0.01``, or a percentage such as ``"0.0001%"``.

    Returns:
        The rate in (0, 1], and the same number in plain decimals: ``"0.000001"``.

    Raises:
        BadSetting: it is no number, or not in (0, 1].
    """
    text = str(value).strip()
    percent = text.endswith("%")
    try:
        rate = Decimal(text[:-1].strip() if percent else text) / (100 if percent else 1)
    except InvalidOperation:
        raise BadSetting(
            f"The rate must be a number such as 0.01, 1e-6 or 1%. Got {brief(value)}."
        ) from None
    if not rate.is_finite() or not 0 < rate <= 1:
        meant = rate.is_finite() and 1 < rate <= 100 and not percent
        hint = f" Write {text}% for a percentage." if meant else ""
        raise BadSetting(
            f"The rate must be greater than 0 and at most 1. Got {brief(value)}.{hint}"
        )
    if rate < SMALLEST_RATE:
        raise BadSetting(f"The rate must be at least {SMALLEST_RATE}. Got {brief(value)}.")
    return float(rate), format(rate.normalize(), "f")
