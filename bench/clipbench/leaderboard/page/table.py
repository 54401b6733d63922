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
    Cell,
    named,
    verdict,
)
from clipbench.leaderboard.page.bars import bar
from clipbench.leaderboard.record import Measured, Record
from clipbench.text.markup import Content, Markup, breakable, join, lines, tag
from clipbench.text.words import counted

Value = float | str | None


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Args:
        title: of its header.
        cell: what a row shows; `MISSING` where it was not measured.
        sort: what the column is sorted by; None sorts last.
        numeric: whether that is a number.
        kind: class of the style sheet.
    """

    title: str
    cell: Callable[[Record], Content]
    sort: Callable[[Record], Value]
    numeric: bool = True
    kind: str = "number"


def table(records: Sequence[Record], anchors: Sequence[str]) -> Markup:
    """Return the table of the leaderboard.

    Args:
        records: rows of the leaderboard, in its order.
        anchors: id of each row's details.
    """
    columns = _columns(records)
    head = (
        tag("th", column.title, scope="col", class_=column.kind, data_numeric=column.numeric)
        for column in columns
    )
    bodies = []
    told = zip(records, anchors, strict=True)
    for _, some in groupby(told, key=lambda pair: _group(pair[0])):
        members = [*some]
        heading = _heading([row for row, _ in members], len(columns))
        rows = (_row(row, columns, anchor) for row, anchor in members)
        bodies.append(tag("tbody", lines([heading, *rows])))
    return tag(
        "table",
        tag("caption", "Attacks and defenses, seeds put together", class_="unseen"),
        tag("thead", tag("tr", *head)),
        lines(bodies),
        id="board",
    )


def _group(row: Record) -> tuple[str, str]:
    """Return what rows that are folded together share."""
    return FULL["attack"](row), FULL["rate (count)"](row)


def _heading(rows: Sequence[Record], columns: int) -> Markup:
    """Return the line that the rows of an attack are folded behind."""
    attack, rate = _group(rows[0])
    name = attack if rate == MISSING else f"{attack} {rate}"
    shares = [row.success.value for row in rows if row.success is not None]
    told = counted(len(rows), "row")
    if shares:
        told += f", success {100 * min(shares):.1f} to {100 * max(shares):.1f}%"
    content = tag("span", breakable(name), tag("span", f" {told}", class_="bounds"))
    return tag("tr", tag("th", content, scope="rowgroup", colspan=columns), class_="kind")


def _row(row: Record, columns: Sequence[Column], anchor: str) -> Markup:
    first, *others = columns
    about = ", ".join((FULL["attack"](row), FULL["rate (count)"](row), row.defense))
    link = tag("a", first.cell(row), href=f"#{anchor}", aria_label=f"{about}: details")
    cells = [tag("th", link, scope="row", data_sort=str(first.sort(row)), class_=first.kind)]
    cells += [_cell(row, column) for column in others]
    dimmed = verdict(row) in (INELIGIBLE, UNDECIDED, UNKNOWN)
    return tag(
        "tr",
        *cells,
        class_="dimmed" if dimmed else None,
        data_attack=row.attack_name,
        data_defense=row.defense_name,
        data_data=row.data,
        data_verdict=verdict(row),
    )


def _cell(row: Record, column: Column) -> Markup:
    value = column.sort(row)
    key = None if value is None else value if isinstance(value, str) else repr(float(value))
    return tag("td", column.cell(row), class_=column.kind, data_sort=key)


def _columns(records: Sequence[Record]) -> list[Column]:
    """Return the columns; those that say the same of every row, or nothing, are left out."""
    apart = [name for name in ("model", "data") if len({getattr(row, name) for row in records}) > 1]
    columns = [
        _named("attack"),
        Column("rate (count)", FULL["rate (count)"], lambda row: row.rate or None),
        _named("defense"),
        *map(_named, apart),
        Column("seeds", FULL["seeds"], lambda row: row.seeds),
        Column("attack success", _success, _value("attack_success"), kind="success"),
        Column("clean control", _share("attack_success_control"), _value("attack_success_control")),
        _mean("zero-shot top-1 %", "zeroshot_top1"),
        _mean("R@1 image to text %", "image_to_text_r1"),
        _mean("R@1 text to image %", "text_to_image_r1"),
        Column("poison kept", _share("poison_kept"), _value("poison_kept")),
        _mean("score AUROC", "score_auroc", 1, 3),
        Column("cost", FULL["cost"], lambda row: row.cost),
        Column("eligible", _eligible, verdict, numeric=False, kind="verdict"),
    ]
    optional = ("R@1 image to text %", "R@1 text to image %", "poison kept", "score AUROC")
    return [
        column
        for column in columns
        if column.title not in optional or any(column.sort(row) is not None for row in records)
    ]


def _named(name: str) -> Column:
    shown: Cell = FULL.get(name, named(name))
    return Column(
        name,
        lambda row: breakable(shown(row)),
        lambda row: str(getattr(row, name)),
        numeric=False,
        kind="text",
    )


def _mean(title: str, name: str, scale: float = 100, digits: int = 1) -> Column:
    """Return the column of a mean over seeds, its standard deviation in small letters."""

    def cell(row: Record) -> Content:
        metric = row.metric(name)
        if metric.mean is None:
            return MISSING
        around = None if metric.sd is None else f"±{scale * metric.sd:.{digits}f}"
        spread = None if around is None else tag("span", around, class_="bounds")
        return join([f"{scale * metric.mean:.{digits}f} ", spread, _partial(row, metric)])

    return Column(title, cell, lambda row: row.metric(name).mean)


def _value(name: str) -> Callable[[Record], Value]:
    """Return what gives a share of a row."""
    return lambda row: row.metric(name).value


def _success(row: Record) -> Content:
    numbers = _share("attack_success")(row)
    if (share := row.success) is None:
        return numbers
    drawn = bar(share.value, share.low, share.high)
    return tag("div", tag("div", numbers), drawn, class_="beside")


def _share(name: str) -> Callable[[Record], Content]:
    """Return the cell of a share: per cent, then k/n with the interval in small letters."""

    def cell(row: Record) -> Content:
        metric = row.metric(name)
        if (share := metric.pooled) is None:
            return MISSING
        low, high = 100 * share.low, 100 * share.high
        return join(
            [
                tag("strong", f"{100 * share.value:.1f}%"),
                tag("span", f" {share.k}/{share.n}", class_="counts"),
                tag("span", f" [{low:.1f}, {high:.1f}]", class_="bounds"),
                _partial(row, metric),
            ]
        )

    return cell


def _partial(row: Record, metric: Measured) -> Content:
    """Return on how many seeds a cell rests, if not on all."""
    if metric.seeds == row.seeds:
        return None
    return tag("span", f" ({metric.seeds}/{row.seeds} seeds)", class_="bounds")


def _eligible(row: Record) -> Content:
    word = verdict(row)
    if word == UNATTACKED:
        return MISSING
    if word == ELIGIBLE:
        return "yes"
    reason = str(row.eligible).partition("(")[2].removesuffix(")")
    return join([tag("strong", word), tag("span", f" {reason}", class_="bounds")])


def choices(records: Iterable[Record], column: str) -> list[str]:
    """Return what a column holds, each once and sorted."""
    return sorted({str(getattr(row, column)) for row in records})
