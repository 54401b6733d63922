"""The rows of a ledger as Parquet: of known columns, read so that none takes more than it has."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from clipbench.files import parquet_footer
from clipbench.text.visible import escaped

if TYPE_CHECKING:
    import pandas as pd

_PLAIN = frozenset({0, 1})  # as it is, or Snappy; of others a few bytes may stand for gigabytes


@dataclass(frozen=True)
class LedgerRow:
    """One poisoned pair.

    Args:
        index: its number in the poisoned set.
        key: its key.
        shard: file name of its shard.
        target: which of the attack's targets it serves.
        role: what it is for.
        caption_before: caption of the pair it replaced; None if it was inserted.
        caption_after: its caption.
        image_sha256: hash of its image file.
        base_index: number, in the base set, of the clean pair it replaced or was made from; -1 if
            it was inserted and made from none.
    """

    index: int
    key: str
    shard: str
    target: int
    role: str
    caption_before: str | None
    caption_after: str
    image_sha256: str
    base_index: int


def _schema() -> Any:
    import pyarrow as pa  # noqa: PLC0415  (heavy)

    kinds: dict[str, Literal["string", "int64"]] = {
        "int": "int64",
        "str": "string",
        "str | None": "string",
    }
    return pa.schema([(field.name, kinds[str(field.type)]) for field in fields(LedgerRow)])


def written(rows: Sequence[LedgerRow]) -> bytes:
    """Return rows as a Parquet file."""
    import pyarrow as pa  # noqa: PLC0415  (heavy)
    import pyarrow.parquet as pq  # noqa: PLC0415

    buffer = io.BytesIO()
    table = [
        {name: escaped(value) if isinstance(value, str) else value for name, value in row.items()}
        for row in map(asdict, rows)
    ]
    pq.write_table(pa.Table.from_pylist(table, schema=_schema()), buffer)
    return buffer.getvalue()


def read(content: bytes, count: int) -> pd.DataFrame:
    """Return the rows of a Parquet file.

    Args:
        content: the file.
        count: how many rows it must have.

    Raises:
        ValueError: it is no Parquet, has other rows or columns, or takes more memory than it may.
    """
    import pyarrow as pa  # noqa: PLC0415  (heavy)
    import pyarrow.parquet as pq  # noqa: PLC0415

    schema = _schema()
    texts = [field.name for field in schema if field.type == pa.string()]
    try:
        # Texts that come again are held once: a column may say one of a megabyte a million times.
        _check_form(parquet_footer.read(content), len(content), count)
        limit = max(1 << 10, len(content))
        file = pq.ParquetFile(
            io.BytesIO(content),
            read_dictionary=texts,
            thrift_string_size_limit=limit,
            thrift_container_size_limit=limit,
        )
        table = file.read(use_threads=False)
        _check_columns(table, schema)
        # pandas takes no advice from the file on what its columns are.
        frame: pd.DataFrame = table.replace_schema_metadata(None).to_pandas(categories=None)
        for name in texts:
            frame[name] = frame[name].astype(object)
    except (pa.ArrowException, OSError, ValueError, OverflowError, LookupError) as error:
        raise ValueError(" ".join(str(error).split())[:200]) from error
    # An inserted pair has none. pandas 3 reads it as NaN, which is true and no text.
    before = frame["caption_before"]
    frame["caption_before"] = before.where(before.notna(), None)
    return frame


def _check_form(footer: parquet_footer.Footer, size: int, count: int) -> None:
    """Refuse what would be read as more rows or bytes than it has."""
    names = [field.name for field in fields(LedgerRow)]
    if footer.rows != count:
        raise ValueError(f"it has {footer.rows} rows, and {count} poisons")
    if count > size:
        raise ValueError(f"its {size} bytes can't hold {count} rows")
    for group in footer.groups:
        found = [column.name[:60] for column in group]
        if found != names:
            raise ValueError(f"its rows have columns {found[:20]}")
        for column in group:
            if column.codec not in _PLAIN:
                raise ValueError(f"its column {column.name} is compressed in another way")
            if not 0 <= column.values <= count:
                raise ValueError(f"its column {column.name} has {column.values} values")


def _check_columns(table: Any, schema: Any) -> None:
    """Refuse columns of other types, or with values missing."""
    import pyarrow as pa  # noqa: PLC0415  (heavy)

    for field in schema:
        column = table.column(field.name)
        kind = column.type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if kind != field.type:
            raise ValueError(f"its column {field.name} is of type {kind}, not {field.type}")
        if column.null_count and field.name != "caption_before":
            raise ValueError(f"its column {field.name} lacks a value")
