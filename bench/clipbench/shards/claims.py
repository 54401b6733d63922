"""What the files beside shards must look like, field by field: each is a claim to be checked."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from clipbench.errors import CorruptData
from clipbench.files import checks
from clipbench.files.checks import Check, Objection

_SHA256 = checks.hexadecimal(64)
_SIDE = 1 << 15  # of a probe image; no training picture has a longer one


def check(path: Path, what: str, schema: Check, value: object, remedy: str) -> None:
    """Refuse a file whose content is not what it must be.

    Args:
        path: the file.
        what: what it should be, for the message.
        schema: what is checked.
        value: its content.
        remedy: what to do.

    Raises:
        CorruptData: naming the file and the first wrong field.
    """
    try:
        schema("", value)
    except Objection as error:
        raise CorruptData(f"{path} is no {what}: {error}; {remedy}.") from error


MANIFEST = checks.fields(
    {
        "name": checks.words,
        "source": checks.table,
        "num_pairs": checks.count,
        "content_sha256": _SHA256,
        "shards": checks.items(
            checks.fields(
                {
                    "name": checks.file_name,
                    "num_pairs": checks.count,
                    "bytes": checks.count,
                    "sha256": _SHA256,
                },
                others=False,
            )
        ),
    }
)


def _probe(field: str, value: object) -> None:
    """Object to anything but height and width of an image."""
    checks.items(checks.count, most=2)(field, value)
    sides = value if isinstance(value, list) else []
    if len(sides) != 2 or not all(1 <= side <= _SIDE for side in sides):
        raise Objection(field, "must be the height and width of an image", value)


def _key_pair(field: str, value: object) -> None:
    checks.items(checks.text, most=2)(field, value)
    if not isinstance(value, list) or len(value) != 2:
        raise Objection(field, "must be a key before and after", value)


_LEDGER = checks.fields(
    {
        "base": checks.fields(
            {
                "name": checks.words,
                "source": checks.table,
                "content_sha256": _SHA256,
                "shards": checks.items(
                    checks.fields({"name": checks.file_name, "sha256": _SHA256})
                ),
            },
            {"num_pairs": checks.count},
        ),
        "content_sha256": _SHA256,
        "attack": checks.text,
        "parameters": checks.table,
        "dataset": checks.table,
        "evals": checks.items(checks.table),
        "seed": checks.integer,
        "rate": checks.number(0, 1),
        "count": checks.count,
        "num_pairs": checks.count,
        "targets": checks.count,
        "per_target": checks.items(checks.count),
        "mode": checks.one_of("replace", "insert"),
        "trigger_sha256": checks.maybe(_SHA256),
        "trigger_probe": checks.maybe(_probe),
        "moved": checks.items(_key_pair),
        "versions": checks.table_of(checks.maybe(checks.words)),
        "rows_sha256": _SHA256,
    },
    {
        "left_out": checks.table_of(checks.count),
        "crafted": checks.table,
        "code": checks.table_of(_SHA256),
        "packages": checks.table_of(_SHA256),
    },
    others=False,
)


class _Counts(Struct):
    """Numbers of a ledger that must fit together."""

    targets: int
    per_target: list[int]
    count: int
    num_pairs: int


def _ledger(field: str, value: object) -> None:
    """Object to fields that are not what they must be, and to counts that contradict each other."""
    _LEDGER(field, value)
    told = msgspec.convert(value, _Counts)
    number, total = len(told.per_target), sum(told.per_target)
    if number != told.targets:
        raise Objection("per_target", f"must have {told.targets} items", number)
    if total != told.count:
        raise Objection("per_target", f"must add up to {told.count}", total)
    if told.count > told.num_pairs:
        raise Objection("count", f"must be at most {told.num_pairs}", told.count)


LEDGER: Check = _ledger
STATS = checks.fields(
    {
        "count": checks.count,
        "successes": checks.count,
        "pairs_per_shard": checks.count,
        "left_out": checks.table_of(checks.count),
    },
)
LEFT_OUT = checks.fields(
    {"key": checks.words, "name": checks.words, "reason": checks.words, "detail": checks.words},
    {"image": checks.words},
)
