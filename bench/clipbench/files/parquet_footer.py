"""What a Parquet file says of its rows and columns, before a library reads it.

pyarrow ends the process where some parts of a footer contradict each other, and unpacks what a few
bytes claim to be gigabytes. A footer is a structure of Thrift's compact protocol (Apache Thrift,
thrift-compact-protocol.md; Apache Parquet Format, parquet.thrift), of which little is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

_MAGIC = b"PAR1"
_MOST_DEPTH = 16
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)


class Column(NamedTuple):
    """A column of a group of rows: its name, number of its compression, and how many values."""

    name: str
    codec: int
    values: int


class Footer(NamedTuple):
    """What a file says of itself: its rows, and the columns of each group of them."""

    rows: int
    groups: list[list[Column]]


def read(content: bytes) -> Footer:
    """Return what the footer of a Parquet file says.

    Raises:
        ValueError: there is none, or none that is sound.
    """
    size = int.from_bytes(content[-8:-4], "little")
    if content[-4:] != _MAGIC or content[:4] != _MAGIC or size > len(content) - 12:
        raise ValueError("it is no Parquet file")
    try:
        said = _Compact(content[-8 - size : -8]).struct()
        groups = [[_column(chunk) for chunk in group[1]] for group in said[4]]
        rows = said[3]
        if type(rows) is not int or rows < 0:
            raise ValueError("it has no number of rows")
        return Footer(rows, groups)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError("its footer lacks something") from error


def _column(chunk: Mapping[int, Any]) -> Column:
    about = chunk[3]
    name, codec, values = b".".join(about[3]).decode(), about[4], about[5]
    if 1 in chunk or type(codec) is not int or type(values) is not int:
        raise ValueError("a column lies elsewhere, or says nothing of itself")
    return Column(name, codec, values)


class _Compact:
    """A structure of Thrift's compact protocol.

    Args:
        content: its bytes.
    """

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Return the values of a structure by the number of their field."""
        found: dict[int, object] = {}
        number = 0
        while head := self._byte():
            step, kind = head >> 4, head & 15
            number = number + step if step else self._signed()
            found[number] = kind == _TRUE if kind <= _FALSE else self._value(kind, depth)
        return found

    def _value(self, kind: int, depth: int) -> object:
        if depth > _MOST_DEPTH:
            raise ValueError("its footer is nested too deeply")
        if kind in {_TRUE, _FALSE}:
            return self._byte() == _TRUE
        if kind in {_I16, _I32, _I64}:
            return self._signed()
        if kind in {_BYTE, _DOUBLE, _BINARY}:
            return self._bytes({_BYTE: 1, _DOUBLE: 8}.get(kind) or self._unsigned(_BINARY))
        if kind in {_LIST, _SET}:
            return self._list(depth)
        if kind == _STRUCT:
            return self.struct(depth + 1)
        raise ValueError("its footer has a part of an unknown kind")

    def _list(self, depth: int) -> list[object]:
        head = self._byte()
        size, kind = head >> 4, head & 15
        size = self._unsigned(_LIST) if size == 15 else size
        return [self._value(kind, depth + 1) for _ in range(size)]

    def _byte(self) -> int:
        self._at += 1
        return self._content[self._at - 1]

    def _bytes(self, size: int) -> bytes:
        found = self._content[self._at : self._at + size]
        self._at += size
        if len(found) != size:
            raise ValueError("its footer is cut off")
        return found

    def _unsigned(self, kind: int) -> int:
        """Return a number; as the size of something, it is at most that of the footer."""
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                break
        else:
            raise ValueError("a number of its footer has no end")
        if kind and value > len(self._content):
            raise ValueError("its footer is cut off")
        return value

    def _signed(self) -> int:
        value = self._unsigned(0)
        return (value >> 1) ^ -(value & 1)
