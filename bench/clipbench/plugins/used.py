"""Whether what a person sets of a plugin does anything there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clipbench.errors import BadSetting
from clipbench.parameters.idle import Idle, declared, is_default
from clipbench.plugins import registry
from clipbench.plugins.describe import text_of
from clipbench.plugins.find import Kind
from clipbench.plugins.part import Part
from clipbench.plugins.spec import Spec, SpecLike
from clipbench.text.locations import Names, marks, texts


def check_used(kind: Kind, spec: SpecLike, plugin: object) -> None:
    """Refuse a parameter that does nothing beside the others, unless it is set to its default.

    Args:
        kind: what it is.
        spec: as a person asked for it, without what recipes fill in, which is none of their doing;
            a part, which may be out of a record, is not looked at.
        plugin: what was built of it and of recipes.

    Raises:
        BadSetting: naming the parameter, what makes it do nothing, and what to do.
    """
    if not isinstance(spec, Part):
        _check(registry.parse(kind, spec), plugin, ())


def _check(spec: Spec, plugin: Any, within: Iterable[Idle]) -> None:
    cls = type(plugin)
    for idle in (*declared(cls), *within):
        for name in idle.names:
            if name in spec.parameters and not is_default(plugin, name) and idle.when(plugin):
                raise BadSetting(_refusal(registry.short_name(spec.name), name, idle, plugin))
    named = {name: mark for name, mark in marks(cls).items() if isinstance(mark, Names)}
    for name, mark in named.items():
        for text in texts(getattr(plugin, name)) if name in spec.parameters else ():
            inner = registry.build(mark.kind, text)
            _check(registry.parse(mark.kind, text), inner, [*declared(cls, "idle_within")])


def _refusal(label: str, name: str, idle: Idle, plugin: object) -> str:
    told = {name: text_of(value) for name, value in vars(plugin).items()}
    instead = f", or {idle.instead.format_map(told)}" if idle.instead else ""
    why = idle.why.format_map(told)
    return f"{label}.{name} has no effect {why}. Leave {name} out{instead}."
