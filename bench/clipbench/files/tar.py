"""The tar format, as far as shards need it: write USTAR headers fast, read anybody's headers.

Written headers equal those of `webdataset.TarWriter` (USTAR, owner "bigdata", mode 0444) but for
their time, which is fixed, so that equal pairs give equal bytes. Reading knows USTAR, GNU long
names and PAX (POSIX.1-2001, "pax Interchange Format").
"""

from __future__ import annotations

import mmap
import re
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from clipbench.errors import CorruptData
from clipbench.files.foreign import opened_regular

BLOCK, RECORD = 512, 10_240
MTIME = 946_684_800  # 2000-01-01; GNU tar warns about 1970 when it extracts

_MODE_UID_GID = b"0000444\0" + b"0000000\0" * 2
_TIME = b"%011o\0" % MTIME
_TAIL = (
    b"0" + bytes(100) + b"ustar\x0000" + b"bigdata".ljust(32, b"\0") * 2 + bytes(8 + 8 + 155 + 12)
)
_FIXED_SUM = sum(_MODE_UID_GID + _TIME + _TAIL) + 8 * 32  # the checksum field counts as blanks
ZEROS = bytes(BLOCK)
_REGULAR = frozenset(b"0\x007")
_BODILESS = frozenset(b"123456")  # links, devices, folders, pipes
_ABOUT_NEXT = frozenset(b"LKx")
_GNU_SPARSE = ord("S")
_MOST_SAID = 1 << 20  # bytes that an extension header says of the member behind it
_DIGITS = 20  # of the length of a record
_NO_ZERO = re.compile(rb"[^\0]")
_NAME, _PREFIX = slice(0, 100), slice(345, 500)


class Member(NamedTuple):
    """A regular file in a tar.

    Args:
        name: path inside the tar.
        start: where its headers start, PAX and long-name headers included.
        offset: where its content starts.
        size: bytes of content.
        is_sparse: whether it is stored without its holes, so that its content is another.
    """

    name: bytes
    start: int
    offset: int
    size: int
    is_sparse: bool = False

    @property
    def end(self) -> int:
        """Where the next header starts."""
        return self.offset + padded(self.size)


def padded(size: int) -> int:
    """Return `size` rounded up to whole blocks."""
    return -(-size // BLOCK) * BLOCK


def header(name: bytes, size: int) -> bytes:
    """Return the header block of a file of `size` bytes; `name` has at most 100 bytes."""
    digits = b"%011o\0" % size
    check = _FIXED_SUM + sum(name) + sum(digits)
    return b"%b%b%b%b%06o\0 %b" % (
        name.ljust(100, b"\0"),
        _MODE_UID_GID,
        digits,
        _TIME,
        check,
        _TAIL,
    )


def end_of_archive(position: int) -> bytes:
    """Return the zeros that end an archive whose members end at `position`, as tar pads it."""
    return bytes(-(-(position + 2 * BLOCK) // RECORD) * RECORD - position)


def rewritten(headers: bytes, old_key: bytes, new_key: bytes, size: int) -> bytes:
    """Return a member's headers for another content, all else as it was.

    Args:
        headers: all header blocks of the member, the last of them its own.
        old_key: the member's key.
        new_key: the key it shall have, of the same length.
        size: its new bytes of content.
    """
    blocks = bytearray(headers)
    position = 0
    while position < len(blocks):
        block = blocks[position : position + BLOCK]
        if position + BLOCK == len(blocks):
            block[124:136] = b"%011o\0" % size
            skip = 0
        else:
            skip = padded(number(bytes(block[124:136])))
            said = slice(position + BLOCK, position + BLOCK + skip)
            blocks[said] = _said_of(block[156], bytes(blocks[said]), old_key, new_key)
        _rename(block, old_key, new_key)
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        blocks[position : position + BLOCK] = block
        position += BLOCK + skip
    return bytes(blocks)


def _said_of(kind: int, content: bytes, old_key: bytes, new_key: bytes) -> bytes:
    """Return what an extension header says, with another key in the name it gives."""
    if kind == ord("L") and content.startswith(old_key):
        return new_key + content[len(old_key) :]
    if kind == ord("x"):
        return content.replace(b" path=" + old_key, b" path=" + new_key)
    return content


def _rename(block: bytearray, old_key: bytes, new_key: bytes) -> None:
    """Put another key of the same length where a header has a name, and nowhere else.

    A name of more than 100 bytes is split behind a folder (USTAR), or is cut off while an extension
    header in front has all of it (GNU, PAX).
    """
    name, prefix = (bytes(block[at]).partition(b"\0")[0] for at in (_NAME, _PREFIX))
    is_split = bool(prefix) and block[257:263] == b"ustar\0"
    whole = prefix + b"/" + name if is_split else name
    folder, slash, base = whole.rpartition(b"/")
    old_base, new_base = (key.rpartition(b"/")[2] for key in (old_key, new_key))
    if whole.startswith(old_key):
        whole = new_key + whole[len(old_key) :]
    elif old_key.startswith(whole):  # cut off within the key
        whole = new_key[: len(whole)]
    elif base.startswith(old_base):  # of an extension header, which is put in a folder
        whole = folder + slash + new_base + base[len(old_base) :]
    if is_split:
        block[345 : 345 + len(prefix)], whole = whole[: len(prefix)], whole[len(prefix) + 1 :]
    block[: len(whole)] = whole


def number(field: bytes) -> int:
    """Return a header number: octal text, or base 256 as GNU tar writes large ones.

    Raises:
        ValueError: it is neither.
    """
    if field[0] & 0x80:
        return int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
    text = field.partition(b"\0")[0].strip(b" ")  # as tarfile reads it: a NUL ends it
    return _natural(text, 8) if text else 0


def _natural(text: bytes, base: int = 10) -> int:
    """Return the number that digits say; `int` alone would take signs, blanks and underscores.

    A size below zero leads a walk over headers back to where it was, for ever.

    Raises:
        ValueError: there is something else than digits.
    """
    if not text.isdigit():
        raise ValueError(f"{text!r} is no number")
    return int(text, base)


def _pax(records: bytes) -> dict[bytes, bytes]:
    """Return the ``length keyword=value`` records of a PAX header.

    Raises:
        ValueError: a length is no number, or ends before its record has begun.
    """
    values: dict[bytes, bytes] = {}
    at = 0
    while at < len(records):
        blank = records.index(b" ", at, at + _DIGITS)
        length = _natural(records[at:blank])
        if length <= blank - at:
            raise ValueError(f"a record of {length} bytes")
        key, _, value = records[blank + 1 : at + length - 1].partition(b"=")
        values[key] = value
        at += length
    return values


def members(path: Path) -> Iterator[Member]:
    """Yield the regular files of a tar, in order.

    Raises:
        CorruptData: the tar is cut off, compressed or damaged, or no file at all.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for, a device has no end
        raise CorruptData(f"Shard {path} is no regular file; remove it, or write it again.")
    with opened_regular(path) as file:
        if file.seek(0, 2) == 0:
            raise CorruptData(f"Shard {path} is empty; write it again or remove it.")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            yield from _scan(content, path)


def _scan(content: mmap.mmap, path: Path) -> Iterator[Member]:
    """Walk from header to header; check their sums at the end, all at once."""
    total = len(content)
    blocks: list[int] = []
    position = start = 0
    said = _NOTHING  # by PAX and long-name headers
    name = b""
    try:
        while True:
            block = content[position : position + BLOCK]
            if len(block) == BLOCK and block[0] == 0 and block == ZEROS:
                _warn_of_more(content, position, path)
                break
            if not blocks and not _is_header(block):
                raise _no_tar(path, len(block))
            kind = block[156]
            # Links have no content, whatever stands there; so have it tarfile and webdataset.
            size = 0 if kind in _BODILESS else number(block[124:136])
            blocks.append(position)
            is_file = kind in _REGULAR or kind == _GNU_SPARSE
            if is_file:
                name = said.name or _name(block)
                size = size if said.size is None else said.size
            offset = position + BLOCK
            if kind == _GNU_SPARSE:
                offset = content_start(content, position)
            position = offset + padded(size)
            if position > total:
                raise _cut(path, name)
            if is_file:
                yield Member(name, start, offset, size, said.is_sparse or kind == _GNU_SPARSE)
            if kind in _ABOUT_NEXT:
                if size > _MOST_SAID:
                    raise ValueError(f"a header of {size} bytes")
                said = _said(kind, content[offset : offset + size], said)
            else:  # also a folder, a link, or a header about the whole archive
                said, start = _NOTHING, position
    except (ValueError, IndexError) as error:
        if isinstance(error, CorruptData):
            raise
        raise (_cut if position + BLOCK > total else _damaged)(path, name) from error
    _check(content, blocks, path)


def _name(block: bytes) -> bytes:
    name = block[:100].partition(b"\0")[0]
    if block[345] and block[257:263] == b"ustar\0":
        return block[345:500].partition(b"\0")[0] + b"/" + name
    return name


class _Said(NamedTuple):
    """What extension headers say of the member behind them; None: nothing."""

    name: bytes | None = None
    size: int | None = None
    is_sparse: bool = False


_NOTHING = _Said()


def _said(kind: int, content: bytes, before: _Said) -> _Said:
    """Return what the extension headers of a member say with a further one."""
    if kind == ord("L"):
        return before._replace(name=content.rstrip(b"\0"))
    if kind == ord("x"):
        values = _pax(content)
        size = values.get(b"size")
        return _Said(
            values.get(b"GNU.sparse.name", values.get(b"path", before.name)),
            before.size if size is None else _natural(size),
            any(name.startswith(b"GNU.sparse.") for name in values),
        )
    return before


def content_start(content: mmap.mmap, position: int) -> int:
    """Return where the content of the member starts whose header is at `position`.

    That is behind the header, and of a sparse member behind the blocks that list its holes.
    """
    is_more, position = position + 482, position + BLOCK
    if content[position - BLOCK + 156] == _GNU_SPARSE:
        while content[is_more]:
            is_more, position = position + 504, position + BLOCK
    return position


def _warn_of_more(content: mmap.mmap, position: int, path: Path) -> None:
    """Tell that another archive stands behind the end mark, as where tars were joined by cat."""
    behind = _NO_ZERO.search(content, position)
    if behind is None:
        return
    start = behind.start() - behind.start() % BLOCK
    if _is_header(content[start : start + BLOCK]):
        warnings.warn(
            f"Shard {path} goes on behind its end mark, as tars do that were joined by cat; what is"
            " there is not read, here as in webdataset. Name the parts as shards of their own.",
            stacklevel=2,
        )


def _is_header(block: bytes) -> bool:
    return sum(block) - sum(block[148:156]) + 8 * 32 == _sum_of(block[148:156])


def _check(content: mmap.mmap, blocks: list[int], path: Path) -> None:
    """Compare the checksums of all headers, thousands at once."""
    for first in range(0, len(blocks), 4096):
        headers = b"".join([content[at : at + BLOCK] for at in blocks[first : first + 4096]])
        table = np.frombuffer(headers, np.uint8).reshape(-1, BLOCK)
        sums = table.sum(1, dtype=np.int64) - table[:, 148:156].sum(1, dtype=np.int64) + 8 * 32
        for at, total in zip(range(0, len(headers), BLOCK), sums.tolist(), strict=True):
            if _sum_of(headers[at + 148 : at + 156]) != total:
                raise _damaged(path, headers[at : at + 100].rstrip(b"\0"))


def _sum_of(field: bytes) -> int | None:
    """Return the sum that a header gives; None: it gives none."""
    try:
        return number(field)
    except ValueError:
        return None


def _cut(path: Path, name: bytes) -> CorruptData:
    where = f" at or after member {name.decode(errors='replace')!r}" if name else ""
    return CorruptData(f"Shard {path} is cut off{where}; fetch or write it again.")


def _no_tar(path: Path, size: int) -> CorruptData:
    if size < BLOCK:
        return _cut(path, b"")
    if path.suffix.lower() in {".csv", ".tsv", ".json", ".jsonl", ".parquet", ".xlsx"}:
        way = "clipbench data import csv:path=TABLE --out FOLDER, of a table of images and captions"
        return CorruptData(f"{path} is a list, not a shard; make shards with {way}.")
    return CorruptData(f"Shard {path} is not an uncompressed tar; unpack it or fetch it again.")


def _damaged(path: Path, name: bytes) -> CorruptData:
    where = f" near member {name.decode(errors='replace')!r}" if name else ""
    return CorruptData(f"Shard {path} has a damaged tar header{where}; fetch or write it again.")
