"""Parameters that do nothing beside a certain value of another, declared by the plugin's class.

Who sets one believes that it does something, so that a request is refused that does, see
`clipbench.plugins.used`. What a record says is read all the same: it may hold such values out of
recipes, and of a time when nobody refused them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Idle:
    """Says of some parameters when they do nothing; a class lists these in ``idle``.

    Args:
        names: the parameters.
        when: whether they do nothing, of the plugin.
        why: what makes it so, after ``has no effect``; ``{name}`` stands for the value of another
            parameter.
        instead: what else than leaving it out may be meant, after ``Leave it out, or``; empty:
            nothing.
    """

    names: tuple[str, ...]
    when: Callable[[Any], bool]
    why: str
    instead: str = ""


def declared(cls: type, where: str = "idle") -> Iterator[Idle]:
    """Yield what a plugin's class and its bases say of parameters that do nothing.

    Args:
        cls: the class.
        where: the attribute that says it: ``idle`` of its own parameters, ``idle_within`` of those
            of the plugins that its parameters name.
    """
    for base in cls.__mro__:
        found = vars(base).get(where)
        if isinstance(found, tuple):  # a field of that name may be anything
            yield from (item for item in found if isinstance(item, Idle))


def is_default(plugin: Any, name: str) -> bool:
    """Return whether a parameter of a plugin has the value that it has where nobody sets it."""
    item = next(item for item in dataclasses.fields(plugin) if item.name == name)
    if item.default_factory is not dataclasses.MISSING:
        return bool(getattr(plugin, name) == item.default_factory())
    return bool(getattr(plugin, name) == item.default)
