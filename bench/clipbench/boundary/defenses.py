"""Calls into a defense: its phases, masks, losses and state are checked before they are used."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, SupportsFloat, SupportsIndex, TypeGuard

import numpy as np
import torch
from torch import Tensor

from clipbench.contracts import (
    Defense,
    EpochPairs,
    Features,
    Phase,
    Stage,
    StagedRun,
    StatelessRun,
    TrainingFacts,
)
from clipbench.errors import BadSetting, BrokenContract
from clipbench.plugins.faults import Call, kind_of
from clipbench.system.arithmetic import computing

_OWED = ("phases", "state_dict", "load_state_dict")
_PLAIN = (Tensor, str, bool, int, float, type(None))


def start(defense: Defense, facts: TrainingFacts) -> CheckedRun:
    """Return a defense at work in one training run.

    Raises:
        BrokenContract: what it returns is no defense at work, or has no phases.
    """
    call = Call("defense", defense, "start")
    with call:
        run: object = defense.start(facts)
    missing = [name for name in _OWED if not callable(getattr(run, name, None))]
    if run is None or isinstance(run, type) or missing:
        lacks = f", which lacks {', '.join(missing)}" if missing and run is not None else ""
        raise call.broken(
            f"it must return the defense at work, such as a StatelessRun. Got {kind_of(run)}"
            f"{lacks}."
        )
    if isinstance(run, StatelessRun) and type(run).phases is StatelessRun.phases:
        _refuse_without_phases(call, run)
    return CheckedRun(run, defense)


def _refuse_without_phases(call: Call, run: StatelessRun) -> None:
    if run.has_phases:
        return
    name = type(run).__name__
    own = [item for item in vars(type(run)) if callable(getattr(run, item))]
    near = get_close_matches("phases", own, n=1, cutoff=0.6)
    hint = f" Rename its {near[0]} to phases." if near else ""
    raise call.broken(
        f"{name} has no phases, so it would train nothing: define phases(self, epoch, pairs), or"
        f" give StatelessRun its phases.{hint}",
        getattr(type(run), near[0]) if near else None,
    )


class CheckedRun:
    """A defense at work whose answers are checked.

    Args:
        run: what its `start` returned.
        defense: the defense, for messages.
    """

    def __init__(self, run: Any, defense: Defense) -> None:
        self._run, self._defense = run, defense

    def stages(self, epochs: int) -> tuple[Stage, ...]:
        """Return the stages of the training; one of `epochs` where it names none.

        Raises:
            BrokenContract: they are no sequence of stages.
            BadSetting: see `clipbench.checkpoints.stages.stages_of`.
        """
        call = self._call("stages")
        with call:
            named: object = getattr(self._run, "stages", None)
        if named is not None and not (
            isinstance(named, Sequence) and all(isinstance(stage, Stage) for stage in named)
        ):
            raise call.broken(f"it must be a sequence of Stage. Got {kind_of(named)}.")
        with call:
            return stages_of(self._run, epochs)

    def phases(self, epoch: int, pairs: EpochPairs) -> list[Phase]:
        """Return the phases of an epoch; masks, losses and factors are checked ones.

        Raises:
            BrokenContract: one is no phase, or says what no phase can.
        """
        call = self._call("phases", f"epoch {epoch + 1}")
        with call, computing("fp32"):  # what is decided on a GPU, too
            given: object = self._run.phases(epoch, pairs)
            listed = list(given) if hasattr(given, "__iter__") else None
        if listed is None:
            hint = " Write yield for return." if isinstance(given, Phase) else ""
            raise call.broken(f"it must yield phases. Got {kind_of(given)}.{hint}")
        return [_checked(call, phase, len(pairs.numbers)) for phase in listed]

    def state_dict(self) -> dict[str, object]:
        """Return what the defense learned.

        Raises:
            BrokenContract: it holds what a checkpoint can't keep.
        """
        call = self._call("state_dict")
        with call:
            state: object = self._run.state_dict()
        if not isinstance(state, dict):
            raise call.broken(f"it must return a dict. Got {kind_of(state)}.")
        problem = _unkept(state, "state")
        if problem:
            raise call.broken(problem)
        return state

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Continue from what `state_dict` returned."""
        with self._call("load_state_dict"):
            self._run.load_state_dict(state)

    def trains_nothing(self, epochs: int) -> BrokenContract:
        """Return the error of a defense that trained on nothing in a whole training."""
        return self._call("phases").broken(
            f"none of its phases trains on any pair in any of {epochs} epochs, so there is no"
            " optimizer step and nothing to measure."
        )

    def differs(self, own: Sequence[str], first: Sequence[str]) -> BrokenContract:
        """Return the error of a defense that has other phases here than in the first process."""
        return self._call("phases").broken(
            f"its phases are {', '.join(own) or 'none'} in this process, but"
            f" {', '.join(first) or 'none'} in the first, for the same pairs: which phases there"
            " are must follow from the epoch and from facts alone."
        )

    def _call(self, method: str, where: str = "") -> Call:
        return Call("defense", self._defense, method, where, self._run)


def _checked(call: Call, phase: object, num_pairs: int) -> Phase:
    """Return a phase whose mask is a bool tensor and whose functions check what they return."""
    if not isinstance(phase, Phase):
        raise call.broken(f"it must yield Phase(name, loss). Got {kind_of(phase)}.")
    name = repr(phase.name)
    if not callable(phase.loss):
        raise call.broken(f"the loss of phase {name} must be a function. Got {phase.loss!r}.")
    if not isinstance(phase.views, int) or not 0 <= phase.detached_views < phase.views:
        raise call.broken(
            f"phase {name} must have more views than detached ones. Got views {phase.views!r},"
            f" detached_views {phase.detached_views!r}."
        )
    if not _is_finite(phase.lr_scale) or phase.lr_scale <= 0:
        raise call.broken(
            f"lr_scale of phase {name} must be a positive number. Got {phase.lr_scale!r}."
        )
    factor = phase.lr_factor
    return replace(
        phase,
        loss=CheckedLoss(call, phase.name, phase.loss),
        keep=_mask(call, name, phase.keep, num_pairs),
        lr_factor=None if factor is None else _CheckedFactor(call, phase.name, factor),
    )


def _mask(call: Call, name: str, keep: object, num_pairs: int) -> Tensor | None:
    """Return which pairs a phase keeps; a NumPy mask is taken as the tensor it could have been."""
    if keep is None:
        return None
    if isinstance(keep, np.ndarray) and keep.dtype == np.bool_:
        keep = torch.from_numpy(keep.copy())
    if not isinstance(keep, Tensor) or keep.dtype != torch.bool or keep.shape != (num_pairs,):
        raise call.broken(
            f"keep of phase {name} must be a bool tensor of shape ({num_pairs},), one value for"
            f" each pair of the epoch. Got {kind_of(keep)}."
        )
    return keep.detach().cpu()


class CheckedLoss:
    """A loss that is held to what it owes: a scalar tensor with a gradient.

    Args:
        call: the call its phase came from.
        name: of the phase.
        loss: the loss.
    """

    def __init__(self, call: Call, name: str, loss: Callable[[Features], Tensor]) -> None:
        where = f"{call.where}, phase {name!r}" if call.where else f"phase {name!r}"
        self._call, self._loss = replace(call, method="loss", where=where), loss

    def __call__(self, features: Features) -> Tensor:
        """Return the loss of a batch.

        Raises:
            BrokenContract: it is no scalar tensor, or has no gradient.
        """
        with self._call:
            loss: object = self._loss(features)
        if not isinstance(loss, Tensor) or loss.shape != () or not loss.is_floating_point():
            hint = " Take its mean." if isinstance(loss, Tensor) and loss.ndim else ""
            raise self._call.broken(
                f"it must return a scalar tensor, the mean loss of the batch. Got {kind_of(loss)}."
                f"{hint}",
                self._loss,
            )
        if not loss.requires_grad and torch.is_grad_enabled():
            raise self._call.broken(
                "it has no gradient, so the model would learn nothing: make it of features.image"
                " and features.text, without detach, item or NumPy.",
                self._loss,
            )
        return loss


class _CheckedFactor:
    def __init__(self, call: Call, name: str, factor: Callable[[int, int], float]) -> None:
        where = f"{call.where}, phase {name!r}" if call.where else f"phase {name!r}"
        self._call, self._factor = replace(call, method="lr_factor", where=where), factor

    def __call__(self, step: int, steps: int) -> float:
        with self._call:
            factor: object = self._factor(step, steps)
        if not _is_finite(factor) or factor < 0:
            raise self._call.broken(
                f"it must return a number of at least 0. Got {factor!r} in step {step + 1} of"
                f" {steps}.",
                self._factor,
            )
        return float(factor)


def _is_finite(value: object) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, (SupportsFloat, SupportsIndex)):
        return False
    try:
        return math.isfinite(value)
    except (TypeError, ValueError):  # such as a tensor of several numbers
        return False


def _unkept(value: object, where: str) -> str:
    """Return what of a state no checkpoint can keep; empty: it can keep all."""
    if isinstance(value, _PLAIN):
        return ""
    if isinstance(value, dict):
        items = ((f"{where}[{key!r}]", item) for key, item in value.items())
    elif isinstance(value, (list, tuple)):
        items = ((f"{where}[{number}]", item) for number, item in enumerate(value))
    else:
        return (
            f"{where} is {kind_of(value)}; a state holds tensors, numbers, texts, and lists and"
            " dicts of them. Of an array make a tensor: torch.from_numpy(array)."
        )
    return next(filter(None, (_unkept(item, name) for name, item in items)), "")


def stages_of(run: object, epochs: int) -> tuple[Stage, ...]:
    """Return the stages of a defense at work; one of `epochs` epochs where it names none.

    Raises:
        BadSetting: a stage has no epoch, a learning rate that is not positive, a negative warm-up
            or weight decay, or a batch of less than two pairs; or one that is not the first, or
            trains on trusted pairs, is `like` others.
    """
    stages = tuple(run.stages) if isinstance(run, StagedRun) else (Stage(epochs),)
    if not stages or any(stage.epochs < 1 or stage.lr_scale <= 0 for stage in stages):
        raise BadSetting("A defense needs stages of at least 1 epoch and a positive lr_scale each.")
    if any(stage.warmup is not None and stage.warmup < 0 for stage in stages):
        raise BadSetting("The warm-up of a stage must be at least 0 steps.")
    if any(stage.batch_size is not None and stage.batch_size < 2 for stage in stages):
        raise BadSetting("The batch of a stage must have at least 2 pairs.")
    if any(stage.wd is not None and not 0 <= stage.wd < float("inf") for stage in stages):
        raise BadSetting("The weight decay of a stage must be at least 0.")
    if any(stage.like is not None for stage in stages[1:]) or (
        stages[0].like and stages[0].trusted
    ):
        raise BadSetting("Only the first stage of a defense, and on the set, can be like others.")
    return stages
