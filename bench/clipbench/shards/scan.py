"""Walk the tars of a set and find its pairs."""

from __future__ import annotations

import itertools
import mmap
import re
import zlib
from collections.abc import Collection, Container, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from clipbench.contracts import Progress, no_progress
from clipbench.errors import CorruptData, MissingData
from clipbench.files.foreign import MOST_CAPTION, MOST_IMAGE, MOST_KEY, MOST_SIDECAR
from clipbench.files.tar import Member, members
from clipbench.shards.index import (
    EXTENSIONS,
    Incomplete,
    Index,
    Row,
    Stamp,
    join,
    rows_to_index,
    shard_names,
    write,
)
from clipbench.shards.parts import PartFiles, kept_part, part_file
from clipbench.shards.refusals import CONVERTED, check_unique, key_text, refuse_incomplete
from clipbench.system.processes import in_processes

_CODES = {extension: code for code, extension in enumerate(EXTENSIONS)}
_CHUNK = 1 << 20
_META = re.compile(rb"__[^/]*__($|/)")


def _most(extension: str) -> int:
    """Return how many bytes a member may have; what has more is not read."""
    return {"txt": MOST_CAPTION, "json": MOST_SIDECAR}.get(extension, MOST_IMAGE)


def split_name(name: bytes) -> tuple[bytes, str]:
    """Return key and lower-case extension of a member, as webdataset splits them.

    The key ends at the first dot of the base name. A name without dot, a hidden file and
    webdataset's ``__...__`` files have an empty key.
    """
    at = name.find(b".", name.rfind(b"/") + 1)
    if at <= 0 or name[at - 1 : at] == b"/" or (name[:2] == b"__" and _META.match(name)):
        return b"", ""
    return name[:at], name[at + 1 :].decode(errors="replace").lower()


@dataclass
class Group:
    """The members of one key that lie side by side."""

    key: bytes
    members: dict[str, Member]

    def image(self) -> str | None:
        """Return the extension of the image, the one open_clip takes, if there is one."""
        return next((extension for extension in EXTENSIONS if self.has(extension)), None)

    def has(self, extension: str) -> bool:
        """Return whether there is a member of that extension whose content can be read."""
        member = self.members.get(extension)
        return member is not None and not member.is_sparse and member.size <= _most(extension)

    def words(self) -> str:
        """Return in words what is there that can't be taken; empty: nothing."""
        sparse = [name for name, member in self.members.items() if member.is_sparse]
        if sparse:
            return f"its .{sparse[0]} is sparse (tar --sparse), and sparse members are not read"
        for name, member in self.members.items():
            if member.size > _most(name):
                return (
                    f"its .{name} has {member.size:,} bytes, and at most {_most(name):,} are read"
                )
        others = [f".{name}" for name in self.members if name not in {*EXTENSIONS, "txt", "json"}]
        return f"it has {', '.join(others[:3])}" if others else ""

    def other_image(self) -> Member | None:
        """Return an image in a format that is none of shards, but that an import converts."""
        return next((self.members[name] for name in CONVERTED if self.has(name)), None)

    def is_pair(self) -> bool:
        """Return whether there is an image, a caption or JSON; other members are ignored."""
        return "txt" in self.members or "json" in self.members or self.image() is not None


def groups(path: Path, others: Collection[str] = ()) -> Iterator[Group]:
    """Yield the pairs of a shard with all members of theirs, in order.

    Args:
        path: the shard.
        others: extensions that make a group one to yield, though it is no pair.

    Raises:
        CorruptData: a key comes twice, or its members do not lie side by side.
    """
    seen: set[bytes] = set()
    group = Group(b"", {})
    for member in members(path):
        key, extension = split_name(member.name)
        if not key:
            continue
        if len(key) > MOST_KEY:
            raise CorruptData(
                f"Shard {path} has a key of {len(key):,} bytes, {key_text(key[:40])}...; more than"
                f" {MOST_KEY:,} are not read. Write the shard again with shorter names."
            )
        if key != group.key:
            if group.is_pair() or group.members.keys() & others:
                yield group
            if key in seen:
                raise _again(path, key, extension)
            seen.add(key)
            group = Group(key, {})
        if extension in group.members:
            raise CorruptData(
                f"Shard {path} has key {key_text(key)} twice ({extension}); keys must be unique."
            )
        group.members[extension] = member
    if group.is_pair() or group.members.keys() & others:
        yield group


def _again(path: Path, key: bytes, extension: str) -> CorruptData:
    """Return the error of a key that comes back after another one."""
    before: set[str] = set()
    for member in members(path):
        old_key, old_extension = split_name(member.name)
        if old_key == key:
            if old_extension in before:
                return CorruptData(
                    f"Shard {path} has key {key_text(key)} twice; keys must be unique."
                )
            before.add(old_extension)
    return CorruptData(
        f"Shard {path} is interleaved: {key_text(key)}.{extension} does not lie beside the other "
        "members of its key; write the shard again with the members of a key side by side."
    )


def row_of(
    group: Group, shard: int, content: mmap.mmap, caption_field: str | None = None
) -> Row | None:
    """Return the index row of a pair; None if it lacks image or caption.

    Args:
        group: its members.
        shard: the number of its shard.
        content: the shard's.
        caption_field: where one is given, the caption is where the JSON is.
    """
    extension = group.image()
    captions = "txt" if caption_field is None else "json"
    if extension is None or not group.has(captions):
        return None
    caption = group.members[captions]
    image = group.members[extension]
    json_at = group.members["json"] if group.has("json") else None
    place = (json_at.offset, json_at.size) if json_at else (0, 0)
    return (
        shard,
        image.offset,
        image.size,
        caption.offset,
        caption.size,
        *place,
        _CODES[extension],
        group.key,
        crc_of(content, image.offset, image.size),
        crc_of(content, caption.offset, caption.size),
        crc_of(content, *place),
    )


def crc_of(content: mmap.mmap, start: int, size: int) -> int:
    """Return the CRC-32 of a part of a shard, of which there is never much in memory."""
    found = 0
    for at in range(start, start + size, _CHUNK):
        found = zlib.crc32(content[at : min(at + _CHUNK, start + size)], found)
    return found


def rows_of(
    path: Path,
    shard: int,
    caption_field: str | None = None,
    left_out: Container[bytes] = frozenset(),
) -> Iterator[tuple[Group, Row | None]]:
    """Yield the pairs of a shard, complete or not, each with its index row if it has one.

    Args:
        path: the shard.
        shard: its number.
        caption_field: field of the JSON that holds captions; None: they are in ``KEY.txt``.
        left_out: keys that are passed over.

    Raises:
        CorruptData: see `groups`.
    """
    found = groups(path)
    first = next(found, None)  # which says what is wrong with a file that can't be mapped
    if first is None:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for group in itertools.chain([first], found):
            if group.key not in left_out:
                yield group, row_of(group, shard, content, caption_field)


def missing_of(group: Group, caption_field: str | None = None) -> str:
    """Return what an incomplete pair lacks: image, caption, or the JSON that has the caption."""
    if group.image() is None:
        return "image"
    return "caption" if caption_field is None else "JSON"


@dataclass(frozen=True)
class Scanned:
    """What the tars of a set hold.

    Args:
        parts: the complete pairs of each shard.
        stamps: the shards.
        incomplete: the other pairs.
    """

    parts: Sequence[Index] | PartFiles
    stamps: list[Stamp]
    incomplete: list[Incomplete]

    @cached_property
    def index(self) -> Index:
        """The complete pairs, all in memory."""
        return join(self.parts)

    def refuse_incomplete(self, paths: Sequence[Path]) -> None:
        """Raise CorruptData, naming the first pair, if there is an incomplete one."""
        refuse_incomplete(self.incomplete, paths)


@dataclass(frozen=True)
class _Walk:
    """What of which shards is looked for.

    Args:
        paths: the shards.
        names: theirs in an index.
        caption_field: see `scan`.
        folder: where the index of each is kept; None: it is handed back.
    """

    paths: Sequence[Path]
    names: Sequence[str]
    caption_field: str | None
    folder: Path | None


@dataclass(frozen=True)
class _Walked:
    """What one shard holds; its index where it is not kept."""

    number: int
    stamp: Stamp
    incomplete: tuple[Incomplete, ...]
    index: Index | None


def scan(
    paths: Sequence[Path],
    progress: Progress = no_progress,
    *,
    caption_field: str | None = None,
    joined: bool = False,
    folder: Path | None = None,
) -> Scanned:
    """Walk all shards and return what they hold.

    Args:
        paths: the shards.
        progress: told after every shard.
        caption_field: field of the JSON that holds captions; None: they are in ``KEY.txt``.
        joined: whether the shards were joined from several sets, in which a key may come again.
        folder: for the indexes of single shards, by several processes, see
            `clipbench.shards.parts`; None: they stay in memory, and this process walks all.

    Raises:
        CorruptData: a shard is cut off or interleaved, a key not unique.
        MissingData: a shard can't be read.
    """
    walk = _Walk(paths, shard_names(paths), caption_field, folder)
    found: list[_Walked | None] = [None] * len(paths)
    progress("indexing shards", 0, len(paths))
    workers = 0 if folder is None else None
    for done, one in enumerate(in_processes(_walked, walk, range(len(paths)), workers), start=1):
        found[one.number] = one
        progress("indexing shards", done, len(paths))
    each = [one for one in found if one is not None]
    parts: Sequence[Index] | PartFiles = [one.index for one in each if one.index is not None]
    if folder is not None:
        parts = PartFiles(folder, len(paths))
    if not joined and len({path.parent for path in paths}) == 1:
        check_unique(parts, paths)
    return Scanned(
        parts, [one.stamp for one in each], [lack for o in each for lack in o.incomplete]
    )


def _walked(walk: _Walk, number: int) -> _Walked:
    """Walk one shard, unless that was done, and keep its index where there is a place for it."""
    path = walk.paths[number]
    rows: list[Row] = []
    incomplete: list[Incomplete] = []
    try:
        status = path.stat()
        stamp = Stamp(walk.names[number], status.st_size, status.st_mtime_ns, 0)
        kept = None if walk.folder is None else kept_part(walk.folder, number, stamp)
        if kept is not None:
            return _Walked(number, kept.stamps[0], kept.incomplete, None)
        for group, row in rows_of(path, number, walk.caption_field):
            if row is None:
                missing = missing_of(group, walk.caption_field)
                incomplete.append(Incomplete(number, key_text(group.key), missing, group.words()))
            else:
                rows.append(row)
    except OSError as error:
        raise MissingData(f"Shard {path} can't be read: {error.strerror}.") from error
    except CorruptData as error:
        from clipbench.fetching.remote_shard import forget  # noqa: PLC0415 - for this alone

        if not forget(path):
            raise
        raise CorruptData(f"{error} The same command fetches it again.") from error
    stamp = replace(stamp, num_pairs=len(rows))
    index = rows_to_index(rows)
    if walk.folder is None:
        return _Walked(number, stamp, tuple(incomplete), index)
    write(part_file(walk.folder, number), [index], [stamp], incomplete)
    return _Walked(number, stamp, tuple(incomplete), None)
