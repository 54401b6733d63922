"""Training settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from clipbench.errors import BadSetting, UnknownName
from clipbench.parameters.amounts import LONGEST_PLACE, MOST_EPOCHS
from clipbench.parameters.limits import Ge, Gt, Le, Lt, Matches, check_fields
from clipbench.parameters.values import brief, underscored
from clipbench.text.locations import Model, Weights, Word
from clipbench.text.words import counted

Settled = Literal["fp32", "tf32", "bf16"]
Precision = Literal["auto", "fp32", "tf32", "bf16"]
LrSchedule = Literal["cosine_after_warmup", "cosine", "constant"]
CropFrom = Literal["auto", "original", "square"]

_NAME = Matches(
    rf"(?=.*\S).{{1,{LONGEST_PLACE}}}", f"a name of at most {LONGEST_PLACE:,} characters"
)
_DEVICE = Matches(r"auto|cpu|cuda(:\d+)?", "auto, cpu, cuda or cuda:N")


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
        crop_scale: smallest area share of random resized crops.
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
        eda: share of words that text augmentation (EDA) changes; 0: none.
        workers: threads that make batches ahead; none: one a processor where images are decoded
            for each batch, else 0. Results do not depend on it.
        decode_cache_gb: largest size of the squares that are decoded once and kept in the cache, in
            GB of 1e9 bytes; larger sets are decoded for each batch. Results do not depend on it.
        device: where to train.
        save_frequency: keep the weights every so many epochs; 0: only the last.
        checkpoint_every_s: seconds between checkpoints for resuming.
        tensorboard: whether to write TensorBoard logs.
    """

    model: Annotated[Model, _NAME] = "RN50"
    pretrained: Annotated[Weights, _NAME] | None = None
    epochs: Annotated[int, Ge(1), Le(MOST_EPOCHS)] = 32
    pairs_per_epoch: Annotated[int, Ge(1), Le(10**12)] | None = None
    batch_size: Annotated[int, Ge(2), Le(2**24)] = 128  # one pair has nothing to contrast
    lr: Annotated[float, Gt(0)] = 5e-4
    wd: Annotated[float, Ge(0)] = 0.1
    beta1: Annotated[float, Ge(0), Lt(1)] = 0.9
    beta2: Annotated[float, Ge(0), Lt(1)] = 0.999
    eps: Annotated[float, Gt(0)] = 1e-8
    warmup: Annotated[int, Ge(0), Le(10**12)] = 10_000
    grad_clip_norm: Annotated[float, Gt(0)] | None = None
    precision: Precision = "auto"
    compile: bool = False
    lr_schedule: LrSchedule = "cosine_after_warmup"
    crop_scale: Annotated[float, Gt(0), Le(1)] = 0.08
    crop_scale_max: Annotated[float, Ge(1), Le(10)] = 1.0
    crop_from: CropFrom = "auto"
    flip: Annotated[float, Ge(0), Le(1)] = 0.5
    color_jitter: Annotated[float, Ge(0), Le(1)] = 0.5
    grayscale: Annotated[float, Ge(0), Le(1)] = 0.2
    blur: Annotated[float, Ge(0), Le(1)] = 1.0
    eda: Annotated[float, Ge(0), Lt(1)] = 0.1
    workers: Annotated[int, Ge(0), Le(4096)] | None = None
    decode_cache_gb: Annotated[float, Ge(0)] = 8.0
    device: Annotated[Word, _DEVICE] = "auto"
    save_frequency: Annotated[int, Ge(0), Le(MOST_EPOCHS)] = 0
    checkpoint_every_s: Annotated[float, Ge(0)] = 300.0
    tensorboard: bool = False

    def epoch_size(self, num_pairs: int) -> int:
        """Return how many pairs of a set of `num_pairs` one epoch has."""
        return min(self.pairs_per_epoch or num_pairs, num_pairs)

    def warmup_note(self, num_pairs: int) -> str:
        """Say that a warm-up is too long for a set; nothing if it ends before the training.

        A recipe made for millions of pairs teaches nothing with a few thousand.
        """
        steps = self.epochs * -(-self.epoch_size(num_pairs) // self.batch_size)
        if self.warmup < steps:
            return ""
        return (
            f"the learning rate warms up for {counted(self.warmup, 'step')}, but training has about"
            f" {steps:,}: the model hardly learns; lower --warmup (to {steps // 10}, say) or raise"
            " --epochs"
        )

    def __post_init__(self) -> None:
        check_fields(self, "train")

    @classmethod
    def from_mapping(cls, values: Mapping[str, object]) -> TrainSettings:
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
