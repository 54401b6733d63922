"""Values read from outside, checked against types: a struct of msgspec is a schema.

What a field must be stands in its type, in words; a message and the published JSON schema use the
same words. Fields that a type does not name are tolerated: later versions and plugins may say more.
"""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union

import msgspec
from msgspec import Meta

from clipbench.files.checks import Missing, Objection

if TYPE_CHECKING:
    Json = object  # whoever reads it looks what it is
else:
    Json = Any  # which msgspec takes as it is
Object = Mapping[str, Json]
Read = TypeVar("Read", bound=msgspec.Struct)

LARGEST = sys.float_info.max  # a bound that neither infinity nor NaN keeps
Text = Annotated[str, Meta(min_length=1, description="a text that is not empty")]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1, description="a whole number from 0")]
Number = Annotated[float, Meta(ge=-LARGEST, le=LARGEST, description="a finite number")]
Positive = Annotated[float, Meta(ge=0, le=LARGEST, description="a finite number from 0")]
Share = Annotated[float, Meta(ge=0, le=1, description="a finite number from 0 to 1")]
Sha256 = Annotated[
    str,
    Meta(pattern="^[0-9a-f]{64}$", max_length=64, description="64 lower-case hexadecimal digits"),
]
_WORDS = {
    int: "a whole number",
    float: "a finite number",
    str: "a text",
    bool: "true or false",
}


def read_as(cls: type[Read], value: Json) -> Read:
    """Return a value of JSON as a struct.

    Raises:
        Objection: naming the first field that is not what it must be.
    """
    try:
        return msgspec.convert(value, cls)
    except (msgspec.ValidationError, UnicodeError) as error:
        raise _objection(cls, value, "", error) from error


def table(value: Json) -> Object:
    """Return a value of JSON that is an object.

    Raises:
        Objection: it is none.
    """
    if not isinstance(value, Mapping):
        raise Objection("", "must be an object", value)
    return value


def items(value: Json) -> Sequence[Json]:
    """Return a value of JSON that is a list.

    Raises:
        Objection: it is none.
    """
    if not isinstance(value, (list, tuple)):
        raise Objection("", "must be a list", value)
    return value


def _objection(hint: object, value: Json, field: str, error: Exception) -> Objection:
    """Return why a value is not of a type, with the name of the field that is to blame."""
    for kind in _members(hint):
        origin = typing.get_origin(kind) or kind
        if isinstance(origin, type) and issubclass(origin, msgspec.Struct):
            return _of_struct(origin, value, field, error)
        if origin in (Mapping, dict) and isinstance(value, Mapping):
            inner = typing.get_args(kind)[1]
            for name, part in value.items():
                if (reason := _refusal(inner, part)) is not None:
                    return _objection(inner, part, f"{field}.{name}" if field else name, reason)
        if origin in (tuple, list) and isinstance(value, (list, tuple)):
            inner = typing.get_args(kind)[0]
            for position, part in enumerate(value):
                if (reason := _refusal(inner, part)) is not None:
                    return _objection(inner, part, f"{field}[{position}]", reason)
    return Objection(field, f"must be {' or '.join(map(_words, _hints(hint)))}", value)


def _of_struct(cls: type[msgspec.Struct], value: Json, field: str, error: Exception) -> Objection:
    if not isinstance(value, Mapping):
        return Objection(field, "must be an object", value)
    for item in msgspec.structs.fields(cls):
        name = item.encode_name
        here = f"{field}.{name}" if field else name
        if name not in value:
            if item.required:
                return Missing(here)
        elif (reason := _refusal(item.type, value[name])) is not None:
            return _objection(item.type, value[name], here, reason)
    cause = error.__cause__  # what the struct itself says of fields that do not fit together
    if isinstance(cause, Objection):
        return cause.within(field)
    return Objection(field, f"must be readable ({error})", value)


def _refusal(hint: object, value: Json) -> Exception | None:
    try:
        msgspec.convert(value, hint)
    except (msgspec.ValidationError, UnicodeError) as error:
        return error
    return None


def _hints(hint: object) -> list[object]:
    """Return the types that a value may be of, None left out."""
    several = typing.get_origin(hint) in (Union, types.UnionType)
    hints = typing.get_args(hint) if several else (hint,)
    return [one for one in hints if one is not type(None)]


def _members(hint: object) -> list[Any]:
    """Return the types that a value may be of, without their constraints."""
    return [
        typing.get_args(one)[0] if typing.get_origin(one) is Annotated else one
        for one in _hints(hint)
    ]


def _words(hint: object) -> str:
    """Return what a value must be, in words."""
    for meta in getattr(hint, "__metadata__", ()):
        if isinstance(meta, Meta) and meta.description:
            return meta.description
    if typing.get_origin(hint) is Literal:
        return " or ".join(map(repr, typing.get_args(hint)))
    kind = _members(hint)[0]
    if (typing.get_origin(kind) or kind) in (tuple, list):
        return "a list"
    return _WORDS.get(kind, "an object")
