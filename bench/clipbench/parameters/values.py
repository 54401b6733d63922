"""Values of parameters: from text, YAML or Python to what a field is annotated with, or refused.

What a dataclass's fields ask for is said by their annotations alone, of plugins and of settings.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import re
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, SupportsFloat, SupportsIndex, Union

from clipbench.errors import BadSetting

NONE_TEXTS = frozenset({"none", "null"})
TRUE_TEXTS = frozenset({"true", "yes", "on", "1"})
FALSE_TEXTS = frozenset({"false", "no", "off", "0"})

_NO_SETTING = 10**100
BRIEF = 100  # characters of a value in a message
MOST_ITEMS = 10_000  # of a list
_INTEGER = re.compile(r"[+-]?\d[\d_]*(e\+?\d+)?", re.IGNORECASE)


class _MisfitError(ValueError):
    """A value that does not fit its annotation."""


def underscored(values: Mapping[Any, object], where: str = "") -> dict[str, object]:
    """Return `values` with `-` in names as `_`.

    Args:
        values: values by name.
        where: the place they were read from, for the message.

    Raises:
        BadSetting: two spellings of one name.
    """
    named: dict[str, object] = {}
    for key, value in values.items():
        name = str(key).replace("-", "_")
        if name in named:
            raise BadSetting(f"{name}{where} is given in two spellings; give it once.")
        named[name] = value
    return named


def field_types(cls: type) -> dict[str, object]:
    """Return the resolved annotation of every field that the constructor of `cls` takes.

    Raises:
        BadSetting: an annotation names something that does not exist at run time.
    """
    try:
        hints = typing.get_type_hints(cls)
    except (NameError, TypeError, AttributeError) as error:
        raise BadSetting(
            f"The annotations of {cls.__module__}.{cls.__qualname__} cannot be read: {error}."
            " Import what they name outside `if TYPE_CHECKING`."
        ) from error
    return {item.name: hints[item.name] for item in dataclasses.fields(cls) if item.init}


def coerce(value: object, hint: object, where: str) -> Any:
    """Return `value` as the annotated type `hint`.

    Args:
        value: text as typed by a person, or a value read from YAML or JSON.
        hint: int, float, bool, str, Path, None, a Literal, a tuple, or a union of these.
        where: owner and field, for the message, e.g. ``"targeted.targets"``.

    Raises:
        BadSetting: the value does not fit; the message names field and allowed values.
    """
    if isinstance(value, (list, tuple)) and len(value) > MOST_ITEMS:
        raise BadSetting(f"{where} must have at most {MOST_ITEMS:,} items.")
    try:
        return _convert(value, hint)
    except ValueError:
        wanted = "a finite number" if _is_endless(value) else type_text(hint)
        raise BadSetting(f"{where} must be {wanted}. Got {brief(value)}.") from None


def brief(value: object) -> str:
    """Return the beginning of a value's text, for a message of one line.

    A number may have more digits than Python writes, a list any number of items.
    """
    if isinstance(value, int) and abs(value) >= _NO_SETTING:
        return "a number of hundreds of digits"
    if isinstance(value, (list, tuple, dict)) and len(value) > BRIEF:
        return f"one of {len(value):,} items"
    text = repr(value[:BRIEF] if isinstance(value, str) else value)
    return text if len(text) <= BRIEF + 2 else f"{text[:BRIEF]}..."


def _is_endless(value: object) -> bool:
    """Return whether `value` is a number, or says one, that is infinite or none at all."""
    if not isinstance(value, (str, bytes, SupportsFloat, SupportsIndex)):
        return False
    try:
        return not math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):
        return False


def _convert(value: object, hint: object) -> object:
    """Return `value` as `hint`, or raise ValueError."""
    if hint is Any:
        return value
    origin = typing.get_origin(hint)
    if origin in (Union, types.UnionType):
        return _convert_union(value, typing.get_args(hint))
    if origin is Literal:
        return _convert_literal(value, typing.get_args(hint))
    if hint is tuple or origin in (tuple, list, Sequence):
        hints = typing.get_args(hint)
        fixed = origin is tuple and hints[-1:] != (Ellipsis,)
        return _convert_tuple(value, hints if fixed or not hints else hints[0])
    if hint is None or hint is type(None):
        if value is None or (isinstance(value, str) and value.lower() in NONE_TEXTS):
            return None
        raise _MisfitError(value)
    converters = {bool: _to_bool, int: _to_int, float: _to_float, str: _to_str, Path: _to_path}
    if hint not in converters:
        raise _MisfitError(f"no value can be given for {hint}")
    return converters[hint](value)


def _convert_union(value: object, options: tuple[object, ...]) -> object:
    """Try the members from the narrowest to the widest, so that text stays text only at last."""
    if not isinstance(value, str) and type(value) in options:
        return value
    order = [type(None), Literal, int, float, bool, tuple, Path, str]

    def rank(option: object) -> int:
        plain = typing.get_origin(option) or option
        return order.index(plain) if plain in order else len(order)

    for option in sorted(options, key=rank):
        try:
            return _convert(value, option)
        except ValueError:
            continue
    raise _MisfitError(value)


def _convert_literal(value: object, options: tuple[object, ...]) -> object:
    for option in options:
        if type(option) is type(value) and option == value:
            return option
        if isinstance(value, str) and str(option).lower() == value.lower():
            return option
    raise _MisfitError(value)


def _convert_tuple(value: object, hints: object) -> tuple[object, ...]:
    """Convert item by item; `hints` is one hint for all items, or a tuple with one for each."""
    if isinstance(value, str):
        bare = value.strip()
        if bare[:1] + bare[-1:] in ("()", "[]"):
            bare = bare[1:-1]
        # Whole numbers may also be joined by plus signs, as a list of them in a list would be.
        mark = "+" if hints is int and "," not in bare else ","
        items: Sequence[object] = [item.strip().strip("\"'") for item in bare.split(mark) if item]
    elif isinstance(value, Sequence):
        items = value
    else:
        raise _MisfitError(value)
    if not isinstance(hints, tuple):
        return tuple(_convert(item, hints) for item in items)
    if not hints:
        return tuple(items)
    return tuple(_convert(item, hint) for item, hint in zip(items, hints, strict=True))


def _to_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).lower()
    if isinstance(value, (str, int)) and text in TRUE_TEXTS | FALSE_TEXTS:
        return text in TRUE_TEXTS
    raise _MisfitError(value)


def _to_int(value: object) -> int:
    """Accept 20000, 20_000 and 2e4, but not 20000.5 and not a truth value."""
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        mantissa, _, exponent = value.lower().partition("e")
        if int(exponent or 0) <= 18:
            return int(mantissa) * int("1" + "0" * int(exponent or 0))
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, bool) and isinstance(value, numbers.Integral):  # numpy's, too
        return int(value)
    raise _MisfitError(value)


def _to_float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (numbers.Real, str)):
        raise _MisfitError(value)
    try:
        number = float(value)
    except OverflowError:
        raise _MisfitError("too large") from None
    if not math.isfinite(number):  # neither can be written to a record
        raise _MisfitError(value)
    return number


def _to_str(value: object) -> str:
    if not isinstance(value, str):
        raise _MisfitError(value)
    return value


def _to_path(value: object) -> Path:
    if not isinstance(value, (str, Path)) or not str(value):
        raise _MisfitError(value)
    return Path(value).expanduser()


def type_text(hint: object) -> str:
    """Return an annotation as people read it, e.g. ``'replace' | 'insert'`` or ``int | none``."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is None or hint is type(None):
        return "none"
    if origin in (Union, types.UnionType):
        return " | ".join(type_text(argument) for argument in arguments)
    if origin is Literal:
        return " | ".join(repr(argument) for argument in arguments)
    if origin is not None:
        inner = ", ".join("..." if a is Ellipsis else type_text(a) for a in arguments)
        return f"{origin.__name__}[{inner}]"
    return getattr(hint, "__name__", str(hint))
