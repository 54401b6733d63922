"""Numbers that papers report: kept and shown apart from what was measured here.

They were got on other data, models and probes, and nobody here can run them again. So they have a
schema of their own, which no table of results and no pooled number reads.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct, structs

from clipbench.errors import BadInput, BadSetting, CorruptData, MissingData
from clipbench.evaluation.measured import PROPORTIONS
from clipbench.evaluation.statistics import Proportion
from clipbench.files.checks import Objection
from clipbench.files.foreign import read_regular
from clipbench.files.typed import Count, Number, Share, Text, read_as
from clipbench.parameters.rate import Rate
from clipbench.results.files import write_atomic
from clipbench.results.labels import rate_text
from clipbench.results.result import parse_json
from clipbench.results.store import Skipped, files_of
from clipbench.text.visible import visible

SCHEMA = "clipbench.reported/1"
TITLE = "Reported elsewhere, not measured here:"
IDENTITY = ("attack", "rate", "defense", "metric", "model", "data", "paper", "table")
COLUMNS = (*IDENTITY, "value", "k", "n")  # of a CSV file; rate, model, data, k and n may be empty
_PREFIX = "reported-"  # of the names of files
_NEEDED = ("attack", "defense", "metric", "paper", "table")


class Reported(Struct, frozen=True, kw_only=True):
    """A number that a paper reports.

    Args:
        schema: of this object.
        attack: under which it was measured.
        rate: share of all pairs that were poisoned; null: the paper does not say.
        defense: that was in place.
        metric: what was measured.
        model: that was trained.
        data: that it was trained on.
        paper: where the number stands.
        table: where in the paper.
        value: the number; of a share, in [0, 1].
        k: successes, where the paper says them.
        n: trials, likewise.
    """

    schema: Literal["clipbench.reported/1"]
    attack: Text
    rate: Share | None
    defense: Text
    metric: Text
    model: Text | None
    data: Text | None
    paper: Text
    table: Text
    value: Number
    k: Count | None
    n: Count | None

    def __post_init__(self) -> None:
        if self.k is not None or self.n is not None:
            own = Proportion(self.k or 0, self.n or 0).value
            if abs(own - self.value) > 1e-9:
                raise Objection("value", "must be k/n", self.value)

    @property
    def identity(self) -> tuple[str | float | None, ...]:
        """What tells it from other numbers, in the order of `IDENTITY`."""
        return tuple(getattr(self, name) for name in IDENTITY)


def read_csv(path: Path) -> list[Reported]:
    """Return the rows of a CSV file of reported numbers.

    Each row has a value, as a fraction or percentage where the metric is a share, or k and n.

    Args:
        path: a UTF-8 file whose first line names columns of `COLUMNS`.

    Raises:
        MissingData: there is no such file.
        CorruptData: naming the line and what is wrong with it.
    """
    try:
        reader = csv.DictReader(io.StringIO(read_regular(path).decode("utf-8-sig")), strict=True)
        lines = [(reader.line_num, line) for line in reader]
    except FileNotFoundError as error:
        raise MissingData(f"There is no file {path}; check the path.") from error
    except OSError as error:
        raise MissingData(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, csv.Error) as error:
        raise CorruptData(f"{path} cannot be read as CSV ({error}).") from error
    names = reader.fieldnames or []
    wrong = [name for name in names if name not in COLUMNS]
    missing = [name for name in _NEEDED if name not in names]
    if wrong or missing or not lines:
        raise CorruptData(
            f"{path} must be rows below a line of columns {', '.join(COLUMNS)};"
            f" unknown: {', '.join(wrong)[:100] or 'none'},"
            f" missing: {', '.join(missing) or 'none'}."
        )
    return [_row(line, f"line {number} of {path}") for number, line in lines]


def _row(line: Mapping[str | None, str | None], where: str) -> Reported:
    if None in line:
        raise CorruptData(f"{where} has more cells than there are columns.")
    cells = {str(name): (text or "").strip() or None for name, text in line.items()}
    told = {"schema": SCHEMA, **{name: cells.get(name) for name in IDENTITY}}
    rate = cells.get("rate")
    try:
        share = None if rate is None else float(Rate.of(rate))
        return read_as(Reported, {**told, "rate": share, **_number(cells, told["metric"] or "")})
    except (BadSetting, Objection) as error:
        raise CorruptData(f"{where}: {error}") from error


def _number(cells: Mapping[str, str | None], metric: str) -> dict[str, float | None]:
    """Return value, k and n of a row; of a share in [0, 1]."""
    value, k, n = (cells.get(name) for name in ("value", "k", "n"))
    if (k is None) != (n is None) or (value is None) == (k is None):
        raise BadSetting("give either a value, or k and n")
    try:
        if k is not None and n is not None:
            share = Proportion(int(k), int(n))
            return {"value": share.value, "k": share.k, "n": share.n}
        text = str(value)
        number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except BadInput:
        raise
    except ValueError as error:
        raise BadSetting(f"value, k and n must be numbers, but are {value}, {k}, {n}") from error
    if metric in PROPORTIONS and not 0 <= number <= 1:
        raise BadSetting(
            f"{metric} must lie from 0 to 1, but is {value}; write {value}% for per cent"
        )
    return {"value": number, "k": None, "n": None}


def prepare_reported(rows: Iterable[Reported], folder: Path) -> dict[Path, tuple[Reported, bool]]:
    """Return where each row belongs, ``reported-HASH.json``, and whether it is new there.

    Raises:
        CorruptData: there is another number of the same table of the same paper.
    """
    found: dict[Path, Reported] = {}
    new = set()
    for row in rows:
        identity = json.dumps(row.identity)
        name = f"{_PREFIX}{hashlib.sha256(identity.encode()).hexdigest()[:16]}.json"
        path = folder / name
        before = found.get(path) or (_checked(path) if path.exists() else None)
        if before is None:
            new.add(path)
        elif before != row:
            raise CorruptData(
                f"{path} has {before.value:g} where {row.paper}, {row.table} shall report"
                f" {row.value:g}; nothing is replaced. Remove the wrong one."
            )
        found[path] = row
    return {path: (row, path in new) for path, row in found.items()}


def write_reported(rows: Iterable[Reported], folder: Path) -> list[tuple[Path, bool]]:
    """Write each row that is new, after looking at all of them.

    Returns:
        The path of each row, and whether it is new.

    Raises:
        CorruptData: see `prepare_reported`; none is written.
        ClipbenchError: the file system refuses.
    """
    prepared = prepare_reported(rows, folder)
    for path, (row, is_new) in prepared.items():
        if is_new:
            text = json.dumps(structs.asdict(row), sort_keys=True, indent=2, allow_nan=False)
            write_atomic(path, f"{text}\n".encode())
    return [(path, is_new) for path, (_, is_new) in prepared.items()]


def load_reported(paths: Sequence[Path], *, skip_damaged: Skipped) -> list[Reported]:
    """Return the reported rows of folders, in the order of attack, rate, defense and source.

    They are found at any depth, where results are looked for; a row that is there twice counts
    once.

    Args:
        paths: files and folders; files are of results, and left alone.
        skip_damaged: told of each file that is damaged or a link to nothing, and is left out.
    """
    rows = []
    for path in paths:
        for file in files_of(path) if path.is_dir() else ():
            if not file.name.startswith(_PREFIX):
                continue
            try:
                rows.append(_checked(file))
            except (CorruptData, MissingData) as error:
                skip_damaged(error)
    return together(rows)


def together(*several: Iterable[Reported]) -> list[Reported]:
    """Return rows in the order of `load_reported`, each once."""
    rows = dict.fromkeys(row for rows in several for row in rows)
    return sorted(rows, key=lambda row: [str(part) for part in row.identity])


def cells(rows: Iterable[Reported]) -> list[list[str]]:
    """Return the header and a line of texts for each row, safe to print."""
    header = ["attack", "rate", "defense", "metric", "reported", "model", "data", "source"]
    return [header, *(_texts(row) for row in rows)]


def _texts(row: Reported) -> list[str]:
    value = f"{100 * row.value:.4g}%" if row.metric in PROPORTIONS else f"{row.value:.4g}"
    counts = "" if row.k is None else f"{row.k}/{row.n} "
    texts = [
        row.attack,
        "—" if row.rate is None else rate_text(row.rate),
        row.defense,
        row.metric,
        f"{counts}{value}",
        row.model or "—",
        row.data or "—",
        f"{row.paper}, {row.table}",
    ]
    return [visible(text) for text in texts]


def _checked(path: Path) -> Reported:
    try:
        return read_as(Reported, parse_json(path))
    except (BadSetting, Objection) as error:
        raise CorruptData(f"{path} is no reported number: {error}; remove it.") from error
