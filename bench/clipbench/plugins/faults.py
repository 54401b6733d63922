"""What went wrong inside a plugin, in one line: its file and line, what was called, and why."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType, TracebackType

from clipbench.errors import BrokenContract, ClipbenchError, PluginFault
from clipbench.plugins.find import KINDS, OURS, Kind
from clipbench.system.disk import full_disk

_NOT_ITS_FAULT = (ClipbenchError, MemoryError, BrokenPipeError)
_LONGEST = 300  # characters of an error that are told
_BEFORE_WORK = 2  # exit status of what is wrong with the command


@dataclass(frozen=True)
class Call:
    """A call into a plugin; as a context it turns the plugin's own errors into faults.

    Args:
        kind: what the plugin is.
        plugin: the plugin.
        method: what is called, as the contracts name it.
        where: more about the call, such as ``epoch 2``; may be empty.
        answering: what the plugin returned and is called now; None: the plugin itself.
    """

    kind: Kind
    plugin: object
    method: str
    where: str = ""
    answering: object = None

    def __str__(self) -> str:
        text = f"{self.method} of {self.kind} {name_of(self.plugin)}"
        return f"{text}, {self.where}" if self.where else text

    def __enter__(self) -> Call:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not isinstance(error, Exception) or isinstance(error, _NOT_ITS_FAULT):
            return
        if (
            (is_ours(self.plugin) and is_ours(self._asked))
            or type(error).__name__ == "OutOfMemoryError"
            or full_disk(error)
        ):
            return
        raise self._fault(error) from error

    def broken(self, problem: str, function: object = None) -> BrokenContract:
        """Return the error of a plugin that returned, or changed, what it must not.

        Args:
            problem: what was wanted and what came.
            function: what returned it; None: the method.
        """
        code = _code_of(function) or self._own_code()
        where = shown(code.co_filename, code.co_firstlineno) if code else ""
        return BrokenContract(f"{where + ', ' if where else ''}{self}: {problem}")

    @property
    def _asked(self) -> object:
        return self.plugin if self.answering is None else self.answering

    def _own_code(self) -> CodeType | None:
        """Return the code of the method, or of the property, where the plugin defines it."""
        owner = next((c for c in _class_of(self._asked).__mro__ if self.method in vars(c)), None)
        found = None if owner is None or is_ours(owner) else vars(owner)[self.method]
        return _code_of(getattr(found, "fget", found))

    def _fault(self, error: Exception) -> PluginFault:
        place = _innermost(error, {_module_of(self.plugin), _module_of(self._asked)})
        code = self._own_code()
        if place is None and code is not None:  # it was called in a way that it can't be
            place = code.co_filename, code.co_firstlineno
        where = f"{shown(*place)}, " if place else ""
        what = f"{where}{self}: {_words(error)}"
        if _is_read_only(error):
            return BrokenContract(
                f"{what}. What a plugin is handed is read-only; draw on a copy: image.copy()."
            )
        return PluginFault(what)


@contextmanager
def before_work() -> Iterator[None]:
    """Make the faults that are found meanwhile those of a wrong command: no work was done yet."""
    try:
        yield
    except PluginFault as fault:
        fault.exit_status = _BEFORE_WORK
        raise


def is_ours(plugin: object) -> bool:
    """Return whether a plugin, or what it returned, is defined in clipbench itself."""
    return _module_of(plugin).partition(".")[0] in OURS


def name_of(plugin: object) -> str:
    """Return how people call a plugin: its file's stem, or its class where it is in a package."""
    module = _module_of(plugin)
    if module.partition(".")[0] in OURS:
        return module.rpartition(".")[2]
    file = _file_of(module)
    if module.startswith("clipbench_file_") and file is not None:
        return Path(file).stem
    return _class_of(plugin).__name__


def uncaught(error: BaseException) -> str | None:
    """Return one line about an error that went through a plugin's code, if it did.

    For what no `Call` turned into a fault. The method is that by which the plugin was entered.
    """
    frames = [(f.f_code, f.f_globals, line) for f, line in _frames(error.__traceback__)]
    of_plugins = [item for item in frames if _kind_of(item[1]) is not None]
    if not of_plugins:
        return None
    (entered, module, _), (code, _, line) = of_plugins[0], of_plugins[-1]
    name = Path(str(module.get("__file__", ""))).stem
    place = shown(code.co_filename, line)
    return f"{place}, {entered.co_name} of {_kind_of(module)} {name}: {_words(error)}"


def kind_of(value: object) -> str:
    """Return what a value is, for messages: shape and dtype of arrays and tensors, else its type.

    Works without torch, which need not be there yet.
    """
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is not None and dtype is not None:
        return f"{str(dtype).replace('torch.', '')} of shape {tuple(shape)}"
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)
    return f"a {type(value).__name__}"


def shown(file: str, line: int) -> str:
    """Return a place in a file as people write it, from the current folder where it lies in it."""
    try:
        relative = os.path.relpath(file)
    except ValueError:  # another drive
        relative = file
    return f"{file if relative.startswith('..') else relative}:{line}"


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split())
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _is_read_only(error: Exception) -> bool:
    text = str(error)
    return "read-only" in text or "marked as readonly" in text


def _class_of(plugin: object) -> type[object]:
    return plugin if isinstance(plugin, type) else type(plugin)


def _module_of(plugin: object) -> str:
    return _class_of(plugin).__module__


def _file_of(module: str) -> str | None:
    return getattr(sys.modules.get(module), "__file__", None)


def _code_of(function: object) -> CodeType | None:
    """Return the code of a function, a method, or an object that is called."""
    inner: object = getattr(function, "func", function)  # of a partial
    inner = getattr(inner, "__func__", inner)
    if not hasattr(inner, "__code__"):
        inner = vars(type(inner)).get("__call__")
    code = getattr(inner, "__code__", None)
    return code if isinstance(code, CodeType) else None


def _frames(trace: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while trace is not None:
        yield trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next


def _innermost(error: Exception, modules: set[str]) -> tuple[str, int] | None:
    """Return file and line of the innermost frame in one of some modules, or in their packages."""
    packages = {module.partition(".")[0] for module in modules} - OURS
    found = None
    for frame, line in _frames(error.__traceback__):
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] in packages:
            found = frame.f_code.co_filename, line
    return found


def _kind_of(module: dict[str, object]) -> Kind | None:
    """Return what kind of plugin a module from outside holds, by the name that ends its file."""
    if str(module.get("__name__", "")).partition(".")[0] in OURS:
        return None
    return next((kind for kind, place in KINDS.items() if place.member in module), None)
