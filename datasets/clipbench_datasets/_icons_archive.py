"""The npm package ``@iconify/json``: a tar that ``npm pack`` writes, or the folder in it.

Iconify, https://iconify.design/docs/types/iconify-json.html (format) and
https://www.npmjs.com/package/@iconify/json (package).

``json/PREFIX.json`` is a set of icons: title, author, license, and per icon its name, its drawing
(what an ``<svg>`` holds) and the box it lies in; further names and categories of icons stand apart.
It is a stranger's: sizes are bounded, and what is no icon set is refused or counted.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple, cast

from clipbench.errors import BadInput, CorruptData, MissingData
from clipbench.files.foreign import MOST_BYTES, nothing_collected, parsed, read_regular
from clipbench.files.json_files import sha256_file

VERSION = "2.2.535"
CONTENT = "d7b2f29cb244971b2d003e1ce16335154c6108b7ae21c6df1684da3a6ac56890"
FETCH = f"fetch it with `npm pack @iconify/json@{VERSION}`"
_MOST_TOTAL = 1 << 30  # bytes that an archive unpacks to; it has 486 million
_MOST_SETS = 5_000
_MOST_TEXT = 200  # characters of a title, a name or a category
_MOST_BODY = 1 << 16
_MOST_RATIO = 8  # of width and height, or the other way
_FAR = 1e6  # from the origin
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_ANIMATED = ("<animate", "<set")
_DEFAULT_SIDE = 16  # of the box of an icon that says nothing of it


Stamps = tuple[tuple[str, int, int], ...]  # name, bytes and time of change of each file


class Icon(NamedTuple):
    """A drawing with the names that it has.

    Args:
        prefix: the icon set it is of.
        name: its name there, words joined by hyphens.
        base: the name without what marks a variant, such as ``-outline``; words joined by blanks.
        body: what the SVG holds.
        box: left, top, width and height of the SVG.
        others: further names of the same drawing, words joined by blanks.
        categories: what the set files it under.
        title: the set's title.
    """

    prefix: str
    name: str
    base: str
    body: str
    box: tuple[float, float, float, float]
    others: tuple[str, ...]
    categories: tuple[str, ...]
    title: str

    @property
    def key(self) -> str:
        """A name that no other icon has."""
        return f"{self.prefix}:{self.name}"


@dataclass(frozen=True)
class IconSet:
    """The icons of one set.

    Args:
        prefix: the set's short name, that of its file.
        title: its title.
        author: who drew it; sets of one author are taken for one family.
        license: SPDX identifier of its license, or else the title of that.
        icons: its icons, those that can't be used left out.
        left_out: how many were left out, by reason.
    """

    prefix: str
    title: str
    author: str
    license: str
    icons: tuple[Icon, ...]
    left_out: Counter[str]

    @property
    def is_noncommercial(self) -> bool:
        """Whether the license forbids commercial use: Creative Commons marks that with ``NC``."""
        words = re.split(r"[-\s]", self.license.upper())
        return "NC" in words or any("NONCOMMERCIAL" in word for word in words)


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
            sets.append(_icon_set(path, name, content))
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


def _json(path: Path, name: str, content: bytes) -> dict[str, Any]:
    try:
        value = parsed(content)
    except ValueError as error:
        raise CorruptData(f"{name} in {path} is no JSON that can be read: {error}.") from error
    if not isinstance(value, dict):
        raise CorruptData(f"{name} in {path} must hold a JSON object; {FETCH}.")
    return value


# ------------------------------------------------------------------------------ an icon set


def _icon_set(path: Path, file: str, content: bytes) -> IconSet:
    found, prefix = _json(path, file, content), PurePosixPath(file).stem
    try:
        info = found["info"]
        title, author, license_ = (
            _text(info["name"]),
            _text(info["author"]["name"]),
            _text(info["license"].get("spdx") or info["license"]["title"]),
        )
        base_of = _without_variant(found)
        left_out: Counter[str] = Counter()
        others, filed = _others(found), _categories(found)
        icons = []
        for name, icon in found["icons"].items():
            box = _box(icon, found)
            reason = _unusable(name, icon, box)
            if reason:
                left_out[reason] += 1
                continue
            rest = (tuple(others.get(name, ())), tuple(filed.get(name, ())), title)
            icons.append(Icon(prefix, name, base_of(name), icon["body"], box, *rest))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CorruptData(
            f"{file} in {path} is no icon set: {type(error).__name__}, {error}; {FETCH}."
        ) from error
    return IconSet(prefix, title, author, license_, tuple(icons), left_out)


def _text(value: Any) -> str:
    """Return a text in one line, of bounded length and without what can't be seen.

    Raises:
        TypeError: it is no text.
        ValueError: nothing of it can be seen.
    """
    if not isinstance(value, str):
        raise TypeError(f"{str(value)[:60]!r} is no text")
    shown = "".join(character if character.isprintable() else " " for character in value)
    text = " ".join(shown.split())[:_MOST_TEXT]
    if not text:
        raise ValueError("a text is empty")
    return text


def _unusable(name: str, icon: Any, box: tuple[float, ...]) -> str | None:
    """Return why an icon is left out before it is drawn; None: it is not."""
    body = icon["body"]
    if icon.get("hidden"):
        return "hidden"
    if not _NAME.fullmatch(name) or len(name) > _MOST_TEXT:
        return "odd name"
    if len(body) > _MOST_BODY:
        return "large"
    if any(mark in body for mark in _ANIMATED):
        return "animated"
    if not all(map(math.isfinite, box)) or max(map(abs, box)) > _FAR or min(box[2:]) <= 0:
        return "odd box"
    return "narrow" if max(box[2:]) > _MOST_RATIO * min(box[2:]) else None


def _box(icon: dict[str, Any], found: dict[str, Any]) -> tuple[float, float, float, float]:
    """Return where an icon lies; the set says it where the icon does not."""
    fields = (("left", 0), ("top", 0), ("width", _DEFAULT_SIDE), ("height", _DEFAULT_SIDE))
    left, top, width, height = (
        float(icon.get(field, found.get(field, default))) for field, default in fields
    )
    return left, top, width, height


def _without_variant(found: dict[str, Any]) -> Callable[[str], str]:
    """Return what takes from a name the mark of a variant that the set says it has."""
    ends = sorted((f"-{end}" for end in found.get("suffixes", {}) if end), key=len, reverse=True)
    starts = sorted((f"{one}-" for one in found.get("prefixes", {}) if one), key=len, reverse=True)

    def base(name: str) -> str:
        for end in ends:
            if name.endswith(end):
                name = name[: -len(end)]
                break
        for start in starts:
            if name.startswith(start):
                name = name[len(start) :]
                break
        return name.replace("-", " ")

    return base


def _others(found: dict[str, Any]) -> dict[str, list[str]]:
    """Return further names of icons; one that turns or mirrors is another drawing."""
    names: dict[str, list[str]] = {}
    for name, alias in found.get("aliases", {}).items():
        if set(alias) == {"parent"} and _NAME.fullmatch(name) and len(name) <= _MOST_TEXT:
            names.setdefault(alias["parent"], []).append(name.replace("-", " "))
    return names


def _categories(found: dict[str, Any]) -> dict[str, list[str]]:
    filed: dict[str, list[str]] = {}
    for category, names in found.get("categories", {}).items():
        for name in names if category else ():
            filed.setdefault(name, []).append(_text(category))
    return filed


def check_there(path: Path) -> None:
    """Refuse a path at which no archive can be.

    Raises:
        BadInput: there is nothing, or a folder without icon sets.
    """
    if not path.exists():
        raise MissingData(f"There is no archive of icons {path.absolute()}; {FETCH}.")
    if path.is_dir() and len(names_of_files(path)) == 1:
        raise BadInput(f"{path.absolute()} has no json/PREFIX.json in it; {FETCH}.")
