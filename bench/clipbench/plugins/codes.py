"""Plugins that are files of their own: a run is known by what such a file holds, not by its path.

A plugin may be named by a configuration itself, ``attack``, or by a parameter of another, such as
``attack.base[0]``, the first one that ``base`` of the attack names. Which parameters name plugins
is said by their types (`clipbench.text.locations.Names`).
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache as remembered
from pathlib import Path

from clipbench.plugins import registry
from clipbench.plugins.find import OURS, Kind
from clipbench.text.locations import Names, marks, texts


def slot_of(key: str) -> str:
    """Return the part of a configuration that a hash of code is of, such as ``attack``."""
    return key.partition(".")[0]


def hashes(kind: Kind, slot: str, spec: Mapping[str, object]) -> dict[str, str]:
    """Return the SHA-256 of a plugin that is a file, and of those that it names.

    Args:
        kind: what it is.
        slot: where it stands in the configuration.
        spec: its name and all parameters.
    """
    found = {slot: registry.code_sha256(str(spec["name"]))}
    for field, number, mark, text in _named(kind, spec):
        name = registry.parse(mark.kind, text).name
        found[f"{slot}.{field}[{number}]"] = registry.code_sha256(name)
    return {key: sha256 for key, sha256 in found.items() if sha256 is not None}


def behind(kind: Kind, spec: Mapping[str, object]) -> list[str]:
    """Return hashes of the code of a plugin, and of those that it names, wherever that lies.

    What a run is known by has none of a package's code: for what may be made again, as in a cache.

    Args:
        kind: what it is.
        spec: its name and all parameters.
    """
    return sorted({beside(cls.__module__) for cls in _classes(kind, spec).values()})


def packages(kind: Kind, spec: Mapping[str, object]) -> dict[str, str]:
    """Return hashes of packages other than clipbench's, by name: what a plugin is of, and others.

    The others are the plugins that it names. A plugin that is a file is of none: see `hashes`.

    Args:
        kind: what it is.
        spec: its name and all parameters.
    """
    modules = [
        cls.__module__
        for name, cls in _classes(kind, spec).items()
        if registry.code_sha256(name) is None
    ]
    found = {module.partition(".")[0]: beside(module) for module in modules}
    return {name: found[name] for name in sorted(found.keys() - OURS)}


def _classes(kind: Kind, spec: Mapping[str, object]) -> dict[str, type]:
    """Return the class of a plugin, and of each that it names, by name."""
    found = {str(spec["name"]): registry.load(kind, spec)}
    for _, _, mark, text in _named(kind, spec):
        named = registry.parse(mark.kind, text)
        found[named.name] = registry.load(mark.kind, named)
    return found


@remembered
def beside(name: str) -> str:
    """Return a hash of the package that a module is of, or of its file if that is all there is."""
    module, package = sys.modules[name], sys.modules.get(name.partition(".")[0])
    folders = [Path(place) for place in getattr(package, "__path__", ())]
    found = [path for folder in folders for path in folder.rglob("*.py")]
    return of_files(found or [Path(inspect.getfile(module))])


def of_files(files: Sequence[Path]) -> str:
    """Return a hash of what files hold."""
    parts = [hashlib.sha256(path.read_bytes()).digest() for path in sorted(files)]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def shorten(slot: str, spec: dict[str, object], code: Mapping[str, str]) -> None:
    """Put short names in the place of paths whose files' hashes are known, in a spec of a slot."""
    if slot in code:
        spec["name"] = registry.short_name(str(spec["name"]))
    rename(slot, spec, code, lambda path, _: registry.short_name(path))


def rename(
    slot: str, spec: dict[str, object], code: Mapping[str, str], name: Callable[[str, str], str]
) -> None:
    """Give other names to the plugins that parameters of a spec name and whose hashes are known.

    Args:
        slot: where the spec stands in the configuration.
        spec: name and parameters.
        code: hashes by slot and field.
        name: returns a name for what was its name, and its hash.
    """
    for field, value in list(spec.items()):
        keys = [f"{slot}.{field}[{number}]" for number in range(len(list(texts(value))))]
        if not any(key in code for key in keys):
            continue
        named = [
            _renamed(text, code[key], name) if key in code else text
            for key, text in zip(keys, texts(value), strict=True)
        ]
        spec[field] = named if isinstance(value, (list, tuple)) else named[0]


def _renamed(text: str, sha256: str, name: Callable[[str, str], str]) -> str:
    """Return a plugin as it is typed under another name; its parameters stay as they are."""
    text = text.strip()
    before = text.partition(":")[0]
    if ".py" in text:  # a path, which may hold a colon
        before = registry.parse("attack", text).name
    return f"{name(before, sha256)}{text[len(before) :]}"


def _named(kind: Kind, spec: Mapping[str, object]) -> Iterator[tuple[str, int, Names, str]]:
    for field, mark in marks(registry.load(kind, spec)).items():
        if isinstance(mark, Names):
            for number, text in enumerate(texts(spec.get(field))):
                yield field, number, mark, text
