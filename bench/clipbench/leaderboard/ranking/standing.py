"""Defenses ranked by the attack that does best against them.

The mean over attacks would hide a hole that an attacker simply uses, so that the worst attack
comes first and the mean stands beside it. Only attacks that count are in either, see
`board.Attack`, and only a defense that was run under all of them has a rank: one that was tried on
fewer could look better for it.

The worst of several shares is taken to lie between the highest lower end and the highest upper end
of their intervals; of shares that are alike the highest lower end is too high more often than that
of a single one, see ``docs/statistics.md``. Two defenses whose intervals overlap are tied, which is
careful: shares may differ and their intervals overlap, see `clipbench.leaderboard.eligibility`. A
rank is therefore a range: one more than the defenses that are better by these intervals, to the
last place that is still possible. Those of one range stand in the order of their mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import mean

from clipbench.leaderboard.cells import ELIGIBLE, verdict
from clipbench.leaderboard.ranking.board import Attack, Board, is_baseline
from clipbench.leaderboard.record import Record


@dataclass(frozen=True)
class Standing:
    """How a defense did under the attacks that count.

    Args:
        defense: its label.
        name: its label without the parameters that all its rows share.
        trusted: pairs that it is given as clean.
        attacks: how many attacks that count it was run under.
        worst: the attack that succeeds most; None: it was run under none.
        success: of the worst attack, a fraction.
        low: lower end of the interval of the worst success.
        high: upper end of it.
        mean: success averaged over the attacks that count.
        top1: lowest and highest zero-shot accuracy on clean data over precisions, fractions.
        cost: lowest and highest training time on clean data, defense none = 1.
        ranks: best and last possible rank among the defenses of its kind; None: it has none.
    """

    defense: str
    name: str
    trusted: int
    attacks: int
    worst: Attack | None
    success: float
    low: float
    high: float
    mean: float
    top1: tuple[float, float] | None
    cost: tuple[float, float] | None
    ranks: tuple[int, int] | None = None


@dataclass(frozen=True)
class Ranking:
    """The defenses of a board.

    Args:
        trusting: those that are given pairs as clean, the best first.
        others: those that are given none, the best first.
        baselines: ``none`` and ``clip``, which have no rank.
    """

    trusting: tuple[Standing, ...]
    others: tuple[Standing, ...]
    baselines: tuple[Standing, ...]

    @property
    def all(self) -> tuple[Standing, ...]:
        """All of them, in the order in which they are shown."""
        return self.trusting + self.others + self.baselines


def ranking(board: Board) -> Ranking:
    """Return the defenses of a board, ranked by kind."""
    defenses = dict.fromkeys([*(name for name, _ in board.cells), *board.clean])
    found = [_standing(board, defense) for defense in defenses]
    compared = {name for name in defenses if all(is_baseline(row) for row in board.rows(name))}
    ranked = [one for one in found if one.defense not in compared]
    return Ranking(
        _ranked([one for one in ranked if one.trusted], len(board.counted)),
        _ranked([one for one in ranked if not one.trusted], len(board.counted)),
        tuple(one for one in found if one.defense in compared),
    )


def leaders(standings: Sequence[Standing]) -> list[Standing]:
    """Return the defenses of which each may be the best."""
    return [one for one in standings if one.ranks is not None and one.ranks[0] == 1]


def _standing(board: Board, defense: str) -> Standing:
    rows = {
        attack: board.cells[defense, attack.key]
        for attack in board.counted
        if (defense, attack.key) in board.cells
    }
    rows = {attack: row for attack, row in rows.items() if is_baseline(row) or _judges(row)}
    shares = {attack: row.success for attack, row in rows.items() if row.success is not None}
    worst = max(shares, key=lambda attack: shares[attack].value, default=None)
    clean = board.clean.get(defense, ())
    return Standing(
        defense=defense,
        name=board.names[defense],
        trusted=max(row.trusted_pairs or 0 for row in board.rows(defense)),
        attacks=len(rows),
        worst=worst,
        success=max((share.value for share in shares.values()), default=0.0),
        low=max((share.low for share in shares.values()), default=0.0),
        high=max((share.high for share in shares.values()), default=1.0),
        mean=mean(share.value for share in shares.values()) if shares else 0.0,
        top1=_span(row.top1.mean for row in clean),
        cost=_span(row.cost for row in clean),
    )


def _judges(row: Record) -> bool:
    return verdict(row) == ELIGIBLE


def _span(values: Iterable[float | None]) -> tuple[float, float] | None:
    known = [value for value in values if value is not None]
    return (min(known), max(known)) if known else None


def _ranked(standings: Sequence[Standing], attacks: int) -> tuple[Standing, ...]:
    """Return defenses of one kind in order, those that were run under every attack with ranks."""
    whole = [one for one in standings if one.attacks == attacks > 0]
    found = [
        replace(
            one,
            ranks=(
                1 + sum(other.high < one.low for other in whole),
                len(whole) - sum(other.low > one.high for other in whole),
            ),
        )
        if one in whole
        else one
        for one in standings
    ]
    return tuple(sorted(found, key=_place))


def _place(one: Standing) -> tuple[bool, tuple[int, int], float, float, str]:
    # Where intervals overlap, which worst case came out lower says little; the mean says more.
    return one.ranks is None, one.ranks or (0, 0), one.mean, one.success, one.defense
