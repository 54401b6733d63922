"""A plugin of a run: how it is named, all its parameters, and the object, which is one thing.

A configuration holds its plugins as parts. Text becomes a part once, `Part.of`; whoever needs the
attack itself takes `Part.plugin`, and JSON is `Part.to_json`, from which `Part.from_json` makes the
part again. Out of a file nothing is built, or even imported, before somebody asks for the object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, TypeVar

from clipbench.errors import BadSetting
from clipbench.parameters.values import brief
from clipbench.plugins import registry
from clipbench.plugins.find import Kind
from clipbench.plugins.spec import Spec, SpecLike

P_co = TypeVar("P_co", covariant=True)
P = TypeVar("P")


@dataclass(frozen=True)
class Part(Spec, Generic[P_co]):
    """A plugin by name, with every parameter filled in, in types that JSON has.

    Args:
        name: a registered name, ``module:object`` or the path of a ``.py`` file.
        parameters: all parameters.
        kind: what it is.
    """

    kind: Kind = field(kw_only=True)

    @classmethod
    def of(
        cls, kind: Kind, spec: SpecLike, fallback: Mapping[str, object] | None = None
    ) -> Part[P_co]:
        """Return the part that a person named; a part is itself.

        Args:
            kind: what it is.
            spec: as typed or read.
            fallback: parameters to use where the spec sets none, e.g. of a data set's recipe.

        Raises:
            UnknownName, BadSetting: what `clipbench.plugins.registry.build` refuses.
        """
        if isinstance(spec, Part):
            return spec
        plugin: P_co = registry.build(kind, spec, fallback)
        return cls.holding(kind, registry.parse(kind, spec).name, plugin)

    @classmethod
    def holding(cls, kind: Kind, name: str, plugin: P) -> Part[P]:
        """Return the part that a built plugin is, by the name it is found by."""
        part = Part[P](name, registry.spec_of(plugin), kind=kind)
        part.__dict__["plugin"] = plugin  # where the cached property keeps it
        return part

    @classmethod
    def from_json(cls, kind: Kind, value: Mapping[str, object]) -> Part[P_co]:
        """Return the part that `to_json` wrote; nothing is built.

        Raises:
            BadSetting: it has no name.
        """
        parameters = dict(value)
        name = parameters.pop("name", None)
        if not isinstance(name, str):
            raise BadSetting(f"A plugin needs a name. Got {brief(value)}.")
        return cls(name, parameters, kind=kind)

    def to_json(self) -> dict[str, object]:
        """Return name and parameters as one mapping."""
        return {"name": self.name, **self.parameters}

    @cached_property
    def plugin(self) -> P_co:
        """The object, built when it is first asked for.

        Raises:
            UnknownName, BadSetting: what `clipbench.plugins.registry.build` refuses.
        """
        plugin: P_co = registry.build(self.kind, self)
        return plugin

    @property
    def cls(self) -> type[P_co]:
        """The plugin's class, which is imported and not built for it."""
        return registry.load(self.kind, self)

    @property
    def label(self) -> str:
        """The name as tables show it."""
        return registry.short_name(self.name)
