"""What lies beside the shards: their manifest, and the counts that open_clip and timm look for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from clipbench.errors import BadSetting, CorruptData, MissingData
from clipbench.files.json_files import read_json, write_json, write_summed
from clipbench.files.typed import Object
from clipbench.shards import claims

FORMAT = "clipbench-shards"
VERSION = 1
NAME = "manifest.json"
_REMEDY = "fetch it or write the set again"


class ShardRecord(Struct, frozen=True):
    """A shard in a manifest.

    Args:
        name: of its file.
        num_pairs: pairs in it.
        bytes: size of its file.
        sha256: hash of its file.
    """

    name: str
    num_pairs: int
    bytes: int
    sha256: str


class Manifest(Struct, frozen=True):
    """What a set is, and of which shards; the content of ``manifest.json``.

    Args:
        name: of the set.
        source: what the set was made from.
        num_pairs: pairs of all shards.
        content_sha256: hash of the set, see `content_sha256`.
        shards: its shards, in order.
    """

    name: str
    source: Object
    num_pairs: int
    content_sha256: str
    shards: tuple[ShardRecord, ...]

    @classmethod
    def of(cls, name: str, source: Object, shards: Sequence[ShardRecord]) -> Manifest:
        """Return the manifest of a set; it holds nothing that differs between two equal runs.

        Raises:
            BadSetting: its source holds something that JSON can't.
        """
        return cls(
            name=name,
            source=plain(source, f"The source of {name!r}"),
            num_pairs=sum(shard.num_pairs for shard in shards),
            content_sha256=content_sha256(shard.sha256 for shard in shards),
            shards=tuple(shards),
        )

    def to_json(self) -> dict[str, object]:
        """Return the object that ``manifest.json`` holds."""
        own = {**structs.asdict(self), "shards": [structs.asdict(one) for one in self.shards]}
        return {"format": FORMAT, "version": VERSION, **own}


def content_sha256(hashes: Iterable[str]) -> str:
    """Return the hash of a set: SHA-256 over the hex hashes of its shards, a line each."""
    return hashlib.sha256("".join(f"{value}\n" for value in hashes).encode()).hexdigest()


def plain(value: Mapping[str, object], what: str) -> dict[str, object]:
    """Return `value` as JSON would give it back, so that it can be compared with what was read.

    Raises:
        BadSetting: it holds something that JSON can't.
    """
    try:
        result = json.loads(json.dumps(dict(value), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise BadSetting(f"{what} must hold plain JSON values ({error}).") from error
    assert isinstance(result, dict)
    return result


def write_all(folder: Path, manifest: Manifest) -> None:
    """Write ``sizes.json`` (open_clip), ``_info.json`` (timm) and ``manifest.json``.

    The folder is one that is to be published, see `clipbench.system.durable`.
    """
    shards = manifest.shards
    write_json(folder / "sizes.json", {shard.name: shard.num_pairs for shard in shards}, sync=False)
    split = {
        "name": "train",
        "filenames": [shard.name for shard in shards],
        "shard_lengths": [shard.num_pairs for shard in shards],
        "num_samples": manifest.num_pairs,
    }
    write_json(
        folder / "_info.json", {"name": manifest.name, "splits": {"train": split}}, sync=False
    )
    write_summed(folder / NAME, manifest.to_json(), sync=False)


def read(folder: Path) -> Manifest | None:
    """Return the manifest of a folder; None if it has none, or one of another program.

    Raises:
        CorruptData: it is damaged.
    """
    path = folder / NAME
    try:
        content = read_json(path)
    except MissingData:
        if path.exists():
            raise
        return None
    if content.get("format") != FORMAT:
        return None
    if content.get("version") != VERSION:
        raise CorruptData(
            f"{path} has version {str(content.get('version'))[:40]!r}, this clipbench reads"
            f" {VERSION}; write the set again or use the clipbench that wrote it."
        )
    claims.check(path, "whole manifest", claims.MANIFEST, content, _REMEDY)
    manifest = msgspec.convert(content, Manifest)
    total = sum(shard.num_pairs for shard in manifest.shards)
    whole = content_sha256(shard.sha256 for shard in manifest.shards)
    if (manifest.num_pairs, manifest.content_sha256) != (total, whole):
        raise CorruptData(f"{path} contradicts itself; {_REMEDY}.")
    return manifest


FOREIGN = "webdataset"  # the format, in its source, of a set that other programs wrote
JOINED = "joined"  # in the source of a set whose shards come from several folders


def is_joined(folder: Path) -> bool:
    """Return whether shards of several sets lie in a folder, in which a key may come again."""
    manifest = read(folder)
    return manifest is not None and JOINED in manifest.source


def of_shards(paths: Sequence[Path], whole_folder: bool) -> Manifest | None:
    """Return the manifest that is about exactly these shards, if there is one beside them.

    Args:
        paths: the shards.
        whole_folder: whether they were opened as a folder, which must then hold all it lists.

    Raises:
        MissingData: a shard the manifest lists is not there.
        CorruptData: the manifest is damaged.
    """
    folder = paths[0].parent
    manifest = read(folder)
    if manifest is None:
        return None
    listed = [folder / record.name for record in manifest.shards]
    lost = sorted(set(listed) - set(paths)) if whole_folder else []
    if lost:
        raise MissingData(
            f"Shard {lost[0]} is not there though {folder / NAME} lists it; "
            "fetch it or write the set again."
        )
    return manifest if list(paths) == listed else None
