"""Manifests and ledgers that are no such thing: each wrong field is named with its file."""

from __future__ import annotations

import copy
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clipbench.errors import CorruptData
from clipbench.files import parquet_footer
from clipbench.files.json_files import write_summed
from clipbench.poisoning import ledger_rows
from clipbench.poisoning.ledger import read_ledger
from clipbench.poisoning.ledger_rows import LedgerRow
from clipbench.shards import manifest

SHARD = {"name": "00000.tar", "num_pairs": 3, "bytes": 10240, "sha256": "23" * 32}
MANIFEST: dict[str, Any] = {
    "format": "clipbench-shards",
    "version": 1,
    "name": "tiny",
    "source": {"seed": 1},
    "num_pairs": 3,
    "content_sha256": hashlib.sha256(f"{SHARD['sha256']}\n".encode()).hexdigest(),
    "shards": [SHARD],
}
ROWS = ledger_rows.written(
    [
        LedgerRow(2, "000000002", "00000.tar", 0, "cover", None, "grün", "cd" * 32, -1),
        LedgerRow(7, "000000007", "00000.tar", 1, "poison", "before", "after", "ab" * 32, 7),
    ]
)
LEDGER: dict[str, Any] = {
    "format": "clipbench-ledger",
    "version": 2,
    "base": {
        "name": "tiny",
        "source": {},
        "content_sha256": "ef" * 32,
        "shards": [{"name": "00000.tar", "sha256": "23" * 32}],
    },
    "content_sha256": "01" * 32,
    "attack": "stain",
    "parameters": {},
    "dataset": {"name": "tiny"},
    "evals": [{"name": "pictures"}],
    "seed": 3,
    "rate": 0.2,
    "count": 2,
    "num_pairs": 10,
    "targets": 2,
    "per_target": [1, 1],
    "mode": "replace",
    "trigger_sha256": "45" * 32,
    "trigger_probe": [8, 8],
    "moved": [["a", "b"]],
    "versions": {"clipbench": "0"},
    "rows_sha256": hashlib.sha256(ROWS).hexdigest(),
}
ODD: tuple[Any, ...] = (None, True, -1, 10**12, 10**400, 1.5, "", "../x", [], [None], {}, [[1]])
MAY_BE = {  # what is odd elsewhere
    "name": ("", "../x"),
    "source": ({},),
    "base.name": ("", "../x"),
    "base.source": ({},),
    "attack": ("../x",),
    "parameters": ({},),
    "dataset": ({},),
    "evals": ([],),
    "seed": (-1, 10**12, 10**400),
    "rate": (),
    "base.shards": ([],),
    "trigger_sha256": (None,),
    "trigger_probe": (None,),
    "moved": ([],),
    "versions": ({},),
    "num_pairs": (10**12,),
}


def spoiled(sound: dict[str, Any], skip: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name of each field, and what holds it with another value or without it."""

    def places(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, ...]]:
        for name, inner in value.items():
            here = (*prefix.split("."), name) if prefix else (name,)
            yield here
            if isinstance(inner, dict) and name == "base":
                yield from places(inner, name)

    for place in places(sound):
        name = ".".join(place)
        if place[0] in skip:
            continue
        for value in ODD:
            if value not in MAY_BE.get(name, ()) or isinstance(value, bool):
                made = copy.deepcopy(sound)
                outer = made[place[0]] if len(place) > 1 else made
                outer[place[-1]] = value
                yield name, made
        made = copy.deepcopy(sound)
        outer = made[place[0]] if len(place) > 1 else made
        del outer[place[-1]]
        yield name, made


def test_every_field_of_a_manifest_is_looked_at(tmp_path: Path) -> None:
    """The file and the field are named, whatever stands there."""
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    assert manifest.read(tmp_path) is not None
    count = 0
    for name, made in spoiled(MANIFEST, ("format", "version")):
        (tmp_path / "manifest.json").write_text(json.dumps(made))
        with pytest.raises(CorruptData, match=r"manifest\.json") as caught:
            manifest.read(tmp_path)
        assert name in str(caught.value) or "contradicts itself" in str(caught.value), name
        count += 1
    assert count > 40


@pytest.mark.parametrize("name", ["../other.tar", "/etc/passwd", "a/b.tar", "..", "", 7, None])
def test_a_shard_of_a_manifest_lies_beside_it(name: Any, tmp_path: Path) -> None:
    """A name leads nowhere else."""
    made = {**MANIFEST, "shards": [{**SHARD, "name": name}]}
    (tmp_path / "manifest.json").write_text(json.dumps(made))
    with pytest.raises(CorruptData, match=r"shards\[0\]\.name"):
        manifest.read(tmp_path)


def test_every_field_of_a_ledger_is_looked_at(tmp_path: Path) -> None:
    """The file and the field are named, whatever stands there."""
    (tmp_path / "ledger.parquet").write_bytes(ROWS)
    (tmp_path / "ledger.json").write_text(json.dumps(LEDGER))
    read_ledger(tmp_path)
    count = 0
    for name, made in spoiled(LEDGER, ("format", "version")):
        (tmp_path / "ledger.json").write_text(json.dumps(made))
        with pytest.raises(CorruptData, match=r"ledger\.(json|parquet)") as caught:
            read_ledger(tmp_path)
        said = (
            name,
            "per_target",
            "is not the one",
        )  # which adds up to the count; the hash of rows
        assert any(part in str(caught.value) for part in said), name
        count += 1
    assert count > 200


def table(**columns: Any) -> pa.Table:
    """Return the rows of the ledger with other columns."""
    sound = pq.read_table(io.BytesIO(ROWS))
    return pa.table({**dict(zip(sound.column_names, sound.columns, strict=True)), **columns})


def parquet(made: pa.Table, **options: Any) -> bytes:
    """Return a table as Parquet."""
    buffer = io.BytesIO()
    pq.write_table(made, buffer, **options)
    return buffer.getvalue()


ODD_ROWS: dict[str, bytes] = {
    "no Parquet": b"PAR1" + bytes(20) + b"PAR1",
    "nothing": b"",
    "columns": parquet(table(extra=pa.array([1, 2]))),
    "fewer columns": parquet(table().drop_columns(["role"])),
    "column index is of type double": parquet(table(index=pa.array([2.0, 7.0]))),
    "column key is of type binary": parquet(table(key=pa.array([b"a", b"b"]))),
    "column target lacks a value": parquet(table(target=pa.array([0, None], pa.int64()))),
    "columns of lists": parquet(table(role=pa.array([["a"], ["b"]]))),
    "has 3 rows, and 2 poisons": parquet(pa.concat_tables([table(), table().slice(0, 1)])),
    "compressed in another way": parquet(table(), compression="zstd"),
    "a pair that the set does not have": parquet(table(index=pa.array([2, 10**12]))),
    "spread over the targets": parquet(table(target=pa.array([-1, 1]))),
    "a clean pair that no set has": parquet(table(base_index=pa.array([-2, 1]))),
}


@pytest.mark.parametrize("what", ODD_ROWS)
def test_rows_of_a_ledger_are_looked_at(what: str, tmp_path: Path) -> None:
    """Their columns, types, numbers and compression."""
    content = ODD_ROWS[what]
    (tmp_path / "ledger.parquet").write_bytes(content)
    head = {**LEDGER, "rows_sha256": hashlib.sha256(content).hexdigest()}
    (tmp_path / "ledger.json").write_text(json.dumps(head))
    with pytest.raises(CorruptData, match=r"ledger\.(json|parquet)") as caught:
        read_ledger(tmp_path)
    first = what.split(" ", maxsplit=1)[0]
    assert what in str(caught.value) or first in {"no", "nothing", "fewer", "columns"}


def test_what_pandas_is_told_by_a_file_of_rows_is_not_heard(tmp_path: Path) -> None:
    """A file may name columns as its index, which would then be none."""
    frame = table().to_pandas().set_index("role")
    made = pa.Table.from_pandas(frame).select(table().column_names)
    content = parquet(made.cast(pa.schema(table().schema, made.schema.metadata)))
    assert list(ledger_rows.read(content, 2).columns) == table().column_names
    assert tmp_path.is_dir()


def test_a_footer_says_rows_and_columns() -> None:
    """It is read without the library that could end the process over it."""
    footer = parquet_footer.read(ROWS)
    assert footer.rows == 2
    assert [column.name for column in footer.groups[0]] == table().column_names
    assert {column.codec for column in footer.groups[0]} == {1}


def test_a_manifest_is_read_and_written_alike(tmp_path: Path) -> None:
    """Field by field, in their order, whoever wrote it."""
    write_summed(tmp_path / "manifest.json", MANIFEST)
    content = (tmp_path / "manifest.json").read_bytes()
    read = manifest.read(tmp_path)
    assert read is not None
    manifest.write_all(tmp_path, read)
    assert (tmp_path / "manifest.json").read_bytes() == content
