"""What a plugin says about itself: its docstrings and fields, read for people and programs."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from dataclasses import dataclass

from clipbench.parameters.limits import ranges
from clipbench.parameters.values import field_types, type_text

_SECTION = re.compile(r"(Args|Attributes|Parameters):\s*$")
_ARGUMENT = re.compile(r"(?P<name>\w+)(?: \([^)]*\))?:\s*(?P<text>.*)$")
_REFERENCE = re.compile(r"https?://|arxiv|doi[.:]|\b(19|20)\d\d\b", re.IGNORECASE)


@dataclass(frozen=True)
class Parameter:
    """One setting of a plugin.

    Args:
        name: the field.
        type: its annotation as people read it.
        default: the default as text; None: it must be given.
        allowed: what a value must be beside its type, e.g. ``in (0, 1]``; empty: anything.
        meaning: what the docstring says about it; may be empty.
    """

    name: str
    type: str
    default: str | None
    allowed: str
    meaning: str

    @property
    def values(self) -> str:
        """The values that it may have: ``float, in (0, 1]``."""
        return f"{self.type}, {self.allowed}" if self.allowed else self.type


@dataclass(frozen=True)
class Description:
    """A plugin in words.

    Args:
        title: first paragraph of its module's docstring, else of its class.
        paper: the paragraph of the module's docstring that cites the source; may be empty.
        notes: the other paragraphs, e.g. what differs from the paper.
        parameters: its settings, in the order of its fields.
    """

    title: str
    paper: str
    notes: tuple[str, ...]
    parameters: tuple[Parameter, ...]

    def to_json(self) -> dict[str, object]:
        """Return plain lists and dicts."""
        return dataclasses.asdict(self)


def describe(cls: type) -> Description:
    """Return what a plugin's class and module say about it.

    Args:
        cls: a plugin's dataclass, as `clipbench.plugins.registry.load` returns it.
    """
    module = sys.modules.get(cls.__module__)
    paragraphs = _paragraphs(module.__doc__ if module else None) or _paragraphs(own_doc(cls))[:1]
    title, rest = (paragraphs[0] if paragraphs else ""), paragraphs[1:]
    cited = next((index for index, text in enumerate(rest) if _REFERENCE.search(text)), None)
    return Description(
        title=title,
        paper="" if cited is None else rest[cited],
        notes=tuple(text for index, text in enumerate(rest) if index != cited),
        parameters=_parameters(cls),
    )


def own_doc(cls: type) -> str | None:
    """Return the docstring a person wrote for `cls`; dataclasses make one up when there is none."""
    text = cls.__dict__.get("__doc__")
    return None if text is None or text.startswith(f"{cls.__name__}(") else text


def _paragraphs(text: str | None) -> list[str]:
    parts = re.split(r"\n\s*\n", inspect.cleandoc(text or ""))
    return [" ".join(part.split()) for part in parts if part.strip()]


def _parameters(cls: type) -> tuple[Parameter, ...]:
    meanings: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        meanings.update(arguments_of(own_doc(base)))
    types, allowed = field_types(cls), ranges(cls)
    return tuple(
        Parameter(
            item.name,
            type_text(types[item.name]),
            _default(item),
            str(allowed[item.name]),
            meanings.get(item.name, ""),
        )
        for item in dataclasses.fields(cls)
        if item.init
    )


def _default(item: dataclasses.Field[object]) -> str | None:
    if item.default_factory is not dataclasses.MISSING:
        return text_of(item.default_factory())
    return None if item.default is dataclasses.MISSING else text_of(item.default)


def text_of(value: object) -> str:
    """Return a value as it is written on the command line: ``none``, ``true``, ``0.5``."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def arguments_of(text: str | None) -> dict[str, str]:
    """Return the entries of a Google-style ``Args:`` section, each on one line."""
    entries: dict[str, str] = {}
    name, indent, inside = "", 0, False
    for line in inspect.cleandoc(text or "").splitlines():
        depth = len(line) - len(line.lstrip())
        if not inside:
            inside = bool(_SECTION.fullmatch(line))
            continue
        if not line.strip():
            continue
        if depth == 0:
            break
        match = _ARGUMENT.match(line.strip())
        if match and (not entries or depth <= indent):
            name, indent = match["name"], depth
            entries[name] = match["text"]
        elif name:
            entries[name] = f"{entries[name]} {line.strip()}".strip()
    return entries
