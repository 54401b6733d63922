"""What number format `auto` stands for, decided before anything is computed.

Two formats give two models, and so two runs: which one it is belongs to what a run is known by. So
`auto` is settled when a run is planned, by what the machine is, and stands in no configuration.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from clipbench.configuration.settings import Precision, Settled
from clipbench.errors import BadSetting

# What a Linux machine with a GPU for torch has at least one of: NVIDIA's driver, the same under
# Windows' Linux, AMD's.
_DRIVERS = ("/dev/nvidiactl", "/proc/driver/nvidia", "/dev/dxg", "/dev/kfd")


def settled(precision: Precision, device: str) -> Settled:
    """Return the number format of the forward pass that a precision stands for here.

    ``auto`` is bf16 on a GPU that computes in it, and fp32 elsewhere: processors with bf16 matrix
    units gain less than their results lose in comparability with those of all other processors.

    Args:
        precision: as it was asked for.
        device: where to train: auto, cpu, cuda or cuda:N.

    Raises:
        BadSetting: it is of GPUs alone, and a processor is to train.
    """
    if precision == "tf32" and device == "cpu":
        raise BadSetting(
            "precision is 'tf32', which GPUs compute in and processors do not."
            " Use --precision fp32."
        )
    if precision != "auto":
        return precision
    if not device.startswith(("auto", "cuda")) or not _may_have_gpu():
        return "fp32"
    import torch  # noqa: PLC0415 - heavy, and not needed where there is no driver

    if not torch.cuda.is_available():
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"


def _may_have_gpu(exists: Callable[[str], bool] = lambda path: Path(path).exists()) -> bool:
    """Tell, without loading torch, whether it might find a GPU; False is certain."""
    if "torch" in sys.modules or not sys.platform.startswith("linux"):
        return sys.platform != "darwin"
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    return any(map(exists, _DRIVERS))
