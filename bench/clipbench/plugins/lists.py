"""Lists as people type them: ``none,clipscore:drop=0.1,scoring_epochs=2,clip`` are three defenses.

The grammar, the same on the command line, in the environment and in YAML: items are separated by
commas outside quotes, brackets and braces. A part ``PARAMETER=VALUE`` belongs to the item before it
and begins none. A part also belongs to the part before it where the two with their comma are the
name of something that is there, such as the file ``a,b.py``. An address or a ``pipe:`` command is
one item, whatever commas it has.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from clipbench.errors import BadSetting

Item = TypeVar("Item")
_PART = re.compile(
    r"""(?:"[^"]*"|'[^']*'|\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\}|[^,])*(?:,|$)""", re.VERBOSE
)
_PARAMETER = re.compile(r"\s*[A-Za-z_][\w-]*\s*=")
_REMOTE = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*://|pipe:)", re.IGNORECASE)


def split_specs(text: str, what: str) -> list[str]:
    """Return the items of a list of plugins with their parameters.

    Args:
        text: as typed.
        what: what it is a list of, for the message.

    Raises:
        BadSetting: an item is empty.
    """
    if _REMOTE.match(text):
        return [text]
    items: list[str] = []
    for part in _parts(text):
        if items and (_PARAMETER.match(part) or _is_there(items[-1], part)):
            items[-1] = f"{items[-1]},{part}"
        else:
            items.append(part)
    return _whole(items, text, what)


def split_plain(text: str, what: str) -> list[str]:
    """Return the items of a list of numbers.

    Raises:
        BadSetting: an item is empty.
    """
    return _whole(text.split(","), text, what)


def split_rates(text: str) -> list[str]:
    """Return the items of a list of poison rates.

    Raises:
        BadSetting: an item is empty, or the comma looks like a decimal one.
    """
    items = split_plain(text, "rate")
    if len({item.endswith("%") for item in items}) > 1:
        raise BadSetting(
            f"The rate {text!r} may be a list or have a decimal comma; write decimals with a point,"
            " and a list with % in every rate or in none."
        )
    return items


def _whole(items: list[str], text: str, what: str) -> list[str]:
    stripped = [item.strip() for item in items]
    if len(stripped) > 1 and not all(stripped):
        raise BadSetting(f"The list of {what} {text!r} has an empty item; leave out that comma.")
    return stripped


def _parts(text: str) -> list[str]:
    """Split at the commas that are not inside quotes, brackets or braces."""
    parts: list[str] = []
    position = 0
    while True:
        match = _PART.match(text, position)
        assert match is not None  # it matches even nothing
        part, position = match[0], match.end()
        if not part.endswith(","):
            return [*parts, part]
        parts.append(part[:-1])


def _is_there(before: str, part: str) -> bool:
    """Return whether two parts with their comma name a file or folder that is there."""
    whole = f"{before},{part}".strip()
    end = min((whole.find(sign, len(before) + 1) for sign in "/:" if sign in part), default=-1)
    try:
        return Path(whole if end < 0 else whole[:end]).expanduser().exists()
    except (OSError, RuntimeError):  # a name that no file can have, a home that nobody has
        return False


def each(value: Sequence[Item], what: str) -> tuple[Item | str, ...]:
    """Return the items of a list as it was read, of which texts may be lists themselves."""
    found: list[Item | str] = []
    for item in value:
        found += split_specs(item, what) if isinstance(item, str) else [item]
    return tuple(found)
