"""What a pickle of tensors may call: functions of this file, whatever their names are elsewhere."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

_MOST_DIMENSIONS = 64
_KEYS = (str, int, float, bool, bytes, type(None))  # deep tuples overflow the stack when hashed


class Machine(Protocol):
    """What reads a pickle, as far as these functions need it."""

    def tensor(
        self, stored: object, offset: object, size: object, stride: object, dtype: object = None, /
    ) -> Tensor:
        """Return a tensor of stored elements."""


def key_of(value: object) -> object:
    """Return what may be a key of a dict.

    Raises:
        TypeError: it is none of the plain kinds.
    """
    if not isinstance(value, _KEYS):
        raise TypeError(f"a {type(value).__name__} is a key")
    return value


def naturals(values: Any) -> tuple[int, ...]:
    """Return sizes or strides, of which products are no surprise."""
    given = list(values)
    if len(given) > _MOST_DIMENSIONS:
        raise ValueError("a tensor has too many dimensions")
    numbers = [value for value in given if type(value) is int and 0 <= value < 1 << 48]
    if len(numbers) != len(given):
        raise ValueError("the size of a tensor is no number")
    return tuple(numbers)


class Call(NamedTuple):
    """What a pickle may call: a function of this file, whatever its name is elsewhere."""

    function: Callable[..., Any]


def _rebuilt(
    machine: Machine, stored: object, offset: object, size: object, stride: object, *_: object
) -> object:
    return machine.tensor(stored, offset, size, stride)


def _rebuilt_as(
    machine: Machine,
    stored: object,
    offset: object,
    size: object,
    stride: object,
    requires_grad: object,  # noqa: ARG001
    hooks: object,  # noqa: ARG001
    dtype: object,
    *_: object,
) -> object:
    if not isinstance(dtype, torch.dtype):
        raise TypeError("a tensor has no type")
    return machine.tensor(stored, offset, size, stride, dtype)


def _parameter(_: Machine, data: object, *__: object) -> object:
    return data


def _of_type(
    machine: Machine, function: object, _: object, arguments: object, *__: object
) -> object:
    if not isinstance(function, Call) or type(arguments) is not tuple:
        raise TypeError("it calls what can't be called")
    if function.function is _of_type:
        raise TypeError("a type within a type")
    return function.function(machine, *arguments)


def _table(_: Machine, *items: Any) -> object:
    found: OrderedDict[object, object] = OrderedDict()
    for pair in items[0] if items else ():
        key, value = pair
        found[key_of(key)] = value
    return found


def _counter(_: Machine, *items: object) -> object:
    if items and type(items[0]) is not dict:
        raise TypeError("a counter counts nothing")
    return items[0] if items else {}


def _size(_: Machine, values: object = ()) -> object:
    return torch.Size(naturals(values))


def _device(_: Machine, kind: str, number: int | None = None) -> object:
    if type(kind) is not str or not (number is None or type(number) is int):
        raise TypeError("a device is no text")
    return torch.device(kind if number is None else f"{kind}:{number}")


def _set(_: Machine, values: Any = ()) -> object:
    return {key_of(value) for value in values}


def _encoded(_: Machine, text: object, encoding: object = "latin1") -> object:
    if type(text) is not str or encoding not in {"latin1", "latin-1"}:
        raise TypeError("bytes are no Latin-1")
    return text.encode("latin-1")


def _bytes(_: Machine, content: object = b"", encoding: object = None) -> object:
    if encoding is not None:
        content = _encoded(_, content, encoding)
    if type(content) is not bytes:  # a number would be so many zeros
        raise TypeError("bytes are something else")
    return bytearray(content)


def _complex(_: Machine, real: Any, imaginary: Any = 0.0) -> object:
    return complex(float(real), float(imaginary))


def _first(_: Machine, value: object, *__: object) -> object:
    return value


_BUILT_IN: Mapping[str, Callable[..., object]] = {
    "set": _set,
    "bytearray": _bytes,
    "complex": _complex,
}
CALLS: Mapping[str, object] = {
    "torch._utils._rebuild_tensor": Call(_rebuilt),
    "torch._utils._rebuild_tensor_v2": Call(_rebuilt),
    "torch._utils._rebuild_tensor_v3": Call(_rebuilt_as),
    "torch._utils._rebuild_parameter": Call(_parameter),
    "torch._utils._rebuild_parameter_with_state": Call(_parameter),
    "torch._tensor._rebuild_from_type_v2": Call(_of_type),
    "torch.nn.parameter.Parameter": Call(_parameter),
    "torch.Tensor": Call(_parameter),
    "torch.Size": Call(_size),
    "torch.device": Call(_device),
    "collections.OrderedDict": Call(_table),
    "collections.Counter": Call(_counter),
    "_codecs.encode": Call(_encoded),
    **{
        f"{module}.{name}": Call(function)
        for module in ("builtins", "__builtin__")
        for name, function in _BUILT_IN.items()
    },
}
SCRIPTED_CALLS: Mapping[str, object] = {
    f"torch.jit._pickle.{name}": Call(_first)
    for name in (
        "build_boollist",
        "build_doublelist",
        "build_intlist",
        "build_tensorlist",
        "restore_type_tag",
    )
}
