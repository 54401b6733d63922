"""Stages of an audit: what a stage found is kept in a file, and not sought again.

The file carries the hash of everything that decides what the stage finds. Another request, other
pairs or another version of the stage make it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from clipbench.errors import ClipbenchError, MissingData
from clipbench.files import sums
from clipbench.files.checks import Objection
from clipbench.files.json_files import read_json, write_summed
from clipbench.files.typed import Json, read_as
from clipbench.system.durable import make_folder

Found = TypeVar("Found", bound=msgspec.Struct)
_KEY, _FOUND = "key_sha256", "found"


def kept(
    path: Path, kind: type[Found], key: Mapping[str, Json], make: Callable[[], Found]
) -> tuple[Found, bool]:
    """Return what a stage found, from its file if that is of the same key.

    Args:
        path: the file.
        kind: of what is found; its fields are what JSON can hold.
        key: everything that decides it, the version of the stage among it.
        make: finds it.

    Returns:
        What was found, and whether that was just now.
    """
    sha256 = sums.of_json(key)
    before = _read(path, kind, sha256)
    if before is not None:
        return before, False
    found = make()
    make_folder(path.parent)
    write_summed(path, {_KEY: sha256, _FOUND: msgspec.to_builtins(found)})
    return found, True


def _read(path: Path, kind: type[Found], sha256: str) -> Found | None:
    """Return what a file says; None: it is not there, damaged, or of another key."""
    try:
        told = read_json(path)
        return read_as(kind, told[_FOUND]) if told.get(_KEY) == sha256 else None
    except MissingData:
        return None
    except (ClipbenchError, Objection, KeyError):  # cut off or changed: it is made again
        return None
