"""The head of the page: what was found, attacks by defenses, the ranking, and one chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clipbench.leaderboard.cells import MISSING
from clipbench.leaderboard.charts.bars import bar
from clipbench.leaderboard.charts.by_attack import Looks
from clipbench.leaderboard.charts.security import security
from clipbench.leaderboard.charts.svg import drawn
from clipbench.leaderboard.matrix import LEAST_CONTROL
from clipbench.leaderboard.page.heat import Heat, heat
from clipbench.leaderboard.ranking.board import Board, boards
from clipbench.leaderboard.ranking.findings import findings, interval, percent
from clipbench.leaderboard.ranking.markdown import HEAD, cells, kinds, note, place
from clipbench.leaderboard.ranking.standing import Ranking, Standing, ranking
from clipbench.leaderboard.record import Record
from clipbench.text.markup import Markup
from clipbench.text.templates import render


@dataclass(frozen=True)
class _Rank:
    """A line of the ranking."""

    rank: str
    name: str
    success: str
    interval: str
    attack: str
    bar: Markup | None
    others: Sequence[str]


@dataclass(frozen=True)
class _Part:
    """What is said of one board."""

    model: str
    data: str
    suffix: str
    where: str
    findings: Sequence[str]
    heat: Heat
    ranks: Sequence[tuple[str, Sequence[_Rank]]]
    note: str
    chart: Markup | None


def found(
    records: Sequence[Record], anchors: Mapping[str, str], looks: Looks, eligible_at: float
) -> Markup | None:
    """Return the section; None where no two rows can be held against each other.

    Args:
        records: rows of the leaderboard.
        anchors: id of the details of a row, see `heat.anchor_key`.
        looks: how each defense is drawn, by its short label.
        eligible_at: smallest undefended attack success of an eligible row, a fraction.
    """
    shown = [board for board in boards(records) if len(board.cells) > 1]
    if not shown:
        return None
    several = len(shown) > 1
    parts = [
        _part(board, f"-{number}" if several else "", anchors, looks, eligible_at)
        for number, board in enumerate(shown)
    ]
    control = f"{100 * LEAST_CONTROL:g}"
    return render(
        __package__, "found.html", boards=parts, head=HEAD, missing=MISSING, control=control
    )


def _part(
    board: Board, suffix: str, anchors: Mapping[str, str], looks: Looks, eligible_at: float
) -> _Part:
    ranked = ranking(board)
    chart = security(f"security-chart{suffix}", ranked, looks)
    return _Part(
        model=board.model,
        data=board.data,
        suffix=suffix,
        where=f", {board.model} on {board.data}" if suffix else "",
        findings=findings(board, ranked),
        heat=heat(board, ranked, anchors),
        ranks=_ranks(board, ranked) if ranked.trusting or ranked.others else (),
        note=note(board, eligible_at),
        chart=None if chart is None else drawn(chart),
    )


def _ranks(board: Board, ranked: Ranking) -> list[tuple[str, list[_Rank]]]:
    attacks = len(board.counted)
    return [
        (title, [_rank(one, attacks) for one in standings]) for title, standings in kinds(ranked)
    ]


def _rank(one: Standing, attacks: int) -> _Rank:
    name, _, *others = cells(one, attacks)
    return _Rank(
        rank=place(one),
        name=name,
        success=percent(one.success),
        interval=interval(one),
        attack="" if one.worst is None else one.worst.label,
        bar=None if one.worst is None else bar(one.success, one.low, one.high),
        others=others,
    )
