"""``pairs.parquet``: a row per usable pair, in the order of the set, for all stages of an audit.

Rows of each shard are found in one pass over it and kept in a file of their own until all are, so
that an audit that is stopped goes on with the next shard.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from clipbench.audit.inventory.captions import count_words, script_of
from clipbench.audit.inventory.near import slopes
from clipbench.audit.inventory.suppliers import HERE, URL, By, folder_of, host_of, name_of
from clipbench.contracts import Progress
from clipbench.errors import ChangedData, CorruptData, MissingData
from clipbench.images.encoding import image_size
from clipbench.images.reduced import decode_reduced
from clipbench.shards.reader import ShardSet
from clipbench.system.durable import atomic_file, make_folder
from clipbench.system.processes import in_processes
from clipbench.text.visible import escaped
from clipbench.toolkit.captions import caption_hash
from clipbench.toolkit.lookalikes import SIDE, Hashes, phash_of_gray

if TYPE_CHECKING:
    import pyarrow as pa

NAME, SAME_IMAGE = "pairs.parquet", "same_image"
COLUMNS = {
    "index": "int64",
    "key": "string",
    "shard": "string",
    "supplier": "string",
    "width": "int32",
    "height": "int32",
    "image_bytes": "int64",
    "image_sha256": "string",
    "image_hash": "uint64",
    "caption_sha256": "string",
    "words": "int32",
    SAME_IMAGE: "int64",
}
# Of each shard; which images look the same is known when all are.
_JOINED = {name: kind for name, kind in COLUMNS.items() if name != SAME_IMAGE}
_KEPT = {**_JOINED, "script": "string", "extension": "string", "image_slopes": "uint64"}
_AT_ONCE = 1 << 12  # rows
READ_SIDE = 4 * SIDE  # pixels: a JPEG is decoded no larger where it can be


@dataclass(frozen=True)
class Reading:
    """What is read of a set.

    Args:
        shards: the set.
        names: of its shards.
        field: of the JSON that names the supplier; None: the host of a URL does.
        files: where the rows of each shard are kept.
    """

    shards: ShardSet
    names: Sequence[str]
    field: str | None
    files: Sequence[Path]


def read_shards(reading: Reading, progress: Progress, workers: int | None = None) -> None:
    """Find the rows of each shard that has no file of them yet, and write it.

    Args:
        reading: what is read.
        progress: told after every shard.
        workers: processes; 0: this one; None: one a processor.
    """
    shards = reading.shards
    make_folder(reading.files[0].parent)
    missing = [number for number, file in enumerate(reading.files) if _kept(file) is None]
    done = len(shards) - sum(shards.shards[number].num_pairs for number in missing)
    progress("taking the inventory", done, len(shards))
    for number in in_processes(_read_shard, reading, missing, workers):
        done += shards.shards[number].num_pairs
        progress("taking the inventory", done, len(shards))


def _read_shard(reading: Reading, number: int) -> int:
    """Write the rows of one shard."""
    if _kept(reading.files[number]) is not None:  # of a task that begins again
        return number
    _keep(reading.files[number], _batches(reading, number))
    return number


def _batches(reading: Reading, number: int) -> Iterator[list[dict[str, object]]]:
    """Yield the rows of a shard, some thousands at a time: a shard may hold millions."""
    shard = reading.shards.shards[number]
    end = shard.first + shard.num_pairs
    for start in range(shard.first, end, _AT_ONCE):
        stop = min(end, start + _AT_ONCE)
        yield [_row(reading, number, pair) for pair in range(start, stop)]


def _row(reading: Reading, shard: int, pair: int) -> dict[str, object]:
    """Return the row of a pair.

    Raises:
        CorruptData: an image can't be decoded, or a JSON not read.
    """
    shards = reading.shards
    image, caption = shards.image_bytes(pair), shards.caption(pair)
    fields = shards.metadata(pair)
    field = reading.field
    supplier = host_of(fields.get(URL)) if field is None else name_of(fields.get(field))
    try:
        width, height = image_size(image)
        gray = decode_reduced(image, READ_SIDE, "L")
    except CorruptData as error:
        raise CorruptData(
            f"Image of {shards.where(pair)}: {error} Fetch the shard again or remove the key."
        ) from error
    return {
        "index": pair,
        "key": escaped(shards.key(pair)),
        "shard": escaped(reading.names[shard]),
        "supplier": escaped(supplier),
        "width": width,
        "height": height,
        "image_bytes": len(image),
        "image_sha256": hashlib.sha256(image).hexdigest()[:16],
        "image_hash": phash_of_gray(gray),
        "caption_sha256": caption_hash(caption),
        "words": count_words(caption),
        "script": script_of(caption),
        "extension": shards.extension(pair),
        "image_slopes": slopes(gray),
    }


# ------------------------------------------------------------------ rows of single shards


def _schema(columns: Mapping[str, str]) -> pa.Schema:
    import pyarrow as pa  # noqa: PLC0415  (heavy)

    return pa.schema([(name, getattr(pa, kind)()) for name, kind in columns.items()])


def _keep(file: Path, batches: Iterable[list[dict[str, object]]]) -> None:
    """Write the rows of a shard behind their SHA-256, by which a torn file is told."""
    import pyarrow as pa  # noqa: PLC0415  (heavy)
    import pyarrow.parquet as pq  # noqa: PLC0415

    buffer, schema = io.BytesIO(), _schema(_KEPT)
    with pq.ParquetWriter(buffer, schema, compression="zstd") as writer:
        for rows in batches:
            writer.write_table(pa.Table.from_pylist(rows, schema))
    content = buffer.getbuffer()
    with atomic_file(file, len(content), sync=False) as out:
        out.write(hashlib.sha256(content).hexdigest().encode() + b"\n")
        out.write(content)


def _kept(file: Path) -> bytes | None:
    """Return what `_keep` wrote, a Parquet file; None: it is not there, or not whole."""
    try:
        told, _, content = file.read_bytes().partition(b"\n")
    except OSError:
        return None
    return content if hashlib.sha256(content).hexdigest().encode() == told else None


# ------------------------------------------------------------------------- of all shards


@dataclass(frozen=True)
class Joined:
    """What is found while rows are put together.

    Args:
        by: what suppliers are named by.
        scripts: pairs by the script of their caption.
        extensions: pairs by the extension of their image.
        slopes: of each shard, ``(n,)`` hashes of where images get brighter.
    """

    by: By
    scripts: Counter[str]
    extensions: Counter[str]
    slopes: list[Hashes]


def join(reading: Reading, path: Path) -> Joined:
    """Write the rows of all shards in one file, those of one shard in memory at a time.

    Suppliers are what a field names; without one, what the host of a URL does, if most pairs have
    one; else the folders in which shards lie, if there are several; else nobody is known.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415  (heavy)

    by = _suppliers_by(reading)
    counts = Joined(by, Counter(), Counter(), [])
    schema = _schema(_JOINED)
    with atomic_file(path) as out, pq.ParquetWriter(out, schema, compression="zstd") as writer:
        for table in _tables(reading):
            for name, column in (("script", counts.scripts), ("extension", counts.extensions)):
                for one in table.column(name).value_counts().to_pylist():
                    column[one["values"]] += one["counts"]
            counts.slopes.append(table.column("image_slopes").to_numpy())
            named = table if by in ("field", "host") else _placed(table, by)
            writer.write_table(named.select([*schema.names]))
    return counts


def _tables(reading: Reading) -> Iterator[pa.Table]:
    """Yield the rows of every shard.

    Raises:
        ChangedData: those of one are gone.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415  (heavy)

    for file in reading.files:
        content = _kept(file)
        if content is None:
            raise ChangedData(f"{file} changed while it was in use; start again.")
        yield pq.read_table(io.BytesIO(content))


def _suppliers_by(reading: Reading) -> By:
    if reading.field is not None:
        return "field"
    named = (sum(map(bool, table.column("supplier").to_pylist())) for table in _tables(reading))
    if 2 * sum(named) > len(reading.shards):
        return "host"
    return "folder" if len({*map(folder_of, reading.names)}) > 1 else "none"


def _placed(table: pa.Table, by: By) -> pa.Table:
    """Return rows with the folders of their shards for suppliers, or without any."""
    import pyarrow as pa  # noqa: PLC0415  (heavy)

    names = [folder_of(name) or HERE for name in table.column("shard").to_pylist()]
    suppliers = pa.array(names if by == "folder" else [""] * len(names), pa.string())
    return table.set_column(table.schema.get_field_index("supplier"), "supplier", suppliers)


def write_pairs(joined: Path, path: Path, same_image: npt.NDArray[np.int64]) -> None:
    """Write ``pairs.parquet``: rows of all shards, and for each the number of its image.

    Args:
        joined: what `join` wrote.
        path: of the file.
        same_image: ``(N,)`` number of the first pair whose image looks the same.
    """
    import pyarrow as pa  # noqa: PLC0415  (heavy)
    import pyarrow.parquet as pq  # noqa: PLC0415

    schema, first = _schema(COLUMNS), 0
    with (
        atomic_file(path) as out,
        pq.ParquetFile(joined) as file,
        pq.ParquetWriter(out, schema, compression="zstd") as writer,
    ):
        for number in range(file.num_row_groups):
            table = file.read_row_group(number)
            numbers = pa.array(same_image[first : first + len(table)], pa.int64())
            writer.write_table(table.append_column(SAME_IMAGE, numbers))
            first += len(table)


def read_pairs(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Return ``pairs.parquet``, or what `join` wrote, as a table of pyarrow.

    Args:
        path: the file.
        columns: those that are read; None: all.

    Raises:
        MissingData: it is not there.
        CorruptData: it is damaged.
    """
    import pyarrow as pa  # noqa: PLC0415  (heavy)
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with pq.ParquetFile(path) as file:  # a table would get columns from names of folders
            return file.read(None if columns is None else [*columns])
    except FileNotFoundError as error:
        raise MissingData(f"There is no file {path}; run the audit again.") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CorruptData(f"{path} is damaged ({reason}); remove it, and audit again.") from error
