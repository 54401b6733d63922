"""Large JSON annotations, read item by item, and fields checked as they are read."""

from __future__ import annotations

import codecs
import json
import mmap
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Protocol

import ijson

from clipbench.errors import CorruptData
from clipbench.files.foreign import opened_regular

# A text, whose end may not be there yet, or a number, of which JSON does not have all.
_TOKEN = re.compile(
    rb'"[^"\\]*(?:\\.[^"\\]*)*("|\\?\Z)|-?(?:NaN|Infinity|[0-9][0-9.eE+-]*)', re.DOTALL
)
_ODD = re.compile(rb"NaN|Infinity|[:,\[\s]-?[0-9]{19,}[],}\s]")
_DIGITS = 18  # of a whole number that the parser takes for certain
_NO_OBJECT = "not an object"
_LONGEST = len(b"-Infinity")


def items(path: Path, where: str, what: str) -> Iterator[Mapping[str, object]]:
    """Yield the objects of a list in a JSON file; their memory is all that is taken.

    A byte-order mark is passed over. NaN and Infinity, which Python writes and JSON does not have,
    and whole numbers of more than 18 digits, which the parser does not, are read as null. What is
    no object among objects comes as one without the fields asked for, so that it is refused or left
    out by itself.

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
        with opened_regular(path) as file:
            for item in ijson.items(_readable(file), prefix, use_float=True):
                if not found and not isinstance(item, dict):
                    raise CorruptData(f"{path} is not {what}: {prefix} is {item!r}."[:300])
                found = True
                yield item if isinstance(item, dict) else {_NO_OBJECT: item}
    except (ijson.JSONError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise CorruptData(f"{path} is no whole JSON file ({reason}); fetch it again.") from error
    if not found:
        part = f"list {where!r}" if where else "list"
        raise CorruptData(f"{path} is not {what}: it has no {part} with anything in it.")


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


def _readable(file: IO[bytes]) -> _Readable:
    """Return an open file as JSON: behind its byte-order mark, and without NaN and Infinity."""
    start = len(codecs.BOM_UTF8) if file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8 else 0
    if file.seek(0, os.SEEK_END) == 0:
        return file  # which can't be mapped
    file.seek(start)
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        is_odd = _ODD.search(content) is not None
    return _WithoutNone(file) if is_odd else file


class _WithoutNone:
    """A file of JSON with null in place of numbers that can't be read.

    Args:
        file: the file.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._rest = file, b""

    def read(self, size: int = -1) -> bytes:
        """Return some bytes, about `size`; none at the end."""
        while True:
            block = self._file.read(size)
            data = self._rest + block
            end = len(data) if not block or size < 0 else _safe_end(data)
            self._rest = data[end:]
            if end or not block:
                return _TOKEN.sub(_plain, data[:end])


def _plain(match: re.Match[bytes]) -> bytes:
    token = match[0]
    digits = token.removeprefix(b"-")
    too_long = digits.isdigit() and len(digits) > _DIGITS
    return b"null" if too_long or token[-1:] in {b"N", b"y"} else token


def _safe_end(data: bytes) -> int:
    """Return how much of the data can be looked at before more comes: no text or word is cut."""
    behind = 0
    for match in _TOKEN.finditer(data):
        if match[1] != b'"' and (match[1] is not None or match.end() == len(data)):
            return match.start()
        behind = match.end()
    return max(behind, len(data) - _LONGEST)


def whole(item: Mapping[str, object], name: str, path: Path) -> int:
    """Return a whole number of an item.

    Raises:
        CorruptData: there is none.
    """
    value = item.get(name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise CorruptData(_misfit(item, name, path, "no whole number"))
    return value


def text(item: Mapping[str, object], name: str, path: Path) -> str:
    """Return a text of an item.

    Raises:
        CorruptData: there is none.
    """
    value = item.get(name)
    if not isinstance(value, str):
        raise CorruptData(_misfit(item, name, path, "no text"))
    return value


def _misfit(item: Mapping[str, object], name: str, path: Path, what: str) -> str:
    value, shown = repr(item.get(name)), json.dumps(item, default=str)
    shown = shown if len(shown) <= 100 else f"{shown[:100]}..."
    return f"{path} has an item whose {name!r} is {value[:60]}, {what}: {shown}"
