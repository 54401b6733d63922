"""Weights out of files of open_clip, of its training script and of clipbench."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from torch import Tensor

from clipbench.errors import CorruptData, MissingData
from clipbench.models.architectures import library
from clipbench.tensors.files import NotTensors, read_tensors

WEIGHTS_FILE = "open_clip_model.safetensors"
_DISTRIBUTED = "module."  # before the name of every weight of a model under DistributedDataParallel


def weights_file(path: Path) -> Path:
    """Return the file of weights that is meant by a file, or the folder of a run or of its model.

    Raises:
        MissingData: there is no such file.
    """
    if path.is_dir():
        inner = path / "model" / WEIGHTS_FILE
        path = inner if inner.is_file() else path / WEIGHTS_FILE
    if not path.is_file():
        raise MissingData(f"There is no checkpoint {path.resolve()}; {_advice(str(path))}")
    return path


def _advice(text: str) -> str:
    """Return what to do about a checkpoint that is not there; it may be a name of open_clip's."""
    if text.lower() not in {tag.lower() for _, tag in library().list_pretrained()}:
        return "check the path."
    return (
        f"{text!r} is a name by which open_clip downloads weights, and clipbench downloads nothing:"
        " save them to a file and give that (the guide says how, under Released weights)."
    )


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """Return the weights in a file of open_clip, or in one that training kept of an epoch.

    Raises:
        CorruptData: it is none, or holds objects whose code would run.
    """
    remedy = "Fetch it again; if a run wrote it, delete it and start the run again."
    try:
        state = read_tensors(path)
    except NotTensors as error:
        if error.objects:
            more = ", ..." if len(error.objects) > 3 else ""
            raise CorruptData(
                f"{path.resolve()} holds other things than weights"
                f" ({', '.join(sorted(error.objects)[:3])}{more}), whose code would"
                " run if they were read, so they are not. If you trust the file, read it with"
                " torch.load(FILE, weights_only=False), write its weights alone with"
                " torch.save({'state_dict': ...}, NEW), and give NEW."
            ) from error
        reason = str(error).rstrip(".")
        raise CorruptData(
            f"{path.resolve()} cannot be read as a checkpoint ({reason}). {remedy}"
        ) from error
    if isinstance(state, dict):
        inner = "model" if set(state) == {"format", "model"} else "state_dict"  # ours; open_clip's
        state = state.get(inner, state)
    if not isinstance(state, dict) or not all(isinstance(item, Tensor) for item in state.values()):
        raise CorruptData(f"{path.resolve()} holds other things than weights. {remedy}")
    return _bare(cast("Mapping[str, Tensor]", state))


def _bare(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights without what compiling and distributing a model put into their names."""
    plain = {re.sub(r"(^|\.)_orig_mod(?=\.)", "", key).lstrip("."): state[key] for key in state}
    if len(plain) < len(state):
        return dict(state)  # names that differ in this alone: no such model
    while plain and all(key.startswith(_DISTRIBUTED) for key in plain):
        plain = {key.removeprefix(_DISTRIBUTED): value for key, value in plain.items()}
    return plain
