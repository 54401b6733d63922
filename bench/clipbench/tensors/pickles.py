"""Read the pickles in which PyTorch keeps tensors, without Python's unpickler or PyTorch's.

A pickle is a program for a small machine, and most of what goes wrong with pickles is that machine
calling what they name. PyTorch's restricted unpickler has itself been talked into running code
(CVE-2025-32434, before 2.6) and into writing where it must not (CVE-2026-24747, before 2.10), and
clipbench takes versions from 2.5. So here is a machine that can do nothing but put together
numbers, texts, lists, tuples, dicts and tensors: it looks nothing up, imports nothing and calls
nothing that is not named in this file and in `clipbench.tensors.callable`.
"""

from __future__ import annotations

import math
import pickletools
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, NamedTuple

import torch
from torch import Tensor

from clipbench.files.foreign import nothing_collected
from clipbench.tensors.callable import CALLS, SCRIPTED_CALLS, Call, key_of, naturals

MOST_BYTES = 1 << 24  # of one pickle of a stranger's: structure, for tensors lie beside it
_BYTES_A_STEP = 32  # on average; of a tensor they are fewer, of its names more
_MOST_STEPS = 1 << 19
_MOST_TENSORS = 1 << 18
_SMALL = 1 << 20  # elements that a tensor may repeat, with strides of zero, beyond those stored
_DTYPES = {name: value for name, value in vars(torch).items() if isinstance(value, torch.dtype)}
_STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}


class Foreign(ValueError):
    """A pickle names things that are no part of tensors; their code would run in an unpickler.

    Args:
        names: ``module.name`` of each, in order.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"it names {', '.join(names[:3])}")
        self.names = tuple(names)


class Stored(NamedTuple):
    """A tensor's elements, one after another.

    Args:
        elements: ``(N,)`` uint8, the bytes.
        dtype: what they are.
    """

    elements: Tensor
    dtype: torch.dtype


class Module:
    """An object of TorchScript, whose class is known by nothing but its name; it does nothing."""

    def __init__(self) -> None:
        self.attributes: dict[object, object] = {}


class _Storage(NamedTuple):
    """The type of a storage, as pickles name it."""

    dtype: torch.dtype


class _Scripted(NamedTuple):
    """A class of TorchScript, as pickles name it."""

    name: str


# What gives the storage that a pickle refers to: of its key, type and number of elements.
Storages = Callable[[str, torch.dtype, int], Stored]


class _Mark:
    """Where the items of a list begin on the stack."""


_MARK = _Mark()


class _Source:
    """A file of which no more than so many bytes are read as a pickle."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self._file, self._left = file, most

    def read(self, size: int) -> bytes:
        if size > self._left:
            raise ValueError("it is cut off, or larger than what holds tensors is")
        self._left -= size
        return self._file.read(size)

    def readline(self) -> bytes:
        line = self._file.readline(min(self._left, 1 << 16))
        self._left -= len(line)
        return line


class TensorPickle:
    """A machine that reads pickles of tensors.

    Args:
        storages: gives the elements of tensors.
        scripted: whether classes of TorchScript may be named, of which `Module` takes the place.
        most: bytes of a pickle.
    """

    def __init__(
        self, storages: Storages, *, scripted: bool = False, most: int = MOST_BYTES
    ) -> None:
        self._storages, self._scripted, self._most = storages, scripted, most
        self._stack: list[object] = []
        self._memo: dict[int, object] = {}
        self._foreign: list[str] = []
        self._tensors = 0

    def read(self, file: IO[bytes]) -> object:
        """Return the value of the pickle at which a file stands; the file then stands behind it.

        Raises:
            Foreign: it names something else than parts of tensors.
            ValueError, LookupError, TypeError: it is no pickle, or no sound one.
        """
        self._stack, self._memo = [], {}
        with nothing_collected():
            return self._run(file)

    def _run(self, file: IO[bytes]) -> object:
        steps = pickletools.genops(_Source(file, self._most))  # type: ignore[arg-type]
        for number, (opcode, argument, _) in enumerate(steps):
            if opcode.name == "STOP":
                break
            if number > max(_MOST_STEPS, self._most // _BYTES_A_STEP):
                raise ValueError("it has more parts than what holds tensors has")
            if self._foreign:  # the rest is read for further names alone
                if opcode.name == "GLOBAL":
                    self._named(*str(argument).split(" ", 1))
                continue
            step = _STEPS.get(opcode.name)
            if step is None:
                raise ValueError(f"its opcode {opcode.name} is of no use for tensors")
            step(self, argument)
        if self._foreign:
            raise Foreign(self._foreign)
        (value,) = self._stack
        return value

    # ----------------------------------------------------------------- the stack

    def push(self, value: object) -> None:
        """Put a value on the stack."""
        self._stack.append(value)

    def pop(self) -> Any:
        """Take the value on top."""
        value = self._stack.pop()
        if value is _MARK:
            raise ValueError("its stack is out of order")
        return value

    def popped(self, count: int) -> tuple[object, ...]:
        """Take so many values, the top one last."""
        return tuple([self.pop() for _ in range(count)][::-1])

    def since_mark(self) -> list[object]:
        """Take what lies above the last mark, and the mark."""
        items: list[object] = []
        while (value := self._stack.pop()) is not _MARK:
            items.append(value)
        return items[::-1]

    def top(self) -> Any:
        """Return the value on top."""
        if self._stack[-1] is _MARK:
            raise ValueError("its stack is out of order")
        return self._stack[-1]

    def remember(self, number: Any = None) -> None:
        """Keep the value on top under a number, by default the next."""
        self._memo[len(self._memo) if number is None else int(number)] = self.top()

    def recall(self, number: Any) -> None:
        """Put what was kept under a number on the stack."""
        self.push(self._memo[int(number)])

    # ----------------------------------------------------------------- values

    def extend(self, items: Sequence[object]) -> None:
        """Put items into the list or set on top."""
        target = self.top()
        if type(target) is list:
            target.extend(items)
        elif type(target) is set:
            target.update(map(key_of, items))
        else:
            raise TypeError(f"items are put into a {type(target).__name__}")

    def fill(self, items: Sequence[object]) -> None:
        """Put keys and values, by turns, into the dict on the stack."""
        target = self.top()
        if type(target) not in {dict, OrderedDict} or len(items) % 2:
            raise TypeError(f"items are put into a {type(target).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[key_of(key)] = value

    def named(self, module: object, name: object) -> None:
        """Put on the stack what a pickle names, if that is a part of tensors."""
        if type(module) is not str or type(name) is not str:
            raise TypeError("a name is no text")
        self.push(self._named(module, name))

    def _named(self, module: str, name: str) -> object:
        whole = f"{module}.{name}"
        if module in {"torch", "torch.storage"} and name in _STORAGES:
            return _Storage(_STORAGES[name])
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if whole in CALLS:
            return CALLS[whole]
        if self._scripted and (whole in SCRIPTED_CALLS or module.startswith("__torch__")):
            return SCRIPTED_CALLS.get(whole, _Scripted(whole))
        if whole not in self._foreign:
            self._foreign.append(whole)
        return None

    def call(self) -> None:
        """Call what a pickle may call, with the tuple on top."""
        called, arguments = self.popped(2)
        if not isinstance(called, Call) or type(arguments) is not tuple:
            raise TypeError("it calls what can't be called")
        self.push(called.function(self, *arguments))

    def make(self) -> None:
        """Make an object of TorchScript, or a plain value of its class (protocol 2)."""
        made, arguments = self.popped(2)
        if isinstance(made, _Scripted):
            self.push(Module())
        elif isinstance(made, Call) and type(arguments) is tuple:
            self.push(made.function(self, *arguments))
        else:
            raise TypeError("it makes what can't be made")

    def build(self) -> None:
        """Give an object its attributes; those of dicts and tensors tell nothing of tensors."""
        state = self.pop()
        target = self.top()
        if isinstance(target, Module) and type(state) is dict:
            target.attributes = state

    def refer(self) -> None:
        """Put on the stack the storage that a tuple refers to."""
        kind, storage, key, _, count, *view = self.pop()
        if kind != "storage" or not isinstance(storage, _Storage) or view not in ([], [None]):
            raise ValueError("it refers to something else than a storage")
        if type(key) is not str or type(count) is not int or not 0 <= count < 1 << 48:
            raise ValueError("it refers to a storage that can't be")
        self.push(self._storages(key, storage.dtype, count))

    def tensor(
        self, stored: object, offset: object, size: object, stride: object, dtype: Any = None
    ) -> Tensor:
        """Return a tensor of stored elements, none of which lies outside of them.

        Raises:
            ValueError, TypeError: there is no such tensor.
        """
        self._tensors += 1
        if self._tensors > _MOST_TENSORS:
            raise ValueError(f"it has more than {_MOST_TENSORS} tensors")
        if not isinstance(stored, Stored):
            raise TypeError("a tensor has no storage")
        size, stride = naturals(size), naturals(stride)
        (offset,) = naturals((offset,))
        flat = stored.elements.view(stored.dtype if dtype is None else dtype)
        total = math.prod(size)
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if total and (last >= len(flat) or total > max(len(flat), _SMALL)):
            raise ValueError("a tensor reaches beyond its storage")
        return flat.as_strided(size, stride, offset) if total else flat.new_empty(size)


_Step = Callable[[TensorPickle, object], object]
_STEPS: Mapping[str, _Step] = {
    "PROTO": lambda machine, argument: None,  # noqa: ARG005
    "FRAME": lambda machine, argument: None,  # noqa: ARG005
    "MARK": lambda machine, _: machine.push(_MARK),
    "POP": lambda machine, _: machine._stack.pop(),
    "POP_MARK": lambda machine, _: machine.since_mark(),
    "DUP": lambda machine, _: machine.push(machine.top()),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    **dict.fromkeys(
        (
            *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"),
            *("FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE"),
            *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES"),
            *("BINBYTES8", "BYTEARRAY8"),
        ),
        lambda machine, argument: machine.push(argument),
    ),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_SET": lambda machine, _: machine.push(set()),
    "LIST": lambda machine, _: machine.push(machine.since_mark()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.push(machine.popped(1)),
    "TUPLE2": lambda machine, _: machine.push(machine.popped(2)),
    "TUPLE3": lambda machine, _: machine.push(machine.popped(3)),
    "APPEND": lambda machine, _: machine.extend(machine.popped(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
    "ADDITEMS": lambda machine, _: machine.extend(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.fill(machine.popped(2)),
    "SETITEMS": lambda machine, _: machine.fill(machine.since_mark()),
    **dict.fromkeys(
        ("PUT", "BINPUT", "LONG_BINPUT"), lambda machine, number: machine.remember(number)
    ),
    "MEMOIZE": lambda machine, _: machine.remember(),
    **dict.fromkeys(
        ("GET", "BINGET", "LONG_BINGET"), lambda machine, number: machine.recall(number)
    ),
    "GLOBAL": lambda machine, argument: machine.named(*str(argument).split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.named(*machine.popped(2)),
    "REDUCE": lambda machine, _: machine.call(),
    "NEWOBJ": lambda machine, _: machine.make(),
    "BUILD": lambda machine, _: machine.build(),
    "BINPERSID": lambda machine, _: machine.refer(),
}
