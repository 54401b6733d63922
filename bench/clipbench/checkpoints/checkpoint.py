"""Training checkpoints: everything a killed run needs to end as if it had not been killed."""

from __future__ import annotations

from pathlib import Path

import torch

from clipbench.errors import BadSetting, CorruptData
from clipbench.system.durable import atomic_file, make_folder
from clipbench.tensors.files import NotTensors, read_tensors

FORMAT = 2  # raise it with every change of what a training run is taken up from


def save_checkpoint(path: Path, content: dict[str, object]) -> None:
    """Write a checkpoint; the one before is replaced when it is on the disk.

    Raises:
        ClipbenchError: the disk is full; the checkpoint before this one is left as it is.
    """
    make_folder(path.parent)
    with atomic_file(path) as file:
        torch.save({"format": FORMAT, **content}, file)


def load_checkpoint(path: Path, fingerprint: str) -> dict[str, object] | None:
    """Return a checkpoint's content, or None if there is none.

    Args:
        path: where `save_checkpoint` wrote it.
        fingerprint: of the training; a checkpoint of another training run is refused.

    Raises:
        CorruptData: the file is damaged, or no checkpoint.
        ClipbenchError: it can't be read now, which says nothing of what it holds.
        BadSetting: it belongs to another training run.
    """
    if not path.exists():
        return None
    try:
        content = read_tensors(path, own=True)
    except NotTensors as error:
        raise CorruptData(
            f"The checkpoint {path.resolve()} is damaged ({str(error).rstrip('.')})."
            " Delete it; the training then starts over."
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CorruptData(
            f"{path.resolve()} is no checkpoint of this version of clipbench."
            " Delete it; the training then starts over."
        )
    if content.get("fingerprint") != fingerprint:
        raise BadSetting(
            f"{path.resolve()} is the checkpoint of a training run with other settings."
            " Choose another --out, or delete it."
        )
    return content
