"""A GPU that is none: tensors said to be on ``cuda:0``, computed by the processor.

torch's fake tensors compute nothing, and without a GPU nothing can be differentiated on them. Here
a whole training runs, backward passes included, with the processor's numbers: every call of torch
is looked at on its way, a mixture of devices is refused as CUDA refuses it, and what would make the
program wait for a GPU is counted.

A tensor is on the pretended GPU when its storage is marked, so a view is where its base is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend
from torch.overrides import TorchFunctionMode, resolve_name

from clipbench.training import encoder

DEVICE = torch.device("cuda:0")
# What needs a value of the GPU before the program can go on.
READS = {"item", "tolist", "__bool__", "__float__", "__int__", "__index__", "__format__"}
READS |= {"nonzero", "equal", "allclose", "masked_select", "unique", "__repr__"}
# What may be given tensors of two devices.
MIXES = {"copy_", "__getitem__", "__setitem__", "__set__", "to", "type_as"}
MIXES |= {"_has_compatible_shallow_copy_type"}
# What makes tensors of numbers that the program holds.
MADE = {"tensor", "as_tensor", "new_tensor"}


class PretendedGpu(TorchFunctionMode):
    """Marks tensors, refuses mixtures, and counts in `waits` by name what waits for the GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of torch as if there were a GPU."""
        del types
        name = getattr(func, "__name__", "")
        if name == "__get__":
            return self._attribute(func, args)
        given = _tensors((args, kwargs or {}))
        here = [tensor for tensor in given if _is_marked(tensor)]
        away = [tensor for tensor in given if tensor.ndim and not _is_marked(tensor)]
        if here and away and name not in MIXES:
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices,"
                f" cuda:0 and cpu! ({resolve_name(func) or name})"
            )
        if name == "numpy" and here:
            raise TypeError("can't convert cuda:0 device type tensor to numpy.")
        device, args, kwargs = _asked(name, args, dict(kwargs or {}))
        on_gpu = bool(here) if device is None else device.type == "cuda"
        if self._waits(name, args, kwargs, bool(here), on_gpu, bool(given)):
            self.waits[name] += 1
        found = func(*args, **kwargs)
        if name in {"to", "cuda", "cpu"} and bool(here) != on_gpu:
            found = found.clone(memory_format=torch.preserve_format)
        if name == "copy_":
            return found
        if on_gpu:
            _mark(found)
        return found

    def _attribute(self, func: Any, args: Any) -> Any:
        """Return an attribute of a tensor; a gradient is where its tensor is."""
        found, name = func(*args), getattr(func.__self__, "__name__", "")
        if not _is_marked(args[0]):
            return found
        if name == "device":
            return DEVICE
        if name == "is_cuda":
            return True
        _mark(found)
        return found

    @staticmethod
    def _waits(
        name: str, args: Any, kwargs: dict[str, Any], from_gpu: bool, to_gpu: bool, tensors: bool
    ) -> bool:
        """Tell whether the program would wait until the GPU has done all it was asked to."""
        if name in READS:
            return from_gpu
        if name in MADE:
            return to_gpu
        if name in {"__getitem__", "__setitem__"} and _is_marked(args[0]):
            return _index_waits(args[1])
        if name == "copy_":
            apart = _is_marked(args[0]) != _is_marked(args[1])
            return apart and not kwargs.get("non_blocking", False)
        apart = tensors and from_gpu != to_gpu
        return name in {"to", "cuda", "cpu"} and apart and not kwargs.get("non_blocking", False)


@contextmanager
def pretended_gpu() -> Iterator[PretendedGpu]:
    """Pretend that there is a GPU, in this thread alone."""
    autocast = torch.autocast

    def on_cpu(device_type: str, *rest: Any, **more: Any) -> Any:
        return autocast("cpu" if device_type == "cuda" else device_type, *rest, **more)

    with (
        mock.patch.object(torch, "autocast", on_cpu),
        mock.patch.object(torch.Tensor, "pin_memory", lambda tensor: tensor),
        mock.patch.object(torch.cuda, "get_device_name", return_value="pretended"),
        mock.patch.object(encoder, "GPU_ATTENTION", (SDPBackend.MATH,)),  # the bits of a CPU's
        PretendedGpu() as gpu,
    ):
        yield gpu


def _index_waits(index: Any) -> bool:
    """Whether an index is to be brought to the GPU first, or its length to be asked for."""
    for part in index if isinstance(index, tuple) else (index,):
        if isinstance(part, Tensor):
            if part.dtype == torch.bool or (part.ndim and not _is_marked(part)):
                return True
        elif hasattr(part, "__len__"):
            return True
    return False


def _asked(name: str, args: Any, kwargs: dict[str, Any]) -> tuple[torch.device | None, Any, Any]:
    """Return the device that a call asks for, and its arguments without it."""
    if name in {"cpu", "cuda"}:
        return torch.device(name), args[:1], {}
    wanted = kwargs.pop("device", None)
    if name == "to" and len(args) > 1 and isinstance(args[1], (str, torch.device, type(None))):
        wanted = args[1]
        kwargs |= dict(zip(("dtype", "non_blocking", "copy"), args[2:], strict=False))
        args = args[:1]
    if name == "to" and len(args) == 1:
        kwargs["dtype"] = kwargs.get("dtype") or args[0].dtype
    return (None if wanted is None else torch.device(wanted)), args, kwargs


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, (tuple, list)):
        return []
    found = []
    for item in value:
        if isinstance(item, Tensor):
            found.append(item)
        elif isinstance(item, (tuple, list, dict)):
            found += _tensors(item)
    return found


def _is_marked(tensor: Any) -> bool:
    return isinstance(tensor, Tensor) and hasattr(tensor.untyped_storage(), "pretended")


def _mark(value: Any) -> None:
    for tensor in _tensors(value):
        tensor.untyped_storage().pretended = True  # type: ignore[attr-defined]
