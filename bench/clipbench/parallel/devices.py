"""Which device a process computes on, and how many processes were started."""

from __future__ import annotations

import os
from typing import TypeVar

import torch

from clipbench.errors import BadSetting
from clipbench.text.words import listed

Result = TypeVar("Result")


def pick_device(name: str) -> torch.device:
    """Return the device called `name`; ``auto`` is the GPU where there is one.

    Where several processes train, the GPU is that of this one among those of its machine.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BadSetting(f"device must be auto, cpu, cuda or cuda:N. Got {name!r}.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise BadSetting("device is 'cuda' but torch sees no GPU here. Use --device cpu.")
    if device.type == "cuda" and num_processes() > 1:  # each its own, whichever was named
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        if device.index >= torch.cuda.device_count():
            raise BadSetting(
                f"Process {device.index} of this machine has no GPU: torch sees"
                f" {torch.cuda.device_count()}. Start as many processes, or use --device cpu."
            )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BadSetting(
            f"device is {name!r} but torch sees {torch.cuda.device_count()} GPUs, numbered from 0."
        )
    if device.type not in ("cpu", "cuda"):
        raise BadSetting(f"device must be auto, cpu, cuda or cuda:N. Got {name!r}.")
    return device


def num_processes() -> int:
    """Return how many processes train together, as torchrun says.

    Raises:
        BadSetting: a part of what torchrun says is missing, as where a variable was left over.
    """
    text = os.environ.get("WORLD_SIZE", "1")
    if not text.isdigit() or int(text) < 1:
        raise BadSetting(f"WORLD_SIZE must be a number of processes. Got {text!r}; unset it.")
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if int(text) > 1 and missing:
        raise BadSetting(
            f"WORLD_SIZE is {text}, but {listed(missing)} not set: start the processes with"
            " torchrun, or unset WORLD_SIZE to train with one."
        )
    return int(text)
