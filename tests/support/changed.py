"""A copy of an object of JSON with one thing changed."""

from __future__ import annotations

import copy
from typing import Any


def changed(value: Any, field: str, new: Any) -> Any:
    """Return a copy with one dotted field replaced, or taken out if `new` is ... ."""
    copied = copy.deepcopy(value)
    *path, last = [int(part) if part.isdigit() else part for part in field.split(".")]
    place: Any = copied
    for part in path:
        place = place[part]
    if new is ...:
        del place[last]
    else:
        place[last] = new
    return copied
