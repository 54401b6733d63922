"""Where plugins are, and how one is imported: only when used, and every failure is one sentence."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import importlib.machinery
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Literal

from clipbench.errors import BadInput, MissingData
from clipbench.text.visible import hashable

OURS = frozenset({"clipbench", "clipbench_attacks", "clipbench_defenses", "clipbench_datasets"})

Kind = Literal["attack", "defense", "dataset", "metric"]


@dataclass(frozen=True)
class _Place:
    """Where plugins of a kind are looked for, and what they owe: one of these protocols, whole."""

    group: str
    member: str
    package: str | None
    protocols: tuple[str, ...]


KINDS: Mapping[Kind, _Place] = {
    "attack": _Place("clipbench.attacks", "ATTACK", "clipbench_attacks", ("Attack",)),
    "defense": _Place("clipbench.defenses", "DEFENSE", "clipbench_defenses", ("Defense",)),
    "dataset": _Place(
        "clipbench.datasets",
        "DATASET",
        "clipbench_datasets",
        ("TrainingSource", "EvaluationSource"),
    ),
    "metric": _Place("clipbench.metrics", "METRIC", "clipbench.evaluation.metrics", ("Metric",)),
}


@dataclass(frozen=True)
class Source:
    """Where one plugin comes from; nothing of it has been imported.

    Args:
        name: the name it is asked for by.
        origin: file, or distribution with version, for people.
        module: module to import, or the path of a file.
        member: the attribute of the module that is the plugin.
    """

    name: str
    origin: str
    module: str
    member: str


def sources(kind: Kind) -> dict[str, list[Source]]:
    """Return where the plugins of a kind come from, by name; more than one is a conflict."""
    found: dict[str, list[Source]] = {}
    for source in [*_built_in(kind), *_entry_points(kind)]:
        same = found.setdefault(source.name, [])
        if all((source.module, source.member) != (s.module, s.member) for s in same):
            same.append(source)
    return dict(sorted(found.items()))


def _built_in(kind: Kind) -> list[Source]:
    place = KINDS[kind]
    if place.package is None:
        return []
    spec = importlib.util.find_spec(place.package)
    folders = (spec.submodule_search_locations if spec else None) or []
    found = []
    for file in pkgutil.iter_modules(folders):
        if not file.name.startswith("_"):
            module = f"{place.package}.{file.name}"
            found.append(Source(file.name, module, module, place.member))
    return found


def _entry_points(kind: Kind) -> list[Source]:
    found = []
    for point in _installed(KINDS[kind].group, tuple(sys.path)):
        owner = f"{point.dist.name} {point.dist.version}" if point.dist else "no distribution"
        module, _, member = point.value.partition(":")
        origin = f"{owner} ({point.value})"
        found.append(Source(point.name, origin, module, member.strip() or KINDS[kind].member))
    return found


@functools.lru_cache(maxsize=16)
def _installed(group: str, path: tuple[str, ...]) -> importlib.metadata.EntryPoints:  # noqa: ARG001
    """Return a group's entry points of all packages on a path; a run asks fifty times for them."""
    return importlib.metadata.entry_points(group=group)


def import_plugin(kind: Kind, source: Source) -> object:
    """Import a plugin's module and return the plugin; every failure is one sentence."""
    try:
        if source.module.endswith(".py"):
            module = _import_file(Path(source.module).expanduser())
        else:
            module = importlib.import_module(source.module)
    except BadInput:
        raise
    except (Exception, SystemExit) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise BadInput(
            f"The {kind} {source.name!r} of {source.origin} cannot be imported: {reason}."
        ) from error
    try:
        return functools.reduce(getattr, source.member.split("."), module)
    except AttributeError as error:
        raise BadInput(
            f"The {kind} {source.name!r} of {source.origin} has no {source.member}: end the file"
            f" with a line like `{source.member} = ClassName`."
        ) from error


class _OfContent(importlib.machinery.SourceFileLoader):
    """Runs the bytes that a module is named after, whatever compiled code was kept of the file.

    Python takes that by the file's size and its time in whole seconds, so that an edit could give
    the code from before under the hash of the code from after.
    """

    def __init__(self, name: str, path: Path, content: bytes) -> None:
        super().__init__(name, str(path))
        self._content = content

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002
        """Return the content, compiled."""
        code: CodeType = self.source_to_code(self._content, self.path)
        return code


def _import_file(path: Path) -> ModuleType:
    """Import a file under a name made of its content, so that an edited file is a new module."""
    if not path.is_file():
        raise MissingData(f"There is no plugin file {path.resolve()}.")
    content = path.read_bytes()
    digest = hashlib.sha256(hashable(str(path.resolve())) + content).hexdigest()[:16]
    name = f"clipbench_file_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    loader = _OfContent(name, path, content)
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    if spec is None or spec.loader is None:
        raise BadInput(f"{path.resolve()} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while they are made
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def check_plugin(kind: Kind, found: object, origin: str) -> type[object]:
    """Return `found` if it is a dataclass with everything a plugin of the kind owes."""
    if not isinstance(found, type) or not dataclasses.is_dataclass(found):
        if isinstance(found, type):
            wanted = f"add @dataclass(frozen=True) above class {found.__name__}"
        else:
            wanted = f"it is {found!r}; end the file with the name of a class"
        raise BadInput(f"The {kind} of {origin} must be a dataclass: {wanted}.")
    fields = {item.name for item in dataclasses.fields(found)}
    if "name" in fields:
        raise BadInput(f"The {kind} of {origin} has a parameter 'name'; call it something else.")
    _refuse_unannotated(kind, found, origin)
    missing = [missing_members(found, protocol) for protocol in KINDS[kind].protocols]
    if missing and all(missing):
        fewest = min(missing, key=len)
        raise BadInput(f"The {kind} of {origin} lacks {', '.join(fewest)}.")
    return found


def _refuse_unannotated(kind: Kind, plugin: type[Any], origin: str) -> None:
    """Refuse a value in a class that looks like a parameter and is none, for want of a type."""
    fields = {item.name for item in dataclasses.fields(plugin)}
    known = {name for protocol in _protocols() for name in vars(protocol)}
    for cls in plugin.__mro__:
        if cls.__module__.partition(".")[0] in OURS:
            continue
        for name, value in vars(cls).items():
            is_value = value is None or isinstance(value, (bool, int, float, str, tuple, Path))
            if (
                is_value
                and not name.startswith("_")
                and not name.isupper()
                and name not in fields
                and name not in known
                and all(name not in inspect.get_annotations(base) for base in cls.__mro__)
            ):
                text = "..." if value is None else type(value).__name__
                raise BadInput(
                    f"{name} = {value!r} in class {cls.__name__} of the {kind} of {origin} has no"
                    f" type, so it is no parameter: write {name}: {text} = {value!r}, or, for a"
                    f" constant, {name.upper()} = {value!r}."
                )


def _protocols() -> list[type[object]]:
    """Return the protocols of the contracts: what they name is no parameter that lacks a type."""
    contracts = vars(importlib.import_module("clipbench.contracts")).values()
    return [item for item in contracts if getattr(item, "_is_protocol", False)]


def missing_members(plugin: type[Any], protocol: str) -> list[str]:
    """Return what a plugin lacks of a protocol of the contracts, in the protocol's order."""
    owed = vars(getattr(importlib.import_module("clipbench.contracts"), protocol))
    fields = {item.name for item in dataclasses.fields(plugin)}
    return [
        item
        for item in owed
        if not item.startswith("_") and not hasattr(plugin, item) and item not in fields
    ]
