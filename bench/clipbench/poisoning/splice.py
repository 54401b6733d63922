"""Rewrite a shard with a few members changed and every other byte as it was."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from clipbench.errors import CorruptData
from clipbench.files import tar
from clipbench.system.durable import atomic_file

_CHUNK = 1 << 22
_Update = Callable[[bytes], None]


@dataclass(frozen=True)
class Edit:
    """Bytes of a tar that other bytes take the place of.

    Args:
        start: where they start; a multiple of the block size.
        end: where they end; equal to `start` to insert.
        content: what comes there instead, whole blocks.
    """

    start: int
    end: int
    content: bytes

    @property
    def grows(self) -> int:
        """By how many bytes what follows moves."""
        return len(self.content) - (self.end - self.start)

    @property
    def order(self) -> int:
        """Edits come in this order; an insertion before a change at the same place."""
        return self.start if self.end > self.start else self.start - 1


def member_bytes(headers: bytes, content: bytes) -> bytes:
    """Return a member with its padding."""
    return headers + content + tar.ZEROS[: -len(content) % tar.BLOCK]


def rewrite(
    old: Path, new: Path, edits: Sequence[Edit], appended: bytes, last_end: int
) -> tuple[str, str]:
    """Write the tar `new` as `old` with edits.

    Args:
        old: a tar.
        new: the tar to be written.
        edits: what changes, apart from each other; insertions at one place keep their order.
        appended: whole members that come behind all others.
        last_end: end of some member behind which the end of the archive is looked for.

    Returns:
        The SHA-256 of what was read of `old`, all of it, and that of `new`.
    """
    read, digest = hashlib.sha256(), hashlib.sha256()
    with old.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        end = _data_end(content, last_end, old)
        size = end + sum(edit.grows for edit in edits) + len(appended)
        for at in range(0, len(content), _CHUNK):
            read.update(content[at : at + _CHUNK])
        with atomic_file(new, size, sync=False) as out:
            position = 0
            for edit in sorted(edits, key=lambda edit: edit.order):
                _copy(content, position, edit.start, out, digest.update)
                _put(edit.content, out, digest.update)
                position = edit.end
            _copy(content, position, end, out, digest.update)
            whole_records = len(content) % tar.RECORD == 0
            tail = tar.end_of_archive(size) if whole_records else bytes(len(content) - end)
            _put(appended + tail, out, digest.update)
    return read.hexdigest(), digest.hexdigest()


def write_new(new: Path, members: bytes) -> str:
    """Write a tar of whole members and return its SHA-256."""
    content = members + tar.end_of_archive(len(members))
    with atomic_file(new, len(content), sync=False) as out:
        out.write(content)
    return hashlib.sha256(content).hexdigest()


def _data_end(content: mmap.mmap, position: int, path: Path) -> int:
    while True:
        block = content[position : position + tar.BLOCK]
        if block == tar.ZEROS:
            return position
        if len(block) < tar.BLOCK:
            raise CorruptData(f"Shard {path} is cut off; fetch or write it again.")
        size = tar.number(block[124:136])
        position = tar.content_start(content, position) + tar.padded(size)


def _copy(content: mmap.mmap, start: int, end: int, out: IO[bytes], update: _Update) -> None:
    for at in range(start, end, _CHUNK):
        _put(content[at : min(at + _CHUNK, end)], out, update)


def _put(data: bytes, out: IO[bytes], update: _Update) -> None:
    update(data)
    out.write(data)
