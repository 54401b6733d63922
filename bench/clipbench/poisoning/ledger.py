"""Which pairs are poisoned, and how: written for the evaluator, kept apart from the shards.

``ledger.json`` holds what the set was made from, ``ledger.parquet`` one row per poisoned pair. The
JSON holds the hash of the rows, so that its own hash stands for both. Results name a ledger by that
hash, so it stands beside the file, in ``ledger.sha256``, as ``sha256sum --check`` takes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from clipbench.contracts import Image, Mode
from clipbench.errors import CorruptData, MissingData
from clipbench.files.foreign import TooLarge, read_regular
from clipbench.files.json_files import json_text, read_json
from clipbench.files.typed import Object, table
from clipbench.poisoning import ledger_rows
from clipbench.poisoning.ledger_rows import LedgerRow
from clipbench.rng import generator
from clipbench.shards import claims
from clipbench.system.durable import atomic_file

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Ledger",
    "LedgerHead",
    "LedgerRow",
    "ledger_path",
    "read_head",
    "read_ledger",
    "trigger_sha256",
    "write_ledger",
]
FORMAT = "clipbench-ledger"
VERSION = 2
JSON_NAME = "ledger.json"
ROWS_NAME = "ledger.parquet"
SUM_NAME = "ledger.sha256"
_MOST_BYTES = 1 << 30  # of the rows: of millions of poisons


@dataclass(frozen=True)
class Identity:
    """What decides a poisoned set: two sets of the same identity are the same.

    Args:
        attack: name of the attack.
        parameters: its parameters.
        dataset: the training source, with what lies there in the place of every location.
        evals: the evaluation sources, likewise.
        seed: the run's seed.
        count: number of poisoned pairs.
        mode: whether poisons replace clean pairs or are inserted.
        base: hash of the clean set.
        code: SHA-256 of each plugin that is a file of its own, by kind.
        packages: SHA-256 of each package, other than clipbench's, that a plugin is of, by name.
    """

    attack: str
    parameters: Object
    dataset: Object
    evals: Sequence[Object]
    seed: int
    count: int
    mode: Mode
    base: str
    code: Mapping[str, str]
    packages: Mapping[str, str]


@dataclass(frozen=True)
class BaseShard:
    """A shard of the clean set: the name of its file, and its hash."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Base:
    """The clean set that was poisoned.

    Args:
        name: its name.
        source: what it was made from.
        content_sha256: its hash.
        num_pairs: its pairs; None: a ledger of an earlier clipbench does not say.
        shards: its shards, in order.
    """

    name: str
    source: Object
    content_sha256: str
    num_pairs: int | None
    shards: tuple[BaseShard, ...]


@dataclass(frozen=True)
class LedgerHead:
    """What a poisoned set was made from; the content of ``ledger.json``.

    Args:
        base: the clean set.
        content_sha256: content hash of the poisoned set.
        attack: name of the attack.
        parameters: its parameters.
        dataset: the training source, with what lies there in the place of every location.
        evals: the evaluation sources, likewise; empty: what the training source holds out.
        seed: the run's seed.
        rate: count / num_pairs.
        count: number of poisoned pairs.
        num_pairs: pairs of the poisoned set.
        targets: over how many targets the poisons are spread.
        per_target: poisons of every target.
        mode: whether poisons replaced clean pairs or were inserted.
        trigger_sha256: hash of the trigger's effect on fixed probe images; None without trigger.
        trigger_probe: height and width of those images; None without trigger.
        moved: key before and key after of clean pairs that made room for an inserted one.
        versions: programs that made it.
        left_out: pairs of the base that could not be used, by reason; none of the counts has them.
        crafted: parameters that the attack learned from the base, beside those it was given.
        code: SHA-256 of each plugin that is a file of its own, by kind.
        packages: SHA-256 of each package, other than clipbench's, that a plugin is of, by name;
            empty: there is none, or the ledger is older than this field.
    """

    base: Base
    content_sha256: str
    attack: str
    parameters: Mapping[str, object]
    dataset: Mapping[str, object]
    evals: Sequence[Mapping[str, object]]
    seed: int
    rate: float
    count: int
    num_pairs: int
    targets: int
    per_target: Sequence[int]
    mode: Mode
    trigger_sha256: str | None
    trigger_probe: Sequence[int] | None
    moved: Sequence[Sequence[str]]
    versions: Mapping[str, str | None]
    left_out: Mapping[str, int] = field(default_factory=dict)
    crafted: Mapping[str, object] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Ledger(LedgerHead):
    """A ledger that was read and found whole.

    Args:
        path: its ``ledger.json``.
        sha256: hash of that file, which stands for the rows as well.
        rows: a frame with the fields of `LedgerRow`, in order of index.
    """

    path: Path
    sha256: str
    rows: pd.DataFrame


def trigger_sha256(trigger: Callable[[Image], Image], shape: tuple[int, int]) -> str:
    """Return the hash of what a trigger makes of fixed probe images of one shape.

    The probes are black, gray, white and two of noise.
    """
    height, width = shape
    digest = hashlib.sha256(f"{height}x{width}".encode())
    noise = generator(0, "trigger-probe").integers(0, 256, (2, height, width, 3)).astype("uint8")
    flat = [noise[0] * 0 + value for value in (0, 128, 255)]
    for probe in (*flat, *noise):
        digest.update(trigger(probe).tobytes())
    return digest.hexdigest()


def write_ledger(folder: Path, head: LedgerHead, rows: Sequence[LedgerRow]) -> Path:
    """Write both files of a ledger into `folder` and return the path of ``ledger.json``.

    The folder is one that is to be published, see `clipbench.system.durable`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = ledger_rows.written(sorted(rows, key=lambda row: row.index))
    with atomic_file(folder / ROWS_NAME, len(content), sync=False) as file:
        file.write(content)
    rows_sha256 = hashlib.sha256(content).hexdigest()
    content_of_head = asdict(head)
    for name in ("left_out", "crafted", "code", "packages"):
        if not content_of_head[name]:
            del content_of_head[name]
    if head.base.num_pairs is None:
        del content_of_head["base"]["num_pairs"]
    head_json = {"format": FORMAT, "version": VERSION, **content_of_head}
    head_json["rows_sha256"] = rows_sha256
    text = json_text(head_json)
    with atomic_file(folder / SUM_NAME, sync=False) as file:
        file.write(f"{hashlib.sha256(text).hexdigest()}  {JSON_NAME}\n".encode())
    with atomic_file(folder / JSON_NAME, sync=False) as file:
        file.write(text)
    return folder / JSON_NAME


def ledger_path(path: Path) -> Path:
    """Return the ``ledger.json`` of a ledger file, a ledger folder or a poisoned set's folder."""
    for candidate in (path / JSON_NAME, path / "ledger" / JSON_NAME):
        if candidate.is_file():
            return candidate
    if path.is_dir():
        raise MissingData(f"Folder {path} holds no {JSON_NAME}; give the poisoned set's ledger.")
    return path


def read_head(path: Path) -> tuple[LedgerHead, str]:
    """Return what ``ledger.json`` says, and the hash it gives for the rows.

    Raises:
        MissingData: it is not there.
        CorruptData: it is damaged or of another version.
    """
    value = read_json(path)
    _refuse_changed(path)
    if value.pop("format", None) != FORMAT or value.pop("version", None) != VERSION:
        raise CorruptData(f"{path} is no ledger of version {VERSION}; poison the set again.")
    claims.check(path, "whole ledger", claims.LEDGER, value, "poison the set again")
    rows_sha256 = str(value.pop("rows_sha256"))
    value["base"] = {"num_pairs": None, **table(value["base"])}
    return msgspec.convert(value, LedgerHead), rows_sha256


def _refuse_changed(path: Path) -> None:
    """Refuse a ledger that is not the one that was written; one without its hash is taken so.

    Raises:
        CorruptData: it is not.
    """
    beside = path.with_name(SUM_NAME)
    try:
        told = read_regular(beside).split()
        found = hashlib.sha256(read_regular(path)).hexdigest().encode()
    except FileNotFoundError:  # of an earlier clipbench, or handed on without it
        return
    except TooLarge as error:
        raise CorruptData(f"{beside} is no hash of a ledger: {error}.") from error
    except OSError as error:
        raise MissingData(f"{beside} can't be read: {error.strerror}.") from error
    if path.name == JSON_NAME and told[:1] != [found]:
        raise CorruptData(
            f"{path} is not the one that {SUM_NAME} beside it was written for; poison the set again"
            f" (or, if the change was meant, remove {SUM_NAME})."
        )


def read_ledger(path: Path) -> Ledger:
    """Read a ledger and check that it is whole.

    Args:
        path: ``ledger.json``, its folder, or the folder of the poisoned set.

    Raises:
        MissingData: one of its files is not there.
        CorruptData: rows and JSON do not belong together, or contradict themselves.
    """
    path = ledger_path(path)
    head, rows_sha256 = read_head(path)
    rows_path = path.with_name(ROWS_NAME)
    try:
        content = read_regular(rows_path, _MOST_BYTES)
    except OSError as error:
        raise MissingData(f"{rows_path} can't be read: {error.strerror}.") from error
    except TooLarge as error:
        raise CorruptData(f"{rows_path} is no ledger: {error}.") from error
    if hashlib.sha256(content).hexdigest() != rows_sha256:
        raise CorruptData(f"{rows_path} is not the one {path} was written with; poison again.")
    try:
        rows = ledger_rows.read(content, head.count)
    except ValueError as error:
        raise CorruptData(f"{rows_path} is no ledger: {error}; poison the set again.") from error
    problem = _contradiction(head, rows)
    if problem:
        raise CorruptData(f"{path} contradicts itself: {problem}; poison the set again.")
    sha256 = hashlib.sha256(read_regular(path)).hexdigest()
    return Ledger(**vars(head), path=path, sha256=sha256, rows=rows)


def _contradiction(head: LedgerHead, rows: pd.DataFrame) -> str:
    """Return what is wrong with a ledger; an empty text if nothing is."""
    known = rows["target"].between(0, head.targets - 1).all()
    counts: Mapping[object, int] = rows["target"].value_counts().to_dict() if known else {}
    inside = rows["index"].between(0, head.num_pairs - 1)
    twice = rows["index"].duplicated().any() or rows.duplicated(["shard", "key"]).any()
    as_said = known and all(
        counts.get(target, 0) == said for target, said in enumerate(head.per_target)
    )
    checks = {
        f"it counts {head.count} poisons and has {len(rows)} rows": len(rows) == head.count,
        "its rows do not spread over the targets as it says": bool(as_said),
        "it names a pair that the set does not have": bool(inside.all()),
        "it names a clean pair that no set has": bool((rows["base_index"] >= -1).all()),
        "it names a pair twice": not twice,
        f"it gives a rate of {head.rate} for {head.count} poisons of {head.num_pairs} pairs": (
            head.num_pairs > 0 and head.rate == head.count / head.num_pairs
        ),
    }
    return next((problem for problem, holds in checks.items() if not holds), "")
