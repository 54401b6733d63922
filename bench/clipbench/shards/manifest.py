"""What lies beside the shards: their manifest, and the counts that open_clip and timm look for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clipbench.errors import BadSetting, CorruptData, MissingData
from clipbench.files.json_files import read_json, write_json, write_summed
from clipbench.shards import claims

FORMAT = "clipbench-shards"
VERSION = 1
NAME = "manifest.json"
_REMEDY = "fetch it or write the set again"


@dataclass(frozen=True)
class ShardRecord:
    """A shard in a manifest."""

    name: str
    num_pairs: int
    bytes: int
    sha256: str


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


def build(
    name: str, source: Mapping[str, object], shards: Sequence[ShardRecord]
) -> dict[str, object]:
    """Return the manifest of a set; it holds nothing that differs between two equal runs."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": name,
        "source": plain(source, f"The source of {name!r}"),
        "num_pairs": sum(shard.num_pairs for shard in shards),
        "content_sha256": content_sha256(shard.sha256 for shard in shards),
        "shards": [asdict(shard) for shard in shards],
    }


def records(manifest: Mapping[str, Any]) -> list[ShardRecord]:
    """Return the shards a manifest lists, in order."""
    return [ShardRecord(**shard) for shard in manifest["shards"]]


def write_all(folder: Path, manifest: Mapping[str, object]) -> None:
    """Write ``sizes.json`` (open_clip), ``_info.json`` (timm) and ``manifest.json``.

    The folder is one that is to be published, see `clipbench.system.durable`.
    """
    shards = records(manifest)
    write_json(folder / "sizes.json", {shard.name: shard.num_pairs for shard in shards}, sync=False)
    split = {
        "name": "train",
        "filenames": [shard.name for shard in shards],
        "shard_lengths": [shard.num_pairs for shard in shards],
        "num_samples": manifest["num_pairs"],
    }
    write_json(
        folder / "_info.json", {"name": manifest["name"], "splits": {"train": split}}, sync=False
    )
    write_summed(folder / NAME, manifest, sync=False)


def read(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a folder; None if it has none, or one of another program.

    Raises:
        CorruptData: it is damaged.
    """
    path = folder / NAME
    try:
        manifest = read_json(path)
    except MissingData:
        if path.exists():
            raise
        return None
    if manifest.get("format") != FORMAT:
        return None
    if manifest.get("version") != VERSION:
        raise CorruptData(
            f"{path} has version {str(manifest.get('version'))[:40]!r}, this clipbench reads"
            f" {VERSION}; write the set again or use the clipbench that wrote it."
        )
    claims.check(path, "whole manifest", claims.MANIFEST, manifest, _REMEDY)
    shards = records(manifest)
    total = sum(shard.num_pairs for shard in shards)
    whole = content_sha256(shard.sha256 for shard in shards)
    if (manifest["num_pairs"], manifest["content_sha256"]) != (total, whole):
        raise CorruptData(f"{path} contradicts itself; {_REMEDY}.")
    return manifest


FOREIGN = "webdataset"  # the format, in its source, of a set that other programs wrote
JOINED = "joined"  # in the source of a set whose shards come from several folders


def is_joined(folder: Path) -> bool:
    """Return whether shards of several sets lie in a folder, in which a key may come again."""
    manifest = read(folder)
    return manifest is not None and JOINED in manifest["source"]


def of_shards(paths: Sequence[Path], whole_folder: bool) -> dict[str, Any] | None:
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
    listed = [folder / record.name for record in records(manifest)]
    lost = sorted(set(listed) - set(paths)) if whole_folder else []
    if lost:
        raise MissingData(
            f"Shard {lost[0]} is not there though {folder / NAME} lists it; "
            "fetch it or write the set again."
        )
    return manifest if list(paths) == listed else None
