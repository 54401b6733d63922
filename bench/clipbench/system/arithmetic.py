"""How torch multiplies float32 numbers: as they are, or rounded to TF32 where that is faster.

On NVIDIA GPUs since Ampere torch has two switches, one of matrix products and one of convolutions,
and by default the second is on and the first is off: float32 with 10 bits of mantissa in one place
and with 23 in another. What a training run is said to compute in is what it computes in, so both
are set wherever the bench computes, and left as they were found.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from clipbench.errors import BadSetting
from clipbench.system.processor import instructions, processor

_warned: list[bool] = []  # once in this process
_FIRST_WITH_TF32 = (8, 0)  # compute capability of Ampere
# What chooses other code in the libraries that torch computes with, and so may round differently.
_CHOOSING = (
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_DEBUG_CPU_TYPE",
    "MKL_ENABLE_INSTRUCTIONS",
    "NPY_DISABLE_CPU_FEATURES",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
)


@contextmanager
def computing(precision: str) -> Iterator[None]:
    """Have float32 products be what a precision says, and afterwards what they were.

    Args:
        precision: ``tf32``: rounded to TF32 on a GPU; any other: as they are.
    """
    if not _warned:
        _warned.append(True)
        # Some versions say, the first time, that there are newer switches. All versions have these,
        # and these are what `torch.compile` reads.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _set(*_switches())
    before = _switches()
    _set("highest", precision == "tf32")  # of processors, too
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        _set(*before)


def _switches() -> tuple[str, bool]:
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


def _set(products: str, convolutions: bool) -> None:
    torch.set_float32_matmul_precision(products)
    torch.backends.cudnn.allow_tf32 = convolutions


def refuse_without_tf32(precision: str, device: torch.device) -> None:
    """Refuse a precision that a device does not compute in, and would silently not round to.

    Raises:
        BadSetting: the precision is ``tf32``, and the device has none.
    """
    if precision != "tf32":
        return
    if device.type == "cuda" and torch.cuda.get_device_capability(device) >= _FIRST_WITH_TF32:
        return
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "a processor"
    raise BadSetting(
        f"precision is 'tf32', which NVIDIA's GPUs compute in since Ampere, and this is {name}."
        " Use --precision fp32."
    )


def of_device(device: torch.device) -> list[str]:
    """Return what decides the bits that a device computes, as far as that can be told.

    Two machines with equal answers compute equal bits, on as many threads; two with different ones
    may. Of processors the name alone does not do: those of one name have other instructions under
    other hypervisors, and a build of torch brings other libraries.
    """
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        name, sizes = properties.name, f"{properties.major}.{properties.minor}"
        cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        return [name, sizes, str(torch.version.cuda), str(cudnn)]
    chosen = [f"{name}={os.environ[name]}" for name in _CHOOSING if name in os.environ]
    build = hashlib.sha256(torch.__config__.show().encode()).hexdigest()
    return [processor(), instructions(), build, *chosen]
