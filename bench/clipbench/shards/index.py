"""Where every pair of a set lies: built once by walking the tars, then memory-mapped.

An index file is a line of magic, a JSON header (which shards, of which size and time, it was made
from) and one row per pair, with the CRC-32 of what the row points to. It is written beside the
shards in ``.clipbench/``; a shard that changed since makes it stale, and it is built again. So is
one that another user wrote, or that came with the shards: see `clipbench.files.seal`.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import IO

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from clipbench.errors import ClipbenchError
from clipbench.files.foreign import MOST_BYTES, opened_regular, parsed
from clipbench.files.seal import is_sealed, seal
from clipbench.system.durable import atomic_file
from clipbench.text.visible import hashable

EXTENSIONS = ("jpg", "png", "jpeg", "webp")  # open_clip's order of preference
_MAGIC = b"clipbench-index-4\n"  # raise it with every change of what is a pair
_ROWS = 1 << 16  # of an index that are written at once
_CHUNK = 1 << 20  # bytes read at once for a seal; mapped pages would stay in memory
Index = npt.NDArray[np.void]
Row = tuple[int, int, int, int, int, int, int, int, bytes, int, int, int]


def index_dtype(key_size: int) -> np.dtype[np.void]:
    """Return the type of a row whose key has at most `key_size` bytes.

    A pair without JSON has ``json_offset`` 0: content never starts there.
    """
    return np.dtype(
        [
            ("shard", "<u4"),
            ("image_offset", "<u8"),
            ("image_size", "<u4"),
            ("caption_offset", "<u8"),
            ("caption_size", "<u4"),
            ("json_offset", "<u8"),
            ("json_size", "<u4"),
            ("extension", "u1"),
            ("key", f"S{max(1, key_size)}"),
            ("image_crc", "<u4"),
            ("caption_crc", "<u4"),
            ("json_crc", "<u4"),
        ]
    )


@dataclass(frozen=True)
class Stamp:
    """What a shard file was when it was indexed, and how many pairs it holds."""

    name: str
    size: int
    mtime_ns: int
    num_pairs: int


@dataclass(frozen=True)
class Incomplete:
    """A key in a shard that is no pair.

    Args:
        shard: number of the shard.
        key: the key.
        missing: what it lacks.
        found: in words, what it has in its place; empty: nothing.
    """

    shard: int
    key: str
    missing: str
    found: str = ""


def rows_to_index(rows: Sequence[Row]) -> Index:
    """Return rows as a structured array with the narrowest key that fits."""
    return np.array(rows, index_dtype(max((len(row[8]) for row in rows), default=1)))


def join(parts: Iterable[Index]) -> Index:
    """Return the indexes of shards, one after another, as one; keys as wide as the widest.

    Args:
        parts: the indexes; they are gone through more than once.
    """
    sizes = [(len(part), part.dtype["key"].itemsize) for part in parts]
    whole = np.empty(sum(size for size, _ in sizes), index_dtype(max(key for _, key in sizes)))
    first = 0
    for part in parts:
        for name in whole.dtype.names or ():
            whole[name][first : first + len(part)] = part[name]
        first += len(part)
    return whole


def is_sorted(index: Index) -> bool:
    """Return whether keys rise strictly from pair to pair; such keys are unique."""
    keys = np.ascontiguousarray(index["key"])
    return bool((keys[1:] > keys[:-1]).all())


def are_sorted(parts: Iterable[Index]) -> bool:
    """Return whether keys rise strictly from pair to pair of indexes, one after another."""
    last: bytes | None = None
    for part in parts:
        if not is_sorted(part) or (last is not None and len(part) and part["key"][0] <= last):
            return False
        last = part["key"][-1] if len(part) else last
    return True


def shard_names(paths: Sequence[Path]) -> list[str]:
    """Return names that stay valid when the folder moves: base names, if one folder holds all."""
    if len({path.parent for path in paths}) == 1:
        return [path.name for path in paths]
    return [str(path.absolute()) for path in paths]


_apart: ContextVar[tuple[frozenset[Path], Path] | None] = ContextVar("apart", default=None)


@contextmanager
def kept_apart(paths: Sequence[Path], cache: Path) -> Iterator[None]:
    """Keep what is known of shards in `cache` meanwhile, and nothing in the folders they lie in.

    Args:
        paths: the shards; what is known of others goes where it always goes.
        cache: folder.
    """
    token = _apart.set((frozenset(path.parent.resolve() for path in paths), cache))
    try:
        yield
    finally:
        _apart.reset(token)


def cache_folders(paths: Sequence[Path], cache: Path | None) -> list[Path]:
    """Return where the index of these shards may lie, the best place first."""
    home, apart = paths[0].parent, _apart.get()
    places = [home / ".clipbench"]
    if apart is not None and home.resolve() in apart[0]:
        places, cache = [], apart[1]
    if cache is not None:
        digest = hashlib.sha256(hashable(str(home.resolve()))).hexdigest()[:16]
        places.append(cache / "indexes" / digest)
    return places


def index_name(names: Sequence[str], caption_field: str | None = None) -> str:
    """Return the file name of the index of these shards, read with captions from that field."""
    if caption_field is not None:
        names = [*names, f"\n{caption_field}"]  # no shard is named like this
    return f"index-{hashlib.sha256(hashable(chr(0).join(names))).hexdigest()[:16]}.bin"


def save(
    parts: Iterable[Index],
    stamps: Sequence[Stamp],
    folders: Sequence[Path],
    incomplete: Sequence[Incomplete] = (),
    caption_field: str | None = None,
) -> Path | None:
    """Write the index into the first folder that takes it; None if none does."""
    name = index_name([stamp.name for stamp in stamps], caption_field)
    # Another user's is not replaced while there is another place: it would be made again in turns.
    for folder in sorted(folders, key=lambda folder: _is_anothers(folder / name)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write(folder / name, parts, stamps, incomplete)
        except (OSError, ClipbenchError):  # read-only or full: an index is a convenience
            continue
        return folder / name
    return None


def write(
    path: Path,
    parts: Iterable[Index],
    stamps: Sequence[Stamp],
    incomplete: Sequence[Incomplete] = (),
) -> None:
    """Write an index file; no more than one part of it is in memory at once.

    Args:
        path: the file.
        parts: the index in parts, as those of single shards; they are gone through several times.
        stamps: the shards.
        incomplete: what is no pair in them.
    """
    sizes = [(len(part), part.dtype["key"].itemsize) for part in parts]
    dtype = index_dtype(max((key for _, key in sizes), default=1))
    head: dict[str, object] = {
        "num_pairs": sum(size for size, _ in sizes),
        "key_size": dtype["key"].itemsize,
        "sorted": are_sorted(parts),
        "shards": [[s.name, s.size, s.mtime_ns, s.num_pairs] for s in stamps],
    }
    if incomplete:
        head["incomplete"] = [list(astuple(one)) for one in incomplete]
    with atomic_file(path, sync=False) as file:  # the seal tells whether it is whole
        file.write(_start_of({**head, "seal": seal([])}))  # as long as it will be

        def rows() -> Iterator[memoryview]:
            for part in parts:
                for at in range(0, len(part), _ROWS):
                    same = np.ascontiguousarray(part[at : at + _ROWS].astype(dtype, copy=False))
                    data = same.view(np.uint8).data
                    file.write(data)
                    yield data

        told = seal(itertools.chain([_text(head)], rows()))
        file.seek(0)
        file.write(_start_of({**head, "seal": told}))


def _start_of(head: dict[str, object]) -> bytes:
    text = _text(head)
    return _MAGIC + text + b" " * (-(len(_MAGIC) + len(text) + 1) % 64) + b"\n"


def _text(head: dict[str, object]) -> bytes:
    return json.dumps(head, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Stored:
    """An index read back from its file."""

    index: Index
    stamps: tuple[Stamp, ...]
    is_sorted: bool
    path: Path
    incomplete: tuple[Incomplete, ...] = ()


def load(
    paths: Sequence[Path], folders: Sequence[Path], caption_field: str | None = None
) -> Stored | None:
    """Map the index of these shards into memory; None if there is none or a shard changed."""
    names = shard_names(paths)
    for folder in folders:
        stored = read_index(folder / index_name(names, caption_field))
        if stored is not None and [s.name for s in stored.stamps] == names:
            now = [path.stat() for path in paths]
            if [(s.size, s.mtime_ns) for s in stored.stamps] == [
                (status.st_size, status.st_mtime_ns) for status in now
            ]:
                return stored
    return None


class _Head(Struct, frozen=True):
    """What an index file says before its rows, beside its seal."""

    key_size: int
    num_pairs: int
    sorted: bool
    shards: list[tuple[str, int, int, int]]
    incomplete: list[tuple[int, str, str, str]] = []


def read_index(path: Path, *, opened: bool = False) -> Stored | None:
    """Map an index file into memory; None if it is missing, not whole, or not this user's.

    Args:
        path: the file.
        opened: whether this program found it whole a moment ago, so that its seal need not be
            computed again, as in processes that are handed an open set.
    """
    try:
        with opened_regular(path) as file:
            if file.readline(64) != _MAGIC:
                return None
            content: dict[str, object] = parsed(file.readline(MOST_BYTES))
            sealed = content.pop("seal", None)
            head = msgspec.convert(content, _Head)
            offset, total = file.tell(), os.fstat(file.fileno()).st_size
            dtype = index_dtype(head.key_size)
            if total != offset + head.num_pairs * dtype.itemsize:
                return None
            if not opened and not is_sealed(_sealed_parts(content, file), sealed):
                return None
        if head.num_pairs:
            rows = np.memmap(path, dtype, "r", offset, (head.num_pairs,)).view(np.ndarray)
        else:
            rows = np.empty(0, dtype)
        incomplete = tuple(Incomplete(*one) for one in head.incomplete)
        stamps = tuple(Stamp(*shard) for shard in head.shards)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None
    return Stored(rows, stamps, head.sorted, path, incomplete)


def _sealed_parts(head: dict[str, object], file: IO[bytes]) -> Iterator[bytes]:
    yield _text(head)
    yield from iter(functools.partial(file.read, _CHUNK), b"")


def _is_anothers(path: Path) -> bool:
    """Return whether there is an index of this version that this user did not write."""
    try:
        with opened_regular(path) as file:
            return file.readline(64) == _MAGIC and read_index(path) is None
    except OSError:
        return False
