"""What a defense decides about an epoch: decided by the first process, and handed to the others.

Each process plans for itself, for the losses of its phases are its own functions. What they plan
from is equal to the bit, what they make of it need not be: a mixture that is fitted on another
processor, or by another number of threads, may put one pair elsewhere. Then processes would train
on other pairs, or wait for batches that others do not have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import torch
from msgspec import Struct, structs
from torch import Tensor

from clipbench.boundary.defenses import CheckedRun
from clipbench.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from clipbench.contracts import Phase
from clipbench.errors import BadSetting, CorruptData
from clipbench.parallel.group import Processes
from clipbench.system.durable import scratch_folder


class _Plain(Struct, frozen=True):
    """Fields of a phase that are plain values."""

    name: str
    lr_scale: float
    views: int
    detached_views: int
    augment: bool
    cross_modal: bool
    reference: bool
    scores: bool


class _Said(Struct, frozen=True):
    """What a phase says, beside its mask and its loss.

    Args:
        plain: its fields that are plain values.
        num_pairs: pairs that its mask is of; None: it has no mask.
        factors: its factor of the learning rate at each step; None: it has none.
    """

    plain: _Plain
    num_pairs: int | None
    factors: list[float] | None


def phases_of_first(
    own: Sequence[Phase], run: CheckedRun, steps: Callable[[Phase], int], processes: Processes
) -> list[Phase]:
    """Return the first process's phases with this one's losses.

    Args:
        own: this process's phases.
        run: the defense at work, for messages.
        steps: how many steps a phase has; its factors of the learning rate are handed on, too.
        processes: this process among all.

    Raises:
        BrokenContract: the first process has other phases than this one.
    """
    if processes.line is None:
        return list(own)
    mine = [_said(phase, steps) for phase in own] if processes.is_first else []
    told = msgspec.convert(processes.told(msgspec.to_builtins(mine)), list[_Said])
    masks = [np.packbits(phase.keep.numpy()) for phase in own if phase.keep is not None]
    bits = processes.handed(np.concatenate([np.zeros(0, np.uint8), *masks]).tobytes())
    if processes.is_first:
        return list(own)
    names = [said.plain.name for said in told]
    if names != [phase.name for phase in own]:
        raise run.differs([phase.name for phase in own], names)
    packed, found = np.frombuffer(bits, np.uint8), []
    for phase, said in zip(own, told, strict=True):
        count, keep = said.num_pairs, None
        if count is not None:
            keep = torch.from_numpy(np.unpackbits(packed, count=count).astype(bool))
            packed = packed[-(-count // 8) :]
        plain, factor = structs.asdict(said.plain), _factor(said.factors)
        found.append(replace(phase, **plain, keep=keep, lr_factor=factor))
    return found


def _said(phase: Phase, steps: Callable[[Phase], int]) -> _Said:
    keep, factor = phase.keep, phase.lr_factor
    count = 0 if factor is None else steps(phase)
    return _Said(
        plain=_Plain(
            name=phase.name,
            lr_scale=float(phase.lr_scale),
            views=phase.views,
            detached_views=phase.detached_views,
            augment=bool(phase.augment),
            cross_modal=bool(phase.cross_modal),
            reference=bool(phase.reference),
            scores=bool(phase.scores),
        ),
        num_pairs=None if keep is None else len(keep),
        factors=None if factor is None else [factor(step, count) for step in range(count)],
    )


def _factor(told: Sequence[float] | None) -> Callable[[int, int], float] | None:
    return None if told is None else lambda step, _: told[step]


def state_of_first(run: CheckedRun, processes: Processes) -> None:
    """Give the defense of this process what that of the first has learned, if that is another."""
    if processes.line is None:
        return
    state = run.state_dict()
    own = _digest(state)
    if processes.any_of(processes.told(own) != own):
        found = content_of_first({"state": own, "defense": state}, None, "defense", processes)
        assert found is not None
        defense = found["defense"]
        assert isinstance(defense, dict)
        run.load_state_dict(defense)


def _digest(value: object) -> str:
    """Return a hash of a state of tensors, numbers, texts, lists and dicts."""
    hashed = hashlib.sha256()

    def add(item: object) -> None:
        if isinstance(item, Tensor):
            whole = item.detach().cpu().contiguous()
            hashed.update(f"{whole.dtype}{tuple(whole.shape)}".encode())
            hashed.update(whole.view(-1).view(torch.uint8).numpy().data)
        elif isinstance(item, dict):
            for key, part in item.items():
                add(key)
                add(part)
        elif isinstance(item, (list, tuple)):
            hashed.update(f"{len(item)}".encode())
            for part in item:
                add(part)
        else:
            hashed.update(repr(item).encode())

    add(value)
    return hashed.hexdigest()


def content_of_first(
    content: dict[str, object] | None, path: Path | None, fingerprint: str, processes: Processes
) -> dict[str, object] | None:
    """Return the first process's checkpoint in all of them, whoever sees its file.

    Args:
        content: of the first process: its checkpoint; None: it has none.
        path: where the others look for the same file; None: nowhere.
        fingerprint: of the training.
        processes: this process among all.
    """
    told = processes.told(None if content is None else content["state"])
    if told is None or processes.line is None:
        return content
    if not processes.is_first:
        content = None if path is None else _seen(path, fingerprint)
        if content is not None and content["state"] != told:  # left by another start
            content = None
    if not processes.any_of(content is None):
        return content
    with scratch_folder("handed") as folder:
        file = folder / "content.pt"
        if processes.is_first:
            assert content is not None
            save_checkpoint(file, {**content, "fingerprint": fingerprint})
        data = processes.handed(file.read_bytes() if processes.is_first else b"")
        if content is None:
            file.write_bytes(data)
            content = load_checkpoint(file, fingerprint)
    return content


def _seen(path: Path, fingerprint: str) -> dict[str, object] | None:
    try:
        return load_checkpoint(path, fingerprint)
    except (BadSetting, CorruptData):  # left on this machine by another training run
        return None
