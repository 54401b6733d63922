"""The table of the page: a row a combination, numbers with their drawing, all of it sortable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from clipbench.leaderboard.cells import (
    ELIGIBLE,
    FULL,
    INELIGIBLE,
    MISSING,
    UNATTACKED,
    UNDECIDED,
    UNKNOWN,
    named,
    verdict,
)
from clipbench.leaderboard.charts.bars import bar
from clipbench.leaderboard.record import Measured, Record
from clipbench.text.markup import Markup
from clipbench.text.words import counted

Value = float | str | None
_NOTHING = ((MISSING, ""),)


Parts = tuple[tuple[str, str], ...]  # texts, each with its style: "", "name", "strong" or a class


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Args:
        title: of its header.
        cell: what a row shows; `MISSING` where it was not measured.
        drawing: what is drawn beside it, if anything is.
        sort: what the column is sorted by; None sorts last.
        numeric: whether that is a number.
        kind: class of the style sheet.
    """

    title: str
    cell: Callable[[Record], Parts]
    sort: Callable[[Record], Value]
    numeric: bool = True
    kind: str = "number"
    drawing: Callable[[Record], Markup | None] = lambda _: None

    def of(self, row: Record) -> Cell:
        """Return the cell of a row."""
        value = self.sort(row)
        key = None if value is None else value if isinstance(value, str) else repr(float(value))
        return Cell(self.cell(row), self.kind, key, self.drawing(row))


@dataclass(frozen=True)
class Cell:
    """A cell of the table.

    Args:
        parts: what it shows.
        kind: class of the style sheet.
        sort: what its column is sorted by; None sorts last.
        bar: a drawing beside it; None: there is none.
    """

    parts: Parts
    kind: str
    sort: str | None
    bar: Markup | None


@dataclass(frozen=True)
class Line:
    """A row of the table.

    Args:
        anchor: id of its details.
        about: what it is of, for whom the link is read out to.
        first: its header.
        others: its other cells.
        attack: what it is filtered by.
        defense: likewise.
        data: likewise.
        verdict: likewise.
    """

    anchor: str
    about: str
    first: Cell
    others: Sequence[Cell]
    attack: str
    defense: str
    data: str
    verdict: str

    @property
    def dimmed(self) -> bool:
        """Whether no defense may be judged of it."""
        return self.verdict in (INELIGIBLE, UNDECIDED, UNKNOWN)


@dataclass(frozen=True)
class Body:
    """Rows that are folded together, of one attack and rate."""

    name: str
    told: str
    rows: Sequence[Line]


@dataclass(frozen=True)
class Table:
    """The table."""

    columns: Sequence[Column]
    bodies: Sequence[Body]


def table(records: Sequence[Record], anchors: Sequence[str]) -> Table:
    """Return the table of the leaderboard.

    Args:
        records: rows of the leaderboard, in its order.
        anchors: id of each row's details.
    """
    columns = _columns(records)
    told = zip(records, anchors, strict=True)
    groups = [[*some] for _, some in groupby(told, key=lambda pair: _group(pair[0]))]
    return Table(columns, [_body(members, columns) for members in groups])


def _group(row: Record) -> tuple[str, str]:
    """Return what rows that are folded together share."""
    return FULL["attack"](row), FULL["rate (count)"](row)


def _body(members: Sequence[tuple[Record, str]], columns: Sequence[Column]) -> Body:
    """Return the rows of an attack, and what the line says that they are folded behind."""
    rows = [row for row, _ in members]
    attack, rate = _group(rows[0])
    name = attack if rate == MISSING else f"{attack} {rate}"
    shares = [row.success.value for row in rows if row.success is not None]
    told = counted(len(rows), "row")
    if shares:
        told += f", success {100 * min(shares):.1f} to {100 * max(shares):.1f}%"
    return Body(name, told, [_line(row, columns, anchor) for row, anchor in members])


def _line(row: Record, columns: Sequence[Column], anchor: str) -> Line:
    first, *others = [column.of(row) for column in columns]
    return Line(
        anchor=anchor,
        about=", ".join((FULL["attack"](row), FULL["rate (count)"](row), row.defense)),
        first=first,
        others=others,
        attack=row.attack_name,
        defense=row.defense_name,
        data=row.data,
        verdict=verdict(row),
    )


def _columns(records: Sequence[Record]) -> list[Column]:
    """Return the columns; those that say the same of every row, or nothing, are left out."""
    apart = [name for name in ("model", "data") if len({getattr(row, name) for row in records}) > 1]
    columns = [
        _named("attack"),
        _plain("rate (count)", lambda row: row.rate or None),
        _named("defense"),
        *map(_named, apart),
        _plain("seeds", lambda row: row.seeds),
        Column(
            "attack success",
            _share("attack_success"),
            _value("attack_success"),
            kind="success",
            drawing=_bar,
        ),
        Column("clean control", _share("attack_success_control"), _value("attack_success_control")),
        _mean("zero-shot top-1 %", "zeroshot_top1"),
        _mean("R@1 image to text %", "image_to_text_r1"),
        _mean("R@1 text to image %", "text_to_image_r1"),
        Column("poison kept", _share("poison_kept"), _value("poison_kept")),
        _mean("score AUROC", "score_auroc", 1, 3),
        _plain("cost", lambda row: row.cost),
        Column("eligible", _eligible, verdict, numeric=False, kind="verdict"),
    ]
    optional = ("R@1 image to text %", "R@1 text to image %", "poison kept", "score AUROC")
    return [
        column
        for column in columns
        if column.title not in optional or any(column.sort(row) is not None for row in records)
    ]


def _plain(name: str, sort: Callable[[Record], Value]) -> Column:
    """Return a column as every table has it."""
    shown = FULL[name]
    return Column(name, lambda row: ((shown(row), ""),), sort)


def _named(name: str) -> Column:
    shown = FULL.get(name, named(name))
    return Column(
        name,
        lambda row: ((shown(row), "name"),),
        lambda row: str(getattr(row, name)),
        numeric=False,
        kind="text",
    )


def _mean(title: str, name: str, scale: float = 100, digits: int = 1) -> Column:
    """Return the column of a mean over seeds, its standard deviation in small letters."""

    def cell(row: Record) -> Parts:
        metric = row.metric(name)
        if metric.mean is None:
            return _NOTHING
        around = () if metric.sd is None else ((f"±{scale * metric.sd:.{digits}f}", "bounds"),)
        return (f"{scale * metric.mean:.{digits}f} ", ""), *around, *_partial(row, metric)

    return Column(title, cell, lambda row: row.metric(name).mean)


def _value(name: str) -> Callable[[Record], Value]:
    """Return what gives a share of a row."""
    return lambda row: row.metric(name).value


def _bar(row: Record) -> Markup | None:
    share = row.success
    return None if share is None else bar(share.value, share.low, share.high)


def _share(name: str) -> Callable[[Record], Parts]:
    """Return the cell of a share: per cent, then k/n with the interval in small letters."""

    def cell(row: Record) -> Parts:
        metric = row.metric(name)
        if (share := metric.pooled) is None:
            return _NOTHING
        return (
            (f"{100 * share.value:.1f}%", "strong"),
            (f" {share.k}/{share.n}", "counts"),
            (f" [{100 * share.low:.1f}, {100 * share.high:.1f}]", "bounds"),
            *_partial(row, metric),
        )

    return cell


def _partial(row: Record, metric: Measured) -> Parts:
    """Return on how many seeds a cell rests, if not on all."""
    told = f" ({metric.seeds}/{row.seeds} seeds)"
    return () if metric.seeds == row.seeds else ((told, "bounds"),)


def _eligible(row: Record) -> Parts:
    word = verdict(row)
    if word == UNATTACKED:
        return _NOTHING
    if word == ELIGIBLE:
        return (("yes", ""),)
    reason = str(row.eligible).partition("(")[2].removesuffix(")")
    return (word, "strong"), (f" {reason}", "bounds")


def choices(records: Iterable[Record], column: str) -> list[str]:
    """Return what a column holds, each once and sorted."""
    return sorted({str(getattr(row, column)) for row in records})
