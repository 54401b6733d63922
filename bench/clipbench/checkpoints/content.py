"""What a checkpoint holds, as objects: of what was trained, and of an epoch that was stopped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct
from torch import Tensor

from clipbench.errors import CorruptData


class FirstStage(Struct, frozen=True):
    """What has been trained; all that defenses with the same first stage share of it.

    Args:
        model: the model's weights.
        state: where the training stands, as `clipbench.training.state.State` writes it.
        exposures: ``(num_pairs,)`` how often each pair reached a loss that ties image to caption.
    """

    model: dict[str, Tensor]
    state: str
    exposures: Tensor


class Checkpoint(FirstStage, frozen=True):
    """All that a training goes on from.

    Args:
        optimizer: the optimizer's state.
        reference: the weights that the stage began with, where a phase needs them.
        defense: the defense's state in the middle of an epoch; None: no epoch was begun.
        defense_at_epoch_start: the defense's state before it was asked for the epoch's phases.
        scores: what the defense asked for in this epoch, by name, ``(N,)`` each.
        passed: ``(num_pairs,)`` similarities that steps of this epoch computed, NaN where none did.
        computed: what identifies how all so far was computed, see `SharedStages`; empty: not known,
            or in several ways.
        code: what identifies the code by which the last of it was computed, see `SharedStages`.
    """

    optimizer: dict[str, object]
    reference: dict[str, Tensor] | None
    defense: dict[str, object] | None
    defense_at_epoch_start: dict[str, object]
    scores: dict[str, Tensor] | None
    passed: Tensor | None
    computed: str = ""
    code: str = ""


Content = TypeVar("Content", bound=FirstStage)


def content_as(cls: type[Content], content: Mapping[str, object], path: Path) -> Content:
    """Return what a checkpoint holds, once it has been read.

    Args:
        cls: what it is.
        content: of the file.
        path: the file, for the message.

    Raises:
        CorruptData: something is missing, or is not what it must be.
    """
    try:
        return msgspec.convert(content, cls)
    except msgspec.ValidationError as error:
        raise CorruptData(
            f"The checkpoint {path.resolve()} is damaged ({error})."
            " Delete it; the training then starts over."
        ) from error
