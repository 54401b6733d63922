"""Plugins that a program hands over as objects: the text and parameters that name the same plugin.

A run is known by what it was asked for, so an object must be what a name and parameters give
again, in this process and in any other.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from clipbench.errors import BadSetting
from clipbench.plugins import registry
from clipbench.plugins.find import KINDS, Kind, sources
from clipbench.plugins.spec import Spec, SpecLike


def spec_for(kind: Kind, plugin: object) -> SpecLike:
    """Return what names a plugin, however it was given.

    Args:
        kind: what it is.
        plugin: text or a mapping, which are returned as they are; a path; or an object, with all
            its parameters, so that nothing is filled in from the recipe of a data set.

    Raises:
        BadSetting: it is none of these, or an object that no other process could make again.
    """
    if isinstance(plugin, (str, Mapping, Spec)):
        return plugin
    if isinstance(plugin, Path):
        return str(plugin)
    if isinstance(plugin, type) or not dataclasses.is_dataclass(plugin):
        hint = f"{plugin.__name__}(...)" if isinstance(plugin, type) else "a name"
        raise BadSetting(
            f"The {kind} must be a name like those of `clipbench list`, the path of a .py file, or"
            f" an object of a plugin's class. Got {plugin!r}; write {hint}."
        )
    return {"name": name_of(kind, type(plugin)), **registry.spec_of(plugin, whole=True)}


def name_of(kind: Kind, cls: type) -> str:
    """Return the name by which any process finds a plugin's class.

    That is its registered name; or its file, where it is the plugin of a file of its own, so that
    the run is known by the content of that file; or ``module:object``.

    Raises:
        BadSetting: the class is of a notebook, a script, or a function.
    """
    for name, candidates in sources(kind).items():
        if any(_member(sys.modules.get(s.module), s.member) is cls for s in candidates):
            return name
    module = sys.modules.get(cls.__module__)
    if cls.__module__ == "__main__" or "<locals>" in cls.__qualname__ or module is None:
        raise BadSetting(
            f"The {kind} {cls.__name__} is defined in a script, a notebook or a function, where no"
            f" other process finds it and a change would go unnoticed. Write it into a file that"
            f" ends with `{KINDS[kind].member} = {cls.__name__}`, and import it from there or give"
            " the file's path."
        )
    if _member(module, KINDS[kind].member) is cls and (file := _own_file(module)):
        return file
    return f"{cls.__module__}:{cls.__qualname__}"


def _member(module: ModuleType | None, path: str) -> object:
    """Return an attribute of a module; None: there is none, or the module is not imported."""
    if module is None:
        return None
    try:
        member: object = functools.reduce(getattr, path.split("."), module)
    except AttributeError:
        return None
    return member


def _own_file(module: ModuleType) -> str | None:
    """Return the file of a module that is of no package; None: it is installed, or has none."""
    file = getattr(module, "__file__", None)
    if file is None or not file.endswith(".py") or "." in module.__name__:
        return None
    installed = [Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib")]
    path = Path(file).absolute()
    return None if any(folder in path.parents for folder in installed) else str(path)
