"""Checks of values read from outside, put together to schemas.

A check takes the dotted name of a field and its value, and raises `Objection` if that is wrong.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import TypeGuard

from clipbench.text.visible import visible

Check = Callable[[str, object], None]


class Objection(ValueError):
    """A field is not what it must be."""

    def __init__(self, field: str, must: str, value: object) -> None:
        shown = _shown(value)
        super().__init__(visible(f"{_cut(field) or 'it'} {_cut(must)}, but is {shown}"))
        self.field, self.must, self.value = field, must, value

    def within(self, field: str) -> Objection:
        """Return the objection with the name of the object that the field is in before it."""
        inner = f".{self.field}" if self.field else ""
        return Objection(f"{field}{inner}" if field else self.field, self.must, self.value)


def _cut(text: str) -> str:
    """Return the beginning of a text that may be of any length."""
    return text if len(text) <= 300 else f"{text[:300]}..."


def _shown(value: object) -> str:
    """Return the beginning of a value's text; a number may have more digits than Python writes."""
    if isinstance(value, int) and abs(value) >= 1 << 200:
        return "a number of hundreds of digits"
    if isinstance(value, list | dict) and len(value) > 60:
        return f"one of {len(value)} items"
    shown = repr(value[:100] if isinstance(value, str) else value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


class Missing(Objection):
    """A field is not there."""

    def __init__(self, field: str) -> None:
        ValueError.__init__(self, visible(f"{_cut(field)} is missing"))
        self.field, self.must, self.value = field, "must be there", None


def parse_time(text: str) -> datetime:
    """Return an ISO-8601 time; one without a zone is taken as UTC.

    Raises:
        ValueError: if it is none.
    """
    time = datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)


def is_number(value: object) -> TypeGuard[float]:
    """Return whether `value` is a finite number; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def text(field: str, value: object) -> None:
    """Object to anything but a text that is not empty."""
    if not isinstance(value, str) or not value:
        raise Objection(field, "must be a text that is not empty", value)


def time(field: str, value: object) -> None:
    """Object to anything but an ISO-8601 time."""
    text(field, value)
    try:
        parse_time(str(value))
    except ValueError as error:
        raise Objection(field, "must be an ISO-8601 time", value) from error


def one_of(*choices: str) -> Check:
    """Return a check that objects to anything but the choices."""

    def check(field: str, value: object) -> None:
        if value not in choices:
            raise Objection(field, f"must be {' or '.join(map(repr, choices))}", value)

    return check


def hexadecimal(digits: int) -> Check:
    """Return a check that objects to anything but so many lower-case hexadecimal digits."""

    def check(field: str, value: object) -> None:
        if not isinstance(value, str) or not re.fullmatch(f"[0-9a-f]{{{digits}}}", value):
            raise Objection(field, f"must be {digits} lower-case hexadecimal digits", value)

    return check


def integer(field: str, value: object) -> None:
    """Object to anything but a whole number."""
    if type(value) is not int:
        raise Objection(field, "must be a whole number", value)


def count(field: str, value: object) -> None:
    """Object to anything but a whole number from 0."""
    if type(value) is not int or not 0 <= value < 2**63:
        raise Objection(field, "must be a whole number from 0", value)


def number(low: float = -math.inf, high: float = math.inf) -> Check:
    """Return a check that objects to anything but a finite number in [low, high]."""

    def check(field: str, value: object) -> None:
        if not is_number(value) or not low <= value <= high:
            bounds = "" if low == -math.inf else f" from {low:g}"
            bounds += "" if high == math.inf else f" to {high:g}"
            raise Objection(field, f"must be a finite number{bounds}", value)

    return check


def size(field: str, value: object) -> None:
    """Object to anything but the side of an image, or a list of its height and width."""
    for side in value if isinstance(value, list) and value else [value]:
        count(field, side)


def maybe(check: Check) -> Check:
    """Return a check that lets null pass."""
    return lambda field, value: None if value is None else check(field, value)


def table(field: str, value: object) -> None:
    """Object to anything but an object whose names are texts."""
    _table(field, value)


def _table(field: str, value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise Objection(field, "must be an object", value)
    return value


def items(check: Check, most: int | None = None) -> Check:
    """Return a check of every item of a list, of which there are at most so many."""

    def check_all(field: str, value: object) -> None:
        if not isinstance(value, list):
            raise Objection(field, "must be a list", value)
        if most is not None and len(value) > most:
            raise Objection(field, f"must have at most {most} items", len(value))
        for position, part in enumerate(value):
            check(f"{field}[{position}]", part)

    return check_all


def words(field: str, value: object) -> None:
    """Object to anything but a text, be it empty."""
    if not isinstance(value, str):
        raise Objection(field, "must be a text", value)


def file_name(field: str, value: object) -> None:
    """Object to anything but the name of a file in its folder, of 255 bytes at most."""
    text(field, value)
    name = str(value)
    try:
        fits = len(name) <= 255 and len(os.fsencode(name)) <= 255
    except UnicodeEncodeError:  # half of a pair of surrogates is in no name
        fits = False
    if not fits or "/" in name or "\0" in name or name in {".", ".."}:
        raise Objection(field, "must be the name of a file, without a folder", value)


def table_of(check: Check) -> Check:
    """Return a check of every value of an object."""

    def check_all(field: str, value: object) -> None:
        for name, part in _table(field, value).items():
            check(f"{field}.{name}", part)

    return check_all


def fields(
    required: Mapping[str, Check],
    optional: Mapping[str, Check] | None = None,
    *,
    others: bool = True,
) -> Check:
    """Return a check of an object by field; of optional ones, those that are there.

    Args:
        required: what must be there.
        optional: what may be there.
        others: whether fields that are not named here may be there, too.
    """

    def check(field: str, value: object) -> None:
        told = _table(field, value)
        prefix = f"{field}." if field else ""
        for name, part in required.items():
            if name not in told:
                raise Missing(f"{prefix}{name}")
            part(f"{prefix}{name}", told[name])
        for name, part in (optional or {}).items():
            if name in told:
                part(f"{prefix}{name}", told[name])
        for name in told if not others else ():
            if name not in required and name not in (optional or {}):
                raise Objection(f"{prefix}{name}", "must not be there", told[name])

    return check
