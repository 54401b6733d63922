"""Walk the tars of a set and find its pairs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clipbench.contracts import Progress, no_progress
from clipbench.errors import CorruptData, MissingData
from clipbench.shards.index import (
    EXTENSIONS,
    Index,
    Row,
    Stamp,
    is_sorted,
    join,
    rows_to_index,
    shard_names,
)
from clipbench.shards.tar import Member, members

_CODES = {extension: code for code, extension in enumerate(EXTENSIONS)}
_META = re.compile(rb"__[^/]*__($|/)")


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
        return next((extension for extension in EXTENSIONS if extension in self.members), None)

    def is_pair(self) -> bool:
        """Tell whether any of image, caption and JSON is there; the rest is no business of ours."""
        return "txt" in self.members or "json" in self.members or self.image() is not None


def groups(path: Path) -> Iterator[Group]:
    """Yield the pairs of a shard with all members of theirs, in order.

    Raises:
        CorruptData: a key comes twice, or its members do not lie side by side.
    """
    seen: set[bytes] = set()
    group = Group(b"", {})
    for member in members(path):
        key, extension = split_name(member.name)
        if not key:
            continue
        if key != group.key:
            if group.is_pair():
                yield group
            if key in seen:
                raise _again(path, key, extension)
            seen.add(key)
            group = Group(key, {})
        if extension in group.members:
            raise CorruptData(
                f"Shard {path} has key {_text(key)} twice ({extension}); keys must be unique."
            )
        group.members[extension] = member
    if group.is_pair():
        yield group


def _again(path: Path, key: bytes, extension: str) -> CorruptData:
    """Return the error of a key that comes back after another one."""
    before: set[str] = set()
    for member in members(path):
        old_key, old_extension = split_name(member.name)
        if old_key == key:
            if old_extension in before:
                return CorruptData(f"Shard {path} has key {_text(key)} twice; keys must be unique.")
            before.add(old_extension)
    return CorruptData(
        f"Shard {path} is interleaved: {_text(key)}.{extension} does not lie beside the other "
        "members of its key; write the shard again with the members of a key side by side."
    )


def _incomplete(path: Path, group: Group) -> CorruptData:
    """Return the error of a key without image or caption."""
    for member in members(path):
        key, extension = split_name(member.name)
        if key == group.key and extension not in group.members:
            return _again(path, key, extension)
    missing = "image" if group.image() is None else "caption"
    return CorruptData(
        f"Shard {path} has no {missing} for key {_text(group.key)}; "
        "write the shard again or remove the key."
    )


def _text(key: bytes) -> str:
    return key.decode(errors="replace")


def row_of(group: Group, shard: int, path: Path) -> Row:
    """Return the index row of a pair.

    Raises:
        CorruptData: it has no image or no caption.
    """
    extension = group.image()
    if extension is None or "txt" not in group.members:
        raise _incomplete(path, group)
    image, caption = group.members[extension], group.members["txt"]
    json_at = group.members.get("json")
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
    )


def scan(paths: Sequence[Path], progress: Progress = no_progress) -> tuple[Index, list[Stamp]]:
    """Walk all shards and return their index and stamps.

    Raises:
        CorruptData: a shard is cut off, a pair incomplete, a key not unique.
        MissingData: a shard can't be read.
    """
    parts: list[Index] = []
    stamps: list[Stamp] = []
    for shard, path in enumerate(paths):
        progress("indexing shards", shard, len(paths))
        try:
            status = path.stat()
            part = rows_to_index([row_of(group, shard, path) for group in groups(path)])
        except OSError as error:
            raise MissingData(f"Shard {path} can't be read: {error.strerror}.") from error
        parts.append(part)
        stamps.append(Stamp("", status.st_size, status.st_mtime_ns, len(part)))
    progress("indexing shards", len(paths), len(paths))
    names = shard_names(paths)
    whole = join(parts)
    if not len(whole):
        raise CorruptData(
            f"{paths[0]} holds no pair of image and caption (.txt); give other shards."
        )
    check_unique(whole, paths)
    return whole, [
        Stamp(name, stamp.size, stamp.mtime_ns, stamp.num_pairs)
        for name, stamp in zip(names, stamps, strict=True)
    ]


def check_unique(index: Index, paths: Sequence[Path]) -> None:
    """Raise CorruptData, naming key and shards, if a key stands for two pairs."""
    if is_sorted(index):
        return
    keys = np.ascontiguousarray(index["key"])
    order = np.argsort(keys, kind="stable")
    same = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
    if len(same):
        one, two = (int(index["shard"][order[same[0] + step]]) for step in (0, 1))
        raise CorruptData(
            f"Key {_text(bytes(keys[order[same[0]]]))} is in shard {paths[one]} and again in "
            f"{paths[two]}; keys must be unique in a set."
        )
