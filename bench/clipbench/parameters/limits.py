"""The range of a parameter, declared beside its field and checked in one place.

``size: Annotated[float, Gt(0), Le(1)] = 0.25`` says what values there are; `check_fields` refuses
the others with ``badnets.size must be in (0, 1]. Got 2.0.``, and `clipbench describe`, ``--help``
and the documentation show ``in (0, 1]``. The marks are spelled as those of the package
annotated-types.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clipbench.errors import BadSetting
from clipbench.parameters.values import brief, coerce, field_types


@dataclass(frozen=True)
class Gt:
    """Marks a type whose values are greater than `bound`."""

    bound: float

    def holds(self, value: float) -> bool:
        """Return whether a value is of the type."""
        return value > self.bound


@dataclass(frozen=True)
class Ge:
    """Marks a type whose values are at least `bound`."""

    bound: float

    def holds(self, value: float) -> bool:
        """Return whether a value is of the type."""
        return value >= self.bound


@dataclass(frozen=True)
class Lt:
    """Marks a type whose values are below `bound`."""

    bound: float

    def holds(self, value: float) -> bool:
        """Return whether a value is of the type."""
        return value < self.bound


@dataclass(frozen=True)
class Le:
    """Marks a type whose values are at most `bound`."""

    bound: float

    def holds(self, value: float) -> bool:
        """Return whether a value is of the type."""
        return value <= self.bound


@dataclass(frozen=True)
class Matches:
    """Marks a type of texts of one form.

    Args:
        pattern: regular expression of the whole text.
        words: what such a text is, for people.
    """

    pattern: str
    words: str


@dataclass(frozen=True)
class Range:
    """The values that a field allows, beside its type.

    Args:
        low: the lower bound, if there is one.
        high: the upper bound, if there is one.
        form: the form of texts, if there is one.
        whole: whether the values are whole numbers.
    """

    low: Gt | Ge | None = None
    high: Lt | Le | None = None
    form: Matches | None = None
    whole: bool = False

    @classmethod
    def of(cls, hint: object) -> Range:
        """Return the range that an annotation with marks declares, of its parts, too."""
        marks = list(_marks(hint))
        return cls(
            next((mark for mark in marks if isinstance(mark, (Gt, Ge))), None),
            next((mark for mark in marks if isinstance(mark, (Lt, Le))), None),
            next((mark for mark in marks if isinstance(mark, Matches)), None),
            int in _plain_types(hint),
        )

    def __contains__(self, value: Any) -> bool:
        """Return whether a value of the field's type is allowed; of several, whether all are."""
        if value is None:
            return True
        if isinstance(value, tuple):
            return all(item in self for item in value)
        if isinstance(value, str):
            form = self.form
            return form is None or re.fullmatch(form.pattern, value, re.DOTALL) is not None
        return all(mark is None or mark.holds(value) for mark in (self.low, self.high))

    def __str__(self) -> str:
        """Return what a value must be, after ``must be``: ``in (0, 1]``; empty: anything."""
        if self.form is not None:
            return self.form.words
        low, high = self.low, self.high
        if low is None or high is None:
            one_sided = {Gt: "above", Ge: "at least", Lt: "below", Le: "at most"}
            bound = low or high
            return "" if bound is None else f"{one_sided[type(bound)]} {bound.bound:,}"
        if self.whole and isinstance(low, Ge) and isinstance(high, Le):
            return f"from {low.bound:,} to {high.bound:,}"
        opening, closing = "[" if isinstance(low, Ge) else "(", "]" if isinstance(high, Le) else ")"
        return f"in {opening}{low.bound}, {high.bound}{closing}"


def _marks(hint: object) -> typing.Iterator[object]:
    """Yield the marks of an annotation and of its parts."""
    yield from getattr(hint, "__metadata__", ())
    for part in _inner(hint):
        if not isinstance(part, (str, int, float)):  # choices of a Literal
            yield from _marks(part)


def _inner(hint: object) -> tuple[object, ...]:
    """Return the parts of an annotation; of one with marks, what it is without them."""
    parts = typing.get_args(hint)
    return parts[:1] if hasattr(hint, "__metadata__") else parts


def _plain_types(hint: object) -> set[object]:
    inner = _inner(hint)
    return {hint}.union(*map(_plain_types, inner)) if inner else {hint}


@functools.lru_cache(maxsize=512)
def _declared(cls: type) -> Mapping[str, tuple[object, Range]]:
    types = field_types(cls)
    hints = typing.get_type_hints(cls, include_extras=True)
    return {name: (types[name], Range.of(hints[name])) for name in types}


def ranges(cls: type) -> dict[str, Range]:
    """Return the range of every field that the constructor of a dataclass takes.

    Raises:
        BadSetting: an annotation names something that does not exist at run time.
    """
    return {name: declared for name, (_, declared) in _declared(cls).items()}


def checked(cls: type, values: Mapping[str, object], owner: str) -> dict[str, object]:
    """Return values as the types of their fields, each in its range.

    Args:
        cls: a dataclass.
        values: by field, as typed, read or built.
        owner: whose fields these are, for the message: ``targeted``, ``train``.

    Raises:
        BadSetting: a value that the field cannot take, by name and with the allowed range.
    """
    typed = {}
    for name, value in values.items():
        hint, declared = _declared(cls)[name]
        typed[name] = coerce(value, hint, f"{owner}.{name}")
        if typed[name] not in declared:
            raise BadSetting(f"{owner}.{name} must be {declared}. Got {brief(typed[name])}.")
    return typed


def check_fields(instance: Any, owner: str) -> None:
    """Refuse an object with a value that its field cannot take; for ``__post_init__``.

    Values become what their fields are annotated with, so that 1 and 1.0 are one float.

    Args:
        instance: of a dataclass, which may be frozen.
        owner: whose fields these are, for the message.

    Raises:
        BadSetting: naming the field, the allowed range and the value.
    """
    fields = (item.name for item in dataclasses.fields(instance) if item.init)
    values = {name: getattr(instance, name) for name in fields}
    for name, value in checked(type(instance), values, owner).items():
        object.__setattr__(instance, name, value)
