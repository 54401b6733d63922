"""Poisoned sets whose ledger or shards were changed, with all hashes made right again."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from clipbench.shards import manifest as manifests

Head, Rows = dict[str, Any], pd.DataFrame


def forge(folder: Path, change: Callable[[Head, Rows], Rows | None]) -> None:
    """Change the ledger of a poisoned set, and give its rows their hash."""
    path = folder / "ledger" / "ledger.json"
    head, table = json.loads(path.read_text()), pq.read_table(path.with_suffix(".parquet"))
    rows = table.to_pandas().astype({"caption_before": object})
    changed = change(head, rows)
    new = (rows if changed is None else changed).reset_index(drop=True)
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(new, schema=table.schema, preserve_index=False), buffer)
    path.with_suffix(".parquet").write_bytes(buffer.getvalue())
    head["rows_sha256"] = hashlib.sha256(buffer.getvalue()).hexdigest()
    path.write_text(json.dumps(head))
    path.with_suffix(".sha256").unlink(missing_ok=True)  # which the forger would not leave


def recount(head: Head, rows: Rows) -> Rows:
    """Give a ledger the counts of its rows."""
    head["count"] = len(rows)
    head["rate"] = len(rows) / head["num_pairs"]
    head["per_target"] = [int((rows["target"] == t).sum()) for t in range(head["targets"])]
    return rows


def rewrite(
    folder: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], Any], shard: int = 0
) -> None:
    """Change the members of a shard, in place; manifest, sizes and ledger get what then is there.

    The rows of the ledger keep the hashes of their images: see `resign`.
    """
    (*_, path) = [p for number, p in enumerate(sorted((folder / "shards").glob("*.tar")))][
        : shard + 1
    ]
    status = path.stat()
    with tarfile.open(path) as old:
        members = [(info, old.extractfile(info).read()) for info in old]  # type: ignore[union-attr]
    change(members)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as new:
        for info, content in members:
            info.size = len(content)
            new.addfile(info, io.BytesIO(content))
    path.unlink()  # a link must not change the clean set
    path.write_bytes(buffer.getvalue())
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    _describe(folder, path, sum(info.name.endswith(".txt") for info, _ in members))


def _describe(folder: Path, path: Path, num_pairs: int) -> None:
    manifest = manifests.read(folder / "shards")
    assert manifest is not None
    records = [
        manifests.ShardRecord(
            path.name,
            num_pairs,
            path.stat().st_size,
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        if record.name == path.name
        else record
        for record in manifest.shards
    ]
    new = manifests.Manifest.of(manifest.name, manifest.source, records)
    manifests.write_all(folder / "shards", new)

    def fit(head: Head, rows: Rows) -> Rows:
        head["content_sha256"], head["num_pairs"] = new.content_sha256, new.num_pairs
        return recount(head, rows)

    forge(folder, fit)


def swap(name: str, content: bytes) -> Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]:
    """Return a change that gives one member another content."""

    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        (at,) = [number for number, (info, _) in enumerate(members) if info.name == name]
        members[at] = members[at][0], content

    return change
