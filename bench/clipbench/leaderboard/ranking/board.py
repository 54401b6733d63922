"""The rows of the leaderboard as a board: one line per defense, one column per attack.

Rows of one model and data set make a board. Precisions are put together: each cell is judged by
runs of its own precision, so that the columns of a board may be of several.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from clipbench.leaderboard.cells import ELIGIBLE, UNDECIDED, UNKNOWN, verdict
from clipbench.leaderboard.record import Record
from clipbench.leaderboard.rows import FIRST
from clipbench.leaderboard.text_table import shorten
from clipbench.results.labels import rate_text

Key = tuple[str, str, float, int]  # model, attack, rate and count
_ORDER = (ELIGIBLE, UNDECIDED)  # of columns: those that defenses are judged by come first
_PRECISION = re.compile(r"(?:, )?\bprecision=(\w+)(?:, )?")


@dataclass(frozen=True)
class Attack:
    """A column of a board.

    Args:
        key: model, attack, rate and count, which a row is found by.
        label: of the attack, without the parameters that all rows of it share, and with its rate
            where it was run at several.
        rate: fraction of all pairs that are poisoned.
        precision: of the models, where a board has several; else empty.
        verdict: what most defenses' rows say of it, one of the words of `cells.verdict`.
        counts: whether defenses are ranked by it: they can be judged by it, and more than half of
            them were run.
    """

    key: Key
    label: str
    rate: float
    precision: str
    verdict: str
    counts: bool


@dataclass(frozen=True)
class Board:
    """The rows of one model and data set.

    Args:
        model: its label, without the precision.
        data: label of the data set.
        attacks: columns, those that count first.
        cells: attacked rows of the leaderboard by defense and `Attack.key`.
        clean: rows without an attack by defense, one for each precision.
        names: short label of each defense by its label.
    """

    model: str
    data: str
    attacks: tuple[Attack, ...]
    cells: Mapping[tuple[str, Key], Record]
    clean: Mapping[str, Sequence[Record]]
    names: Mapping[str, str]

    @property
    def counted(self) -> tuple[Attack, ...]:
        """The attacks that defenses are ranked by."""
        return tuple(attack for attack in self.attacks if attack.counts)

    def rows(self, defense: str) -> list[Record]:
        """Return the rows of a defense, attacked ones first."""
        attacked = [row for (name, _), row in self.cells.items() if name == defense]
        return [*attacked, *self.clean.get(defense, ())]


def is_baseline(row: Record) -> bool:
    """Return whether a row is of a defense that others are held against."""
    return row.defense_name in FIRST


def boards(records: Sequence[Record]) -> list[Board]:
    """Return the boards of a leaderboard, in the order of its rows.

    Args:
        records: rows of `tables.leaderboard`.
    """
    found: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for row in records:
        found[_PRECISION.sub("", row.model).replace(" ()", ""), row.data].append(row)
    return [_board(model, data, rows) for (model, data), rows in found.items()]


def _board(model: str, data: str, rows: Sequence[Record]) -> Board:
    cells = {(row.defense, _key(row)): row for row in rows if row.count and row.success is not None}
    clean: dict[str, list[Record]] = defaultdict(list)
    for row in rows:
        if not row.count:
            clean[row.defense].append(row)
    columns: dict[Key, list[Record]] = defaultdict(list)
    for (_, key), row in cells.items():
        columns[key].append(row)
    attacks = sorted(_attacks(columns, _short(rows, "attack")), key=_place)
    return Board(model, data, tuple(attacks), cells, clean, _short(rows, "defense"))


def _attacks(columns: Mapping[Key, Sequence[Record]], labels: Mapping[str, str]) -> list[Attack]:
    several = len({key[0] for key in columns}) > 1
    defenses = {row.defense for row in _judged(row for col in columns.values() for row in col)}
    found = []
    for key, rows in columns.items():
        judged = _judged(rows)
        told = Counter(map(verdict, judged)).most_common(1)[0][0]
        counts = told == ELIGIBLE and 2 * len({row.defense for row in judged}) > len(defenses)
        precision = _PRECISION.search(str(key[0])) if several else None
        shown = precision.group(1) if precision else ""
        rates = {other[2] for other in columns if other[1] == key[1]}
        label = labels[key[1]] if len(rates) == 1 else f"{labels[key[1]]} {rate_text(key[2])}"
        found.append(Attack(key, label, float(key[2]), shown, told, counts))
    return found


def _judged(rows: Iterable[Record]) -> list[Record]:
    """Return the rows of defenses; those of the baselines where there are no others."""
    rows = list(rows)
    return [row for row in rows if not is_baseline(row)] or rows


def _place(attack: Attack) -> tuple[bool, int]:
    place = _ORDER.index(attack.verdict) if attack.verdict in _ORDER else len(_ORDER)
    return not attack.counts, place + (attack.verdict == UNKNOWN)


def _key(row: Record) -> Key:
    return row.model, row.attack, row.rate, row.count


def _short(rows: Sequence[Record], kind: str) -> dict[str, str]:
    """Return labels without the parameters that all rows of a name share, by the whole labels."""
    labels = [str(getattr(row, kind)) for row in rows]
    short, _ = shorten([str(getattr(row, f"{kind}_name")) for row in rows], labels)
    return dict(zip(labels, short, strict=True))
