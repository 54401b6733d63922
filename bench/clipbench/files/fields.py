"""JSON as strangers write it, read and written as JSON that every reader takes.

Python, and much that is written with it, knows numbers that JSON does not have: NaN and Infinity,
and whole numbers of thousands of digits. They are read as null, which is what JSON has for a value
that is none.
"""

from __future__ import annotations

import json
import math
from typing import Any

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


def plain(value: Any) -> Any:
    """Return a value in which every number is one that JSON has, and all others are None."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
