"""The npm package ``@iconify/json``: a tar that ``npm pack`` writes, or the folder in it.

https://github.com/iconify/icon-sets

``json/PREFIX.json`` is a set of icons. It is a stranger's: sizes are bounded, and what is no icon
set is refused.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from clipbench.errors import BadInput, CorruptData, MissingData
from clipbench.files.foreign import MOST_BYTES, nothing_collected, parsed, read_regular
from clipbench.files.json_files import sha256_file
from clipbench_datasets._icons_sets import IconSet, icon_set

VERSION = "2.2.535"
CONTENT = "d7b2f29cb244971b2d003e1ce16335154c6108b7ae21c6df1684da3a6ac56890"
FETCH = f"fetch it with `npm pack @iconify/json@{VERSION}`"
_MOST_TOTAL = 1 << 30  # bytes that an archive unpacks to; it has 486 million
_MOST_SETS = 5_000


Stamps = tuple[tuple[str, int, int], ...]  # name, bytes and time of change of each file


@dataclass(frozen=True)
class Archive:
    """All icon sets of a package, in order of their prefixes.

    Args:
        version: the package's version.
        content: SHA-256 over the names and hashes of the files of its icon sets.
        sets: the icon sets.
    """

    version: str
    content: str
    sets: tuple[IconSet, ...]


def read_archive(path: Path) -> Archive:
    """Return the icon sets of a package.

    Raises:
        MissingData: there is nothing at `path`.
        CorruptData: it is no such package, or damaged.
    """
    version, hashes, sets = "", [], []
    with nothing_collected():
        for name, content in _files(path):
            if name == "package.json":
                version = _version(path, content)
                continue
            hashes.append(f"{name} {hashlib.sha256(content).hexdigest()}\n")
            sets.append(_set_of(path, name, content))
    if not sets or not version:
        what = "json/PREFIX.json with icons" if version else "package.json"
        raise CorruptData(f"{path} holds no {what}; {FETCH}.")
    digest = hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest()
    if version == VERSION and digest != CONTENT:
        raise CorruptData(
            f"{path} says it is version {VERSION}, and its icons are not those of that; {FETCH}."
        )
    return Archive(version, digest, tuple(sorted(sets, key=lambda one: one.prefix)))


# ------------------------------------------------------------------------------ files


def names_of_files(folder: Path) -> list[tuple[str, Path]]:
    """Return the files of an unpacked package that are read, by their names in it."""
    home = folder / "package" if (folder / "package" / "json").is_dir() else folder
    files = [(f"json/{path.name}", path) for path in sorted((home / "json").glob("*.json"))]
    return [*files, ("package.json", home / "package.json")]


def stamps(path: Path) -> Stamps:
    """Return what changes when an archive does.

    Raises:
        BadInput: there is none.
    """
    check_there(path)
    files = names_of_files(path) if path.is_dir() else [("archive", path)]
    statuses = [(name, file.stat()) for name, file in files if file.exists()]
    return tuple((name, status.st_size, status.st_mtime_ns) for name, status in statuses)


def content_of_folder(folder: Path) -> str:
    """Return the hash of the names and contents of the files of an unpacked package."""
    lines = [f"{name} {sha256_file(path)}\n" for name, path in names_of_files(folder)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a package that are read, with their names in it."""
    if path.is_dir():
        for name, file in names_of_files(path):
            try:
                yield name, read_regular(file)
            except (OSError, ValueError) as error:
                raise CorruptData(f"{file} can't be read: {error}; {FETCH}.") from error
        return
    if not path.is_file():
        raise MissingData(f"There is no archive of icons {path.absolute()}; {FETCH}.")
    try:
        with gzip.open(path) as content:
            yield from _members(path, cast("IO[bytes]", content))
    except (EOFError, OSError, tarfile.TarError, zlib.error) as error:
        raise CorruptData(f"{path} is cut off, damaged or no .tgz: {error}; {FETCH}.") from error


class _Counted:
    """Reads on until more has come than any archive holds: a small file may unpack to no end."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path, self._file, self._left = path, file, _MOST_TOTAL

    def read(self, size: int) -> bytes:
        block = self._file.read(size)
        self._left -= len(block)
        if self._left < 0:
            raise CorruptData(f"{self._path} unpacks to more than {_MOST_TOTAL:,} bytes; {FETCH}.")
        return block


def _members(path: Path, content: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield what is read of a tar; nothing is unpacked to anywhere."""
    counted = cast("IO[bytes]", _Counted(path, content))
    number = 0
    with tarfile.open(fileobj=counted, mode="r|") as tar:
        for member in tar:
            parts = PurePosixPath(member.name).parts[1:]  # all is in the folder "package"
            is_set = len(parts) == 2 and parts[0] == "json" and parts[1].endswith(".json")
            if not member.isreg() or not (is_set or parts == ("package.json",)):
                continue
            number += 1
            file = tar.extractfile(member)
            if file is None or member.size > MOST_BYTES or number > _MOST_SETS:
                raise CorruptData(f"{path} holds more than a package of icons does; {FETCH}.")
            yield "/".join(parts), file.read()


def _version(path: Path, content: bytes) -> str:
    package = _json(path, "package.json", content)
    version = package.get("version")
    if not isinstance(version, str) or not re.fullmatch(r"[0-9A-Za-z.+-]{1,40}", version):
        raise CorruptData(f"package.json in {path} has no version; {FETCH}.")
    return version


def _set_of(path: Path, name: str, content: bytes) -> IconSet:
    try:
        return icon_set(PurePosixPath(name).stem, _json(path, name, content))
    except BadInput:
        raise
    except ValueError as error:
        raise CorruptData(f"{name} in {path} is no icon set: {error}; {FETCH}.") from error


def _json(path: Path, name: str, content: bytes) -> dict[str, object]:
    try:
        value = parsed(content)
    except ValueError as error:
        raise CorruptData(f"{name} in {path} is no JSON that can be read: {error}.") from error
    if not isinstance(value, dict):
        raise CorruptData(f"{name} in {path} must hold a JSON object; {FETCH}.")
    return value


def check_there(path: Path) -> None:
    """Refuse a path at which no archive can be.

    Raises:
        BadInput: there is nothing, or a folder without icon sets.
    """
    if not path.exists():
        raise MissingData(f"There is no archive of icons {path.absolute()}; {FETCH}.")
    if path.is_dir() and len(names_of_files(path)) == 1:
        raise BadInput(f"{path.absolute()} has no json/PREFIX.json in it; {FETCH}.")
