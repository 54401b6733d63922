"""Who delivered a pair, as its JSON or its place says: a name, and nothing that a URL hides."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from clipbench.errors import BadSetting
from clipbench.shards.reader import ShardSet
from clipbench.text.visible import visible

By = Literal["field", "host", "folder", "none"]
URL = "url"  # the field of img2dataset's JSON
HERE = "."  # the folder that holds some shards itself, and others in folders of its own
_LONGEST = 100  # characters of a name
_LOOKS, _NAMED = 1_000, 10  # pairs that are looked at first, and fields that a message names
_HOST = re.compile(r"[^\W_](?:[\w-]*[^\W_])?(?:\.[^\W_](?:[\w-]*[^\W_])?)*\.?|[0-9a-f:.]+")


def host_of(value: object) -> str:
    """Return the host of a URL in lower case; empty: it is no URL with a host.

    Nothing else of the URL is returned: paths and queries name people, and what stands before the
    host may be a password.
    """
    if not isinstance(value, str) or "//" not in value[:64]:
        return ""
    try:
        host = urlsplit(value.strip()).hostname or ""
    except ValueError:  # brackets that don't match, say
        return ""
    return host.rstrip(".") if len(host) <= 253 and _HOST.fullmatch(host) else ""


def name_of(value: object) -> str:
    """Return what a field of the JSON says as a name on one line; of a URL, its host.

    Texts, numbers and truth values are names; lists, objects and null are none.
    """
    if isinstance(value, str):
        return host_of(value) or " ".join(value.split())[:_LONGEST]
    return str(value)[:_LONGEST] if isinstance(value, (bool, int, float)) else ""


def shard_names(paths: Sequence[Path]) -> list[str]:
    """Return the name of each shard, from the folder on that all lie in."""
    home = Path(os.path.commonpath([path.absolute().parent for path in paths]))
    return [path.absolute().relative_to(home).as_posix() for path in paths]


def folder_of(shard: str) -> str:
    """Return the folder of a shard by its name; empty: that in which all lie."""
    return shard.rpartition("/")[0]


def check_field(shards: ShardSet, field: str) -> None:
    """Refuse a field that names no supplier of any pair.

    Where one does, that shows after a few.

    Raises:
        BadSetting: no JSON has it, or none with a name.
    """
    seen = dict[str, None]()
    step = max(1, len(shards) // _LOOKS)
    for pair in (pair for start in range(step) for pair in range(start, len(shards), step)):
        fields = shards.metadata(pair)
        if name_of(fields.get(field)):
            return
        if len(seen) < _NAMED:
            seen.update(dict.fromkeys(map(visible, fields)))
    names = ", ".join([*seen][:_NAMED])
    raise BadSetting(
        f"No JSON of {visible(shards.source)} names a supplier in its field {visible(field)}"
        f" ({f'it has {names}' if names else 'there is no JSON'}); name another with --supplier,"
        " or leave it out."
    )


def shown_name(name: str) -> str:
    """Return the name of a supplier as people see it, also where there is none."""
    return "(top folder)" if name == HERE else visible(name) or "(not named)"
