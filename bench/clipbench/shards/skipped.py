"""What was left out of a set, and why: one line per pair, and counts by reason.

``skipped.jsonl`` lies beside the shards with a line for every pair that its source lists and that
could not be used. ``_stats.json`` holds the counts under the names img2dataset gives them. Both
are written only where something was left out, and hold nothing that differs between equal runs.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import msgspec
from msgspec import UNSET, Struct, UnsetType

from clipbench.errors import CorruptData, MissingData
from clipbench.files.foreign import opened_regular, parsed
from clipbench.files.json_files import read_json, write_summed
from clipbench.shards import claims
from clipbench.shards.shard_writer import KEY_DIGITS, LeftOut
from clipbench.system.durable import atomic_file

NAME = "skipped.jsonl"
STATS = "_stats.json"
_LONGEST = 1 << 20  # bytes of a line
_REMEDY = "write the set again"


class Stats(Struct, frozen=True):
    """How many pairs of a source can be used; the content of ``_stats.json``.

    Args:
        count: pairs that the source lists.
        successes: those of them that are in the set.
        pairs_per_shard: how many of those that are listed went into one shard.
        left_out: how many are not in the set, by reason.
    """

    count: int
    successes: int
    pairs_per_shard: int
    left_out: dict[str, int]


class Skipped(Struct, frozen=True):
    """A pair that was left out.

    Args:
        key: the key that it would have.
        name: what the source calls it, or the shard that it lies in.
        reason: why, in a few words that are the same for all pairs of the kind.
        detail: what exactly was found.
        image: the image file, where there should be one, of pairs that were imported.
    """

    key: str
    name: str
    reason: str
    detail: str
    image: str | UnsetType = UNSET


def write(path: Path, shard: str, left_out: Sequence[tuple[int, LeftOut]]) -> None:
    """Write what was left out of one shard.

    Args:
        path: the file.
        shard: the first digits of the shard's keys.
        left_out: the pairs, each with its number in the shard.
    """
    with atomic_file(path) as file:  # what it names is nowhere else
        for number, pair in left_out:
            line = {"key": f"{shard}{number:0{KEY_DIGITS}d}", **asdict(pair)}
            file.write(json.dumps(line).encode() + b"\n")


def join(parts: Iterable[Path], folder: Path, count: int, pairs_per_shard: int) -> Stats:
    """Join the lists of all shards into `folder`, with their counts, and return the counts.

    Args:
        parts: files that `write` wrote, in order; those that are not there had nothing to say.
        folder: the folder of shards.
        count: pairs that the source lists.
        pairs_per_shard: how many of them went into one shard.
    """
    reasons: Counter[str] = Counter()
    with atomic_file(folder / NAME, sync=False) as out:
        for part in parts:
            if part.exists():
                with part.open("rb") as file:
                    for line in file:
                        reasons[json.loads(line)["reason"]] += 1
                        out.write(line)
    stats = Stats(
        count=count,
        successes=count - reasons.total(),
        pairs_per_shard=min(pairs_per_shard, count),
        left_out=dict(sorted(reasons.items())),
    )
    write_summed(folder / STATS, msgspec.to_builtins(stats), sync=False)
    return stats


def read_stats(folder: Path) -> Stats | None:
    """Return the counts of a set that clipbench wrote; None where nothing was left out.

    Raises:
        CorruptData: they are damaged.
    """
    try:
        stats = read_json(folder / STATS)
    except MissingData:
        return None
    if "pairs_per_shard" not in stats or not isinstance(stats.get("left_out"), dict):
        return None  # another program's
    claims.check(folder / STATS, "list of counts", claims.STATS, stats, "write the set again")
    return msgspec.convert(stats, Stats)


def lines(path: Path) -> Iterator[Skipped]:
    """Yield what a file says of every pair that was left out.

    Raises:
        MissingData: it can't be read.
        CorruptData: a line is damaged.
    """
    try:
        with opened_regular(path) as file:
            while line := file.readline(_LONGEST):
                try:
                    found = parsed(line)
                except ValueError as error:
                    raise CorruptData(f"{path} has a damaged line ({error}); {_REMEDY}.") from error
                claims.check(path, "list of pairs left out", claims.LEFT_OUT, found, _REMEDY)
                yield msgspec.convert(found, Skipped)
    except OSError as error:
        raise MissingData(f"{path} can't be read: {error.strerror}; {_REMEDY}.") from error


def first(folder: Path) -> Skipped:
    """Return the first pair that was left out of a set."""
    for found in lines(folder / NAME):
        return found
    raise CorruptData(f"{folder / NAME} is empty; {_REMEDY}.")


def summary(reasons: Mapping[str, int]) -> str:
    """Return the counts in words, e.g. ``3 left out (2 image truncated, 1 caption empty)``."""
    each = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
    return f"{sum(reasons.values()):,} left out ({each})"
