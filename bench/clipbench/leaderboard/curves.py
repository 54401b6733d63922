"""Many runs as curves, seeds put together: histories by epoch, and rows by poison rate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from clipbench.evaluation.clustered import clustered_interval
from clipbench.evaluation.measured import Epoch
from clipbench.evaluation.statistics import Proportion, pool
from clipbench.leaderboard.record import Record
from clipbench.leaderboard.rows import Row, group, order
from clipbench.results.labels import Defaults, Labels
from clipbench.results.model import Result
from clipbench.results.store import newest

Value = TypeVar("Value")


@dataclass(frozen=True)
class Curve:
    """What one defense did, by epoch, over all its seeds.

    Args:
        defense: its label.
        seeds: number of runs.
        poisons_kept: poisons in the safe set over all poisons; empty where there is no safe set.
        safe_share: pairs in the safe set over all pairs.
        success: attack success, pooled.
        bounds: its 95% interval, see `clustered_interval`.
    """

    defense: str
    seeds: int
    poisons_kept: Mapping[int, float]
    safe_share: Mapping[int, float]
    success: Mapping[int, Proportion]
    bounds: Mapping[int, tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """The curves of one attack, rate, model and data."""

    attack: str
    rate: float
    count: int
    model: str
    data: str
    curves: tuple[Curve, ...]

    @property
    def span(self) -> tuple[float, float]:
        """First and last epoch, with room at both ends for markers."""
        epochs = [epoch for curve in self.curves for epoch in (*curve.success, *curve.poisons_kept)]
        room = max(0.5, 0.03 * (max(epochs) - min(epochs)))
        return min(epochs) - room, max(epochs) + room


@dataclass(frozen=True)
class RatePanel:
    """Rows of one attack, model and data, by defense, each in order of the poison rate."""

    attack: str
    model: str
    data: str
    by_defense: Mapping[str, Sequence[Record]]


def rate_panels(records: Iterable[Record]) -> list[RatePanel]:
    """Return the attacks whose success was measured at several rates under one defense at least.

    Args:
        records: rows of the leaderboard; the order of attacks and defenses is theirs.
    """
    found: dict[tuple[str, str, str], dict[str, list[Record]]] = {}
    for row in records:
        if row.success is not None and row.rate:
            context = (row.attack, row.model, row.data)
            found.setdefault(context, defaultdict(list))[row.defense].append(row)
    kept = {
        context: {
            defense: sorted(rows, key=lambda row: row.rate)
            for defense, rows in by_defense.items()
            if len({row.rate for row in rows}) > 1
        }
        for context, by_defense in found.items()
    }
    return [RatePanel(*context, by_defense) for context, by_defense in kept.items() if by_defense]


def panels(results: Iterable[Result], defaults: Defaults | None = None) -> list[Panel]:
    """Return the panels of the attacked runs that have a history, in the order of the leaderboard.

    Args:
        results: results in any order, with or without a history.
        defaults: see `tables.leaderboard`.
    """
    drawn = [result for result in newest(results) if result.history and result.attack.count]
    labels = Labels(drawn, defaults)
    found: dict[tuple[object, ...], list[tuple[Row, Curve]]] = {}
    for row in sorted(group(drawn, labels), key=order):
        curve = _curve(row)
        if curve.success or curve.poisons_kept:
            found.setdefault(row.context, []).append((row, curve))
    return [_panel(members, labels) for members in found.values()]


def _panel(members: list[tuple[Row, Curve]], labels: Labels) -> Panel:
    first = members[0][0].results[0]
    attack = first.attack
    return Panel(
        attack=labels.of("attack", first),
        rate=first.rate,
        count=attack.count,
        model=labels.of("model", first),
        data=labels.of("data", first),
        curves=tuple(curve for _, curve in members),
    )


def _curve(row: Row) -> Curve:
    kept = _by_epoch(row, lambda epoch: _part(epoch.poisons_in_safe_set, epoch.poisons_in_epoch))
    size = _by_epoch(row, lambda epoch: _part(epoch.safe_set_size, epoch.pairs))
    success = _by_epoch(row, lambda e: None if e.attack_success is None else e.attack_success.share)
    runs = len(row.results)
    return Curve(
        defense=row.defense_label,
        seeds=runs,
        poisons_kept={epoch: _share(parts) for epoch, parts in kept.items()},
        safe_share={epoch: _share(parts) for epoch, parts in size.items()},
        success={epoch: pool(shares) for epoch, shares in success.items()},
        bounds={epoch: clustered_interval(shares) for epoch, shares in success.items()},
    )


def _part(some: int | None, of_all: int | None) -> tuple[int, int] | None:
    """Return how many of how many: an epoch can be a part of a pass, and has part of the poison."""
    return None if some is None or not of_all else (some, of_all)


def _share(parts: Sequence[tuple[int, int]]) -> float:
    return sum(some for some, _ in parts) / sum(of_all for _, of_all in parts)


def _by_epoch(row: Row, of: Callable[[Epoch], Value | None]) -> dict[int, list[Value]]:
    """Return a value of all runs, for the epochs where every run has it: no run leaves a curve."""
    found: dict[int, list[Value]] = {}
    for result in row.results:
        for entry in result.history:
            if (value := of(entry)) is not None:
                found.setdefault(entry.epoch, []).append(value)
    return {epoch: found[epoch] for epoch in sorted(found) if len(found[epoch]) == len(row.results)}
