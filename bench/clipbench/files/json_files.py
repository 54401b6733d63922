"""JSON files, hashes of files, and links to them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from clipbench.errors import CorruptData, MissingData, Torn
from clipbench.files import sums
from clipbench.files.foreign import opened_regular, parsed, read_regular
from clipbench.system.disk import is_full, no_space
from clipbench.system.durable import atomic_file

_CHUNK = 1 << 22
_REMEDY = "Remove the set it belongs to, then write it again."


def is_vacant(folder: Path) -> bool:
    """Return whether a folder can be made here: nothing is there, or an empty folder."""
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def write_json(path: Path, value: object, indent: int | None = 1, *, sync: bool = True) -> None:
    """Write `value` as JSON as `atomic_file` does; the same value gives the same bytes."""
    text = json_text(value, indent)
    with atomic_file(path, len(text), sync=sync) as file:
        file.write(text)


def json_text(value: object, indent: int | None = 1) -> bytes:
    """Return what `write_json` writes."""
    return f"{json.dumps(value, indent=indent, allow_nan=False)}\n".encode()


def write_summed(
    path: Path, value: Mapping[str, object], indent: int | None = 1, *, sync: bool = True
) -> None:
    """Write an object as `write_json` does, with a checksum that `read_json` looks at."""
    write_json(path, sums.summed(value), indent, sync=sync)


def read_json(path: Path) -> dict[str, object]:
    """Return the JSON object in `path`; of what `write_summed` wrote, without the checksum.

    Raises:
        MissingData: there is no such file.
        CorruptData: it holds no JSON object, or not the one that was written.
    """
    try:
        value = parsed(read_regular(path))
    except FileNotFoundError as error:
        raise MissingData(f"There is no file {path}; check the path.") from error
    except OSError as error:
        raise MissingData(f"{path} can't be read: {error.strerror}.") from error
    except ValueError as error:
        raise Torn(f"{path} is not valid JSON ({error}). {_REMEDY}") from error
    if not isinstance(value, dict):
        raise CorruptData(f"{path} holds no JSON object. {_REMEDY}")
    if not sums.is_sound(value):
        raise CorruptData(f"{path} has changed since it was written. {_REMEDY}")
    value.pop(sums.FIELD, None)
    return value


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file in hex; its memory use does not grow with the file."""
    digest = hashlib.sha256()
    try:
        with opened_regular(path) as file:
            while block := file.read(_CHUNK):
                digest.update(block)
    except OSError as error:
        raise MissingData(f"Shard {path} can't be read: {error.strerror}.") from error
    return digest.hexdigest()


def link_or_copy(source: Path, target: Path) -> None:
    """Give `target` the bytes and times of `source`, as a hard link where the system can."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # another device, or a file system without links
        try:
            shutil.copy2(source, target)
        except OSError as error:
            target.unlink(missing_ok=True)
            if is_full(error):
                raise no_space(target, source.stat().st_size) from error
            raise
