"""Large JSON annotations, read item by item, and fields checked as they are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ijson

from clipbench.errors import CorruptData


def items(path: Path, where: str, what: str) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of a list in a JSON file; their memory is all that is taken.

    Args:
        path: the file.
        where: name of the list in the outermost object; empty: the outermost value is the list.
        what: what the file should be, for messages.

    Raises:
        CorruptData: it is no JSON, has no such list, or the list holds something else.
    """
    prefix = f"{where}.item" if where else "item"
    found = False
    try:
        with path.open("rb") as file:
            for item in ijson.items(file, prefix, use_float=True):
                found = True
                if not isinstance(item, dict):
                    raise CorruptData(f"{path} is not {what}: {prefix} is {item!r}."[:300])
                yield item
    except (ijson.JSONError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise CorruptData(f"{path} is no whole JSON file ({reason}); fetch it again.") from error
    if not found:
        part = f"list {where!r}" if where else "list"
        raise CorruptData(f"{path} is not {what}: it has no {part} with anything in it.")


def whole(item: Mapping[str, Any], name: str, path: Path) -> int:
    """Return a whole number of an item.

    Raises:
        CorruptData: there is none.
    """
    value = item.get(name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise CorruptData(f"{path} has an item whose {name!r} is {value!r}, no whole number.")
    return value


def text(item: Mapping[str, Any], name: str, path: Path) -> str:
    """Return a text of an item.

    Raises:
        CorruptData: there is none.
    """
    value = item.get(name)
    if not isinstance(value, str):
        raise CorruptData(f"{path} has an item whose {name!r} is {value!r}, no text.")
    return value
