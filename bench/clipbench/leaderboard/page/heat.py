"""Attacks beside defenses as a table whose cells are colored by attack success.

Color only repeats what stands in a cell; attacks that do not succeed by themselves have none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from clipbench.leaderboard.cells import ELIGIBLE, FULL, MISSING, verdict
from clipbench.leaderboard.matrix import FEW, LEAST_CONTROL
from clipbench.leaderboard.ranking.board import Attack, Board
from clipbench.leaderboard.ranking.markdown import kinds, place
from clipbench.leaderboard.ranking.standing import Ranking, Standing
from clipbench.leaderboard.record import Pooled, Record
from clipbench.results.labels import rate_text

_SHADES = 10  # classes of the style sheet
_PRECISE = 10  # percent, below which an interval is shown to a tenth
_RANKED, _OTHERS = "Defenses are ranked by these attacks", "Defenses are not ranked by these"


@dataclass(frozen=True)
class Cell:
    """An attack under a defense.

    Args:
        success: as counts where probes are few, else in percent.
        interval: of 95%, in percent.
        control: success on the same probes after training on clean data; empty: next to none.
        verdict: why no defense is judged by it; empty: it is eligible.
        about: which cell it is.
        told: all of it in words.
        anchor: id of the details of its row.
        shade: 0 to 9 by success; None: the attack does not succeed by itself.
        worst: whether no attack does better against the defense.
    """

    success: str
    interval: str
    control: str
    verdict: str
    about: str
    told: str
    anchor: str
    shade: int | None
    worst: bool


@dataclass(frozen=True)
class Line:
    """A defense: its rank, and a cell for each attack, None where it was not run."""

    name: str
    label: str
    rank: str
    cells: Sequence[Cell | None]


@dataclass(frozen=True)
class Heat:
    """The table.

    Args:
        spans: headings over neighboring columns, and over how many.
        columns: attack, and rate with precision, of each column.
        groups: headings over neighboring lines, and these.
    """

    spans: Sequence[tuple[str, int]]
    columns: Sequence[tuple[str, str]]
    groups: Sequence[tuple[str, Sequence[Line]]]


def heat(board: Board, ranked: Ranking, anchors: Mapping[str, str]) -> Heat:
    """Return the table of a board, defenses in the order of their ranks.

    Args:
        board: rows of one model and data set.
        ranked: its defenses.
        anchors: id of the details of a row, by its ``runs`` and attack.
    """
    spans = [
        (_RANKED if counts else _OTHERS, len([*some]))
        for counts, some in groupby(attack.counts for attack in board.attacks)
    ]
    groups = [
        (title, [_line(board, one, anchors) for one in standings])
        for title, standings in kinds(ranked)
    ]
    return Heat(spans, [_column(attack) for attack in board.attacks], groups)


def anchor_key(row: Record) -> str:
    """Return what finds the details of a row: its runs, which rows of several triggers share."""
    return f"{row.runs} {row.attack}"


def _column(attack: Attack) -> tuple[str, str]:
    rate = rate_text(attack.rate)
    name = attack.label.removesuffix(f" {rate}")
    return name, " ".join(part for part in (rate, attack.precision) if part)


def _line(board: Board, one: Standing, anchors: Mapping[str, str]) -> Line:
    found: list[Cell | None] = []
    for attack in board.attacks:
        row = board.cells.get((one.defense, attack.key))
        found.append(None if row is None else _cell(row, anchors, attack, attack == one.worst))
    return Line(one.name, one.defense, place(one), found)


def _cell(row: Record, anchors: Mapping[str, str], attack: Attack, worst: bool) -> Cell:
    success, control = row.success, row.control
    assert success is not None, "a cell is of a measured success"
    low, high = 100 * success.low, 100 * success.high
    over = "" if control is None or control.value < LEAST_CONTROL else _share(control)
    word, digits = verdict(row), 1 if high < _PRECISE else 0
    about = f"{row.defense} under {FULL['attack'](row)} {FULL['rate (count)'](row)}"
    parts = [
        f"{about}: {success.k}/{success.n} {100 * success.value:.1f}% [{low:.1f}, {high:.1f}]",
        f"clean control {MISSING if control is None else _share(control)}",
        f"{row.seeds} seed{'s' if row.seeds > 1 else ''}",
        "the worst attack for it" if worst else "",
        str(row.eligible).replace("yes", ELIGIBLE),
    ]
    shade = min(_SHADES - 1, int(_SHADES * success.value))
    return Cell(
        success=_share(success),
        interval=f"{low:.{digits}f}–{high:.{digits}f}",
        control=over,
        verdict="" if word == ELIGIBLE else word,
        about=about,
        told=", ".join(part for part in parts if part),
        anchor=anchors[anchor_key(row)],
        shade=shade if attack.verdict == ELIGIBLE else None,
        worst=worst,
    )


def _share(share: Pooled) -> str:
    return f"{share.k}/{share.n}" if share.n < FEW else f"{100 * share.value:.1f}%"
