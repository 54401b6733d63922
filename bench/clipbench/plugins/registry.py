"""Finds attacks, defenses, data sets and metrics, ours and other people's, by name.

A plugin is a dataclass whose fields are its parameters. It is found by the name of its file in one
of the built-in packages, by the name of an entry point of an installed package, as
``module:object``, or as ``path/to/file.py``. Nothing is imported before it is used, so that one
broken plugin breaks nothing else.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from clipbench.errors import BadInput, BadSetting, UnknownName
from clipbench.parameters.amounts import check_amounts
from clipbench.parameters.limits import checked
from clipbench.parameters.values import field_types
from clipbench.plugins.describe import Description, Parameter, describe
from clipbench.plugins.faults import Call, before_work
from clipbench.plugins.find import KINDS, Kind, Source, check_plugin, import_plugin, sources
from clipbench.plugins.spec import Spec, SpecLike, is_path, parse_spec
from clipbench.text.locations import UNSAID
from clipbench.text.words import listed

P = TypeVar("P")

__all__ = [
    "KINDS",
    "Description",
    "Kind",
    "Listed",
    "Parameter",
    "Source",
    "build",
    "code_sha256",
    "defaults",
    "describe",
    "load",
    "names",
    "only",
    "parse",
    "required",
    "short_name",
    "sources",
    "spec_of",
    "survey",
]


SHARDS, TABLE = "shards", "csv"  # the data sets that a bare path stands for
TABLE_SUFFIXES = frozenset({".csv", ".tsv"})
# Names of plugins that are not registered and may be used all the same; None: any.
_allowed: ContextVar[frozenset[str] | None] = ContextVar("_allowed", default=None)
Guard = Callable[[Kind, Spec], None]
_guard: ContextVar[Guard | None] = ContextVar("_guard", default=None)


@dataclass(frozen=True)
class Listed:
    """A plugin as `survey` saw it: the class, or why there is none.

    Args:
        name: its name.
        origin: file, or distribution with version.
        cls: the plugin; None if it cannot be used.
        problem: why not, in one sentence; empty if it can.
    """

    name: str
    origin: str
    cls: type | None
    problem: str = ""


@contextmanager
def only(allowed: frozenset[str], guard: Guard | None = None) -> Iterator[None]:
    """Refuse, while it lasts, every plugin that is not registered, as unknown.

    `clipbench.configuration.naming.registered_only` is what the text of strangers is read in.

    Args:
        allowed: files and ``module:object`` that may be used all the same.
        guard: refuses what else the plugins that are built must not name.
    """
    tokens = _allowed.set(allowed), _guard.set(guard)
    try:
        yield
    finally:
        _allowed.reset(tokens[0])
        _guard.reset(tokens[1])


def names(kind: Kind) -> list[str]:
    """Return the registered names of a kind, sorted; nothing is imported."""
    return list(sources(kind))


def survey(kind: Kind) -> list[Listed]:
    """Return every registered plugin of a kind, with the reason where one cannot be used."""
    listed = []
    for name, candidates in sources(kind).items():
        origin = ", ".join(candidate.origin for candidate in candidates)
        try:
            listed.append(Listed(name, origin, _load_registered(kind, name, candidates)))
        except BadInput as error:
            listed.append(Listed(name, origin, None, str(error)))
    return listed


def parse(kind: Kind, spec: SpecLike) -> Spec:
    """Return the name and the parameters of a spec; see `clipbench.plugins.spec.parse_spec`.

    A data set may also be given as the path of its shards alone, a folder, a tar, a pattern, or of
    its CSV or TSV file; a name of a data set goes before a file or folder of that name.
    """
    known = names(kind)
    if kind == "dataset" and isinstance(spec, str):
        path = spec.strip()
        if is_path(path, known) or (path not in known and _is_there(path)):
            table = Path(path).suffix.lower() in TABLE_SUFFIXES
            return Spec(TABLE if table else SHARDS, {"path": path})
    return parse_spec(spec, known)


def _is_there(text: str) -> bool:
    """Return whether a text without parameters, and no code, is the name of a file or folder.

    Or of several, joined by ``::``.
    """
    if "::" in text:
        return all(map(_is_there, text.split("::")))
    if not text or ":" in text or "=" in text or text.endswith(".py"):
        return False
    return Path(text).exists()


def load(kind: Kind, spec: SpecLike) -> type[Any]:
    """Return the class of a plugin.

    Args:
        kind: what it is.
        spec: name, ``module:object`` or path of a file; parameters in it are ignored.

    Raises:
        UnknownName: there is no plugin of this name.
        MissingData: there is no such file.
        BadInput: it cannot be imported, is no dataclass, or two plugins share the name.
    """
    known = sources(kind)
    name = parse(kind, spec).name
    if name in known:
        return _load_registered(kind, name, known[name])
    allowed = _allowed.get()
    if allowed is not None and name not in allowed:
        raise UnknownName(kind, name, known)
    if name.endswith(".py"):
        source = Source(name, name, name, KINDS[kind].member)
    else:
        module, colon, member = name.partition(":")
        if not colon:
            missing = "No file or folder of that name is there, either."
            raise UnknownName(kind, name, known, missing if kind == "dataset" else "")
        source = Source(name, name, module, member)
    return check_plugin(kind, import_plugin(kind, source), name)


def _load_registered(kind: Kind, name: str, candidates: list[Source]) -> type[Any]:
    if len(candidates) > 1:
        both = listed(sorted(candidate.origin for candidate in candidates))
        raise BadInput(
            f"Two plugins claim the {kind} name {name!r}: {both}. Uninstall or rename one."
        )
    return check_plugin(kind, import_plugin(kind, candidates[0]), candidates[0].origin)


def build(kind: Kind, spec: SpecLike, fallback: Mapping[str, object] | None = None) -> Any:
    """Return a plugin with its parameters set.

    Args:
        kind: what it is.
        spec: ``targeted:targets=16``, ``{"name": "targeted", "targets": 16}``, or parsed.
        fallback: parameters to use where the spec sets none, e.g. of a data set's recipe.

    Raises:
        UnknownName: no such plugin or parameter; the message suggests the nearest.
        BadSetting: a value that a parameter cannot take, or a parameter that must be given.
    """
    parsed = parse(kind, spec)
    if (guard := _guard.get()) is not None:
        guard(kind, parsed)
    cls = load(kind, parsed)
    label = short_name(parsed.name)
    types = field_types(cls)
    given = {**(fallback or {}), **parsed.parameters}
    for name in given:
        if name not in types:
            raise UnknownName(f"{label} parameter", name, types)
    values = checked(cls, given, label)
    for name in required(cls):
        if name not in values:
            raise BadSetting(f"{label}.{name} must be given: {label}:{name}=VALUE.")
    check_amounts(cls, values, label)
    with before_work(), Call(kind, cls, "__post_init__"):
        try:
            return cls(**values)
        except BadInput:
            raise
        except (ValueError, TypeError) as error:
            raise BadSetting(f"The {kind} {label!r} refuses its parameters: {error}.") from error


def with_parameters(plugin: P, values: Mapping[str, object]) -> P:
    """Return a plugin, which is a frozen dataclass of its parameters, with others of them."""
    instance: Any = plugin
    changed: P = dataclasses.replace(instance, **values)
    return changed


def spec_of(plugin: Any, *, whole: bool = False) -> dict[str, object]:
    """Return the parameters of a plugin as they are now, in types that JSON has.

    Args:
        plugin: the plugin.
        whole: whether to return those, too, that records leave out at their default, see
            `clipbench.text.locations.UNSAID`.
    """
    items = (item for item in dataclasses.fields(plugin) if item.init)
    values = {item: getattr(plugin, item.name) for item in items}
    return {
        item.name: _plain(value)
        for item, value in values.items()
        if whole or not (UNSAID.keys() <= item.metadata.keys() and value == _default(item))
    }


def _plain(value: object) -> object:
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def defaults(kind: Kind, name: str) -> dict[str, object] | None:
    """Return the parameters of a plugin that nobody need set, as they then are.

    Returns:
        Values by parameter; those that must be given are left out. None: there is no such plugin.

    Raises:
        Whatever the constructor of a plugin may raise beside a refusal.
    """
    try:
        cls = load(kind, Spec(name))
        if not required(cls):
            return spec_of(build(kind, Spec(name)), whole=True)
    except BadInput:
        return None
    optional = [item for item in dataclasses.fields(cls) if item.init and not _must(item)]
    return {item.name: _plain(_default(item)) for item in optional}


def required(cls: type) -> list[str]:
    """Return the parameters of a plugin's class that must be given."""
    return [item.name for item in dataclasses.fields(cls) if item.init and _must(item)]


def _must(item: dataclasses.Field[object]) -> bool:
    return item.default is item.default_factory is dataclasses.MISSING


def _default(item: dataclasses.Field[object]) -> object:
    factory = item.default_factory
    return item.default if factory is dataclasses.MISSING else factory()


def short_name(name: str) -> str:
    """Return the name to show: of a file its stem, of ``module:object`` the object."""
    return Path(name).stem if name.endswith(".py") else name.rpartition(":")[2]


def code_sha256(name: str) -> str | None:
    """Return the hash of a plugin that is a file; None for plugins of installed packages."""
    path = Path(name).expanduser()
    if not name.endswith(".py") or not path.is_file():
        return None
    return hashlib.sha256(path.read_bytes()).hexdigest()
