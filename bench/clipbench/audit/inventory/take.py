"""Taking an inventory: one pass over the shards, then what the rows of all pairs say together."""

from __future__ import annotations

import shutil
from pathlib import Path

from clipbench.audit.inventory import pairs
from clipbench.audit.inventory.count import LISTED, Counted
from clipbench.audit.inventory.model import Inventory
from clipbench.audit.inventory.suppliers import check_field, shard_names
from clipbench.audit.request import AuditRequest
from clipbench.audit.stage import kept
from clipbench.custody.record import note_made
from clipbench.errors import ClipbenchError
from clipbench.files import sums
from clipbench.files.json_files import read_json, sha256_file
from clipbench.files.typed import Json, table
from clipbench.system.durable import make_folder

VERSION = 7  # raise it with every change of what is found
FOLDER, NAME, LEFT_OUT = "inventory", "inventory.json", "left_out.jsonl"
TABLES = COPIES, REPEATS, SUPPLIERS = "copies.csv", "captions.csv", "suppliers.csv"
_PARTS = "parts"


def take_inventory(request: AuditRequest, workers: int | None = None) -> Inventory:
    """Return what is in the set, and write its files: rows, lists of copies, of what is left out.

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
    inventory, is_new = kept(
        folder / NAME, Inventory, key, lambda: _taken(request, folder, workers)
    )
    if is_new:
        note_made(pairs.NAME, inventory.pairs_sha256)
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
    """Return whether the files of an inventory are there, and its rows those it was made with."""
    try:
        told = table(read_json(folder / NAME)["found"])["pairs_sha256"]
        is_same = sha256_file(folder / pairs.NAME) == told
    except (ClipbenchError, KeyError, ValueError):  # not there, or changed: it is taken again
        return False
    return is_same and all((folder / name).is_file() for name in TABLES)


def _taken(request: AuditRequest, folder: Path, workers: int | None) -> Inventory:
    """Return an inventory that is taken now, and write its files."""
    shards, progress = request.usable.shards, request.reporter.progress
    if request.supplier is not None:
        check_field(shards, request.supplier)
    reading = _reading(request, folder / _PARTS)
    pairs.read_shards(reading, progress, workers)
    rows = folder / _PARTS / pairs.NAME
    joined = pairs.join(reading, rows)
    (folder / LEFT_OUT).unlink(missing_ok=True)
    request.usable.write_names(folder / LEFT_OUT)
    counted = Counted.of(shards, rows, joined, progress)
    pairs.write_pairs(rows, folder / pairs.NAME, counted.alike.firsts[counted.alike.codes])
    suppliers = counted.by_supplier()
    counted.write_copies(folder / COPIES)
    counted.write_repeats(folder / REPEATS)
    counted.write_suppliers(folder / SUPPLIERS, suppliers)
    sides, words = counted.spreads()
    by = counted.suppliers.codes
    return Inventory(
        pairs=len(shards),
        left_out=dict(request.usable.left_out),
        shards=len(shards.shards),
        image_bytes=int(counted.numbers("image_bytes").sum()),
        extensions=dict(joined.extensions.most_common()),
        sides=sides,
        exact=counted.exact.copies(by),
        alike=counted.alike.copies(by),
        bursts=counted.bursts(by_captions=False),
        contested=counted.bursts(by_captions=True),
        many=counted.many(),
        words=words,
        lengths=counted.lengths(),
        scripts=dict(joined.scripts.most_common()),
        captions=len(counted.captions.sizes),
        repeated=counted.captions.copies(by),
        repeats=counted.repeats(),
        suppliers_by=joined.by,
        suppliers_count=len(suppliers),
        suppliers=tuple(suppliers[:LISTED]),
        unnamed=sum(one.pairs for one in suppliers if not one.name),
        pairs_sha256=sha256_file(folder / pairs.NAME),
    )


def _reading(request: AuditRequest, folder: Path) -> pairs.Reading:
    """Return what is read, with a file for the rows of each shard that is named by its content."""
    shards = request.usable.shards
    names = shard_names([shard.path for shard in shards.shards])
    of_all = [VERSION, request.caption_field, request.supplier]
    files = [
        folder / f"{sums.of_json([*of_all, sha256, name, shard.first])[:32]}.rows"
        for sha256, name, shard in zip(shards.view_hashes(), names, shards.shards, strict=True)
    ]
    return pairs.Reading(shards, names, request.supplier, files)
