"""JSON as strangers write it, read and written as JSON that every reader takes.

Python, and much that is written with it, knows numbers that JSON does not have: NaN and Infinity,
and whole numbers of thousands of digits. They are read as null, which is what JSON has for a value
that is none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from clipbench.errors import CorruptData
from clipbench.files.foreign import check_depth

_MOST_DIGITS = 4300  # Python's own limit, beyond which reading a number takes minutes


def _whole(text: str) -> int | None:
    return int(text) if len(text) <= _MOST_DIGITS else None


def _real(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _none(_: str) -> None:
    return None


def read(text: str | bytes) -> Any:
    """Return what a JSON text says; numbers that JSON does not have, or nobody can hold, are None.

    Raises:
        ValueError, RecursionError: it is no JSON.
    """
    value = json.loads(text, parse_constant=_none, parse_float=_real, parse_int=_whole)
    check_depth(value)
    return value


def plain(value: object) -> object:
    """Return a value in which every number is one that JSON has, and all others are None."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def caption_in(content: bytes, field: str | None, where: Callable[[], str]) -> str:
    """Return the caption that a file of a pair holds.

    Args:
        content: of the file.
        field: of the JSON that the file is; None: the file is the caption.
        where: names the pair, for messages.

    Raises:
        CorruptData: it is not UTF-8, no JSON object, or has no text under that name.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise CorruptData(
            f"Caption of {where()} is not UTF-8: {error}. Write it again as UTF-8 or remove"
            " the key."
        ) from error
    if field is None:
        return text
    try:
        value = read(text).get(field)
    except (ValueError, AttributeError, RecursionError) as error:
        raise CorruptData(f"JSON of {where()} is no JSON object: {error}.") from error
    if not isinstance(value, str):
        raise CorruptData(
            f"JSON of {where()} has no text {field!r}; name another field with"
            " caption_field=..., or remove the key."
        )
    return value
