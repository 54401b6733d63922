"""Taking an inventory: one pass over the shards, then what the rows of all pairs say together."""

from __future__ import annotations

import shutil
from pathlib import Path

from clipbench.audit.inventory import pairs
from clipbench.audit.inventory.model import Inventory
from clipbench.audit.inventory.suppliers import shard_names
from clipbench.audit.request import AuditRequest
from clipbench.audit.stage import kept
from clipbench.errors import ClipbenchError
from clipbench.files import sums
from clipbench.files.json_files import read_json, sha256_file
from clipbench.files.typed import Json
from clipbench.system.durable import make_folder

VERSION = 1  # raise it with every change of what is found
FOLDER, NAME, LEFT_OUT = "inventory", "inventory.json", "left_out.jsonl"
_PARTS = "parts"


def take_inventory(request: AuditRequest, workers: int | None = None) -> Inventory:
    """Return what is in the set, and write ``pairs.parquet`` and the list of what was left out.

    Args:
        request: what is audited.
        workers: processes; 0: this one; None: one a processor.

    Raises:
        BadSetting: no pair has the field that was to name suppliers.
        CorruptData: a shard is damaged.
    """
    folder = request.out / FOLDER
    make_folder(folder)
    key = _key(request)
    if not _is_whole(folder):
        (folder / NAME).unlink(missing_ok=True)
    inventory, _ = kept(folder / NAME, Inventory, key, lambda: _taken(request, folder, workers))
    shutil.rmtree(folder / _PARTS, ignore_errors=True)
    return inventory


def _key(request: AuditRequest) -> dict[str, Json]:
    """Return what decides an inventory."""
    shards = request.usable.shards
    return {
        "version": VERSION,
        "shards": shards.view_hashes(request.reporter.progress),
        "names": shard_names([shard.path for shard in shards.shards]),
        "caption_field": request.caption_field,
        "supplier": request.supplier,
        "left_out": dict(request.usable.left_out),
    }


def _is_whole(folder: Path) -> bool:
    """Return whether the rows of an inventory are those that it was made with."""
    try:
        told = read_json(folder / NAME)["found"]["pairs_sha256"]
        return bool(sha256_file(folder / pairs.NAME) == told)
    except (ClipbenchError, KeyError, TypeError):  # not there, or changed: it is taken again
        return False


def _taken(request: AuditRequest, folder: Path, workers: int | None) -> Inventory:
    shards = request.usable.shards
    key = _key(request)
    names = shard_names([shard.path for shard in shards.shards])
    files = [
        folder / _PARTS / f"{number:06d}-{sums.of_json([key['version'], *rest])[:16]}.rows"
        for number, rest in enumerate(
            zip(
                shards.view_hashes(),
                names,
                [request.caption_field] * len(names),
                [request.supplier] * len(names),
                [shard.first for shard in shards.shards],
                strict=True,
            )
        )
    ]
    reading = pairs.Reading(shards, names, request.supplier, files)
    pairs.read_shards(reading, request.reporter.progress, workers)
    counts = pairs.join(reading, folder / pairs.NAME)
    left_out = folder / LEFT_OUT
    left_out.unlink(missing_ok=True)
    request.usable.write_names(left_out)
    return Inventory(
        pairs=len(shards),
        left_out=dict(request.usable.left_out),
        shards=len(shards.shards),
        suppliers_by=counts.by,
        scripts=dict(counts.scripts.most_common()),
        extensions=dict(counts.extensions.most_common()),
        pairs_sha256=sha256_file(folder / pairs.NAME),
    )
