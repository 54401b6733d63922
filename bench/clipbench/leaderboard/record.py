"""One row of the leaderboard as an object; the frame of `tables.leaderboard` says the same.

What was not measured is None. Fractions are in [0, 1].
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Pooled:
    """A share over all trials of all seeds, with its 95% interval.

    Args:
        value: k/n.
        k: successes.
        n: trials.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    value: float
    k: int
    n: int
    low: float
    high: float


@dataclass(frozen=True)
class Measured:
    """A metric over the seeds of a row.

    Args:
        seeds: how many of them have it.
        mean: over these.
        sd: their sample standard deviation; None at one seed.
        pooled: all their trials; None where it is no share of counted trials.
    """

    seeds: int = 0
    mean: float | None = None
    sd: float | None = None
    pooled: Pooled | None = None

    @property
    def value(self) -> float | None:
        """The pooled share, else the mean."""
        return self.mean if self.pooled is None else self.pooled.value


NOTHING = Measured()


@dataclass(frozen=True, kw_only=True)
class Record:
    """One row: what was run, whether its attack counts, and what was measured.

    See `clipbench.leaderboard.tables.leaderboard` for the meaning of each field.
    """

    attack: str
    rate: float
    count: int
    targets: int | None
    defense: str
    model: str
    data: str
    pairs: int
    seeds: int
    eligible: str | None
    undefended: float | None
    judged_by: str | None
    eligible_none: str | None
    eligible_clip: str | None
    other_machine: str | None
    exposures_mean: float | None
    exposures_seeds: int
    seconds: float | None
    seconds_seeds: int
    cost: float | None
    epochs: float | None
    passes: float | None
    trusted_pairs: int | None
    peak_memory_bytes: int | None
    attack_name: str
    defense_name: str
    attack_parameters: str
    defense_parameters: str
    data_parameters: str
    judge_runs: str | None
    cost_runs: str | None
    runs: str
    metrics: Mapping[str, Measured]

    def metric(self, column: str) -> Measured:
        """Return a metric by its column; one that no seed has, where there is no such column."""
        return self.metrics.get(column, NOTHING)

    @property
    def success(self) -> Pooled | None:
        """Attack success."""
        return self.metric("attack_success").pooled

    @property
    def control(self) -> Pooled | None:
        """Attack success on the same probes after training on clean data."""
        return self.metric("attack_success_control").pooled

    @property
    def top1(self) -> Measured:
        """Zero-shot accuracy."""
        return self.metric("zeroshot_top1")


def elsewhere(rows: Collection[Record]) -> str:
    """Say how many attacked rows rest on another kind of machine; empty: none does."""
    attacked = [row for row in rows if row.count]
    marked = sum(row.other_machine is not None for row in attacked)
    if not marked:
        return ""
    return (
        f" Of {len(attacked):,} rows here, {marked:,} have a control or a verdict from another kind"
        " of machine, which may round otherwise (other machine, in the table of all rows)."
    )


_PLAIN = tuple(item.name for item in fields(Record) if item.name != "metrics")


def records_of(frame: pd.DataFrame) -> list[Record]:
    """Return the rows of a leaderboard.

    Args:
        frame: as `tables.leaderboard` returns it.
    """
    names = [
        column.removesuffix("_sd")
        for column in frame.columns
        if column.endswith("_sd") and f"{column.removesuffix('_sd')}_seeds" in frame.columns
    ]
    rows = (dict(zip(frame.columns, cells, strict=True)) for cells in frame.to_numpy().tolist())
    return [
        Record(
            **{name: row[name] for name in _PLAIN},
            metrics={name: _measured(row, name) for name in names if row[f"{name}_seeds"]},
        )
        for row in rows
    ]


def _measured(row: Mapping[str, Any], name: str) -> Measured:
    pooled = None
    if row.get(f"{name}_k") is not None:
        pooled = Pooled(*(row[f"{name}{end}"] for end in ("", "_k", "_n", "_low", "_high")))
    return Measured(row[f"{name}_seeds"], row[f"{name}_mean"], row[f"{name}_sd"], pooled)
