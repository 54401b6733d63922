"""The bands of a baseline: which number of which runs must lie where.

```yaml
bands:
  - {attack: badnets, defense: none, metric: attack_success, at_least: 80%}
  - {attack: badnets, defense: safeclip, metric: attack_success, at_most: 10%}
  - {defense: safeclip, metric: cost, at_most: 5}
```

What selects runs are the names that `exclude` of a grid has; a band without any is of all runs.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, DecimalException
from pathlib import Path

from clipbench.configuration.config import RunConfig
from clipbench.configuration.request import KEYS, check_names, read_yaml
from clipbench.errors import BadSetting, UnknownName
from clipbench.evaluation.measured import PROPORTIONS, SCALARS
from clipbench.sweep.grid import GRID_KEYS, SELECTORS, Grid, matches, read_grid, tables, trained_on

COST = "cost"  # training seconds over those of the undefended run of the same grid
BANDS = "bands"
FIELDS = (*SELECTORS, "metric", "at_least", "at_most")
_FREE = frozenset({COST, "attack_margin"})  # of the known metrics, those that are no share
_OTHERS = (
    "clean_kept",
    "poison_prevalence",
    "attack_success_top5_control",
    "attack_success_top10",
)
KNOWN = (*PROPORTIONS, *SCALARS, *_OTHERS, COST)
_OF_POISON = ("attack_", "poison", "score_", "clean_kept")  # beginnings of what clean runs lack


@dataclass(frozen=True)
class Band:
    """Where a metric of some runs must lie.

    Args:
        cells: what selects the runs, by the names of `SELECTORS`; each value may be a list.
        metric: name of a metric of results, or ``cost``.
        at_least: its smallest value, a fraction where it is a share; None: none.
        at_most: its largest value.
    """

    metric: str
    at_least: float | None
    at_most: float | None
    cells: Mapping[str, object] = field(default_factory=dict)

    def holds(self, value: float) -> bool:
        """Return whether a value lies in the band; its ends do."""
        low = -math.inf if self.at_least is None else self.at_least
        high = math.inf if self.at_most is None else self.at_most
        return low <= value <= high

    def selects(self, config: RunConfig) -> bool:
        """Return whether the band is of a run; what measures poison is of attacked runs alone."""
        if config.is_clean and _measures_poison(self.metric):
            return False
        return matches(config, self.cells)

    def __str__(self) -> str:
        ends = [("at least", self.at_least), ("at most", self.at_most)]
        return ", ".join(f"{name} {shown(self.metric, v)}" for name, v in ends if v is not None)


def is_share(metric: str) -> bool:
    """Return whether a metric is known to lie in [0, 1]."""
    return metric in KNOWN and metric not in _FREE


def shown(metric: str, value: float) -> str:
    """Return a value of a metric as people read it: ``97.9%``, ``2.15×``, ``0.31``."""
    if metric == COST:
        return f"{value:.2f}×"
    if is_share(metric) and not metric.startswith("score_"):
        return f"{100 * value:.4g}%"
    return f"{value:.4g}"


def read_baseline(
    path: Path,
    above: Mapping[str, object] | None = None,
    below: Mapping[str, object] | None = None,
    allowed: Collection[str] = (),
) -> tuple[Grid, tuple[Band, ...]]:
    """Return the runs that a baseline file asks for, and its bands.

    Args:
        path: a grid with ``bands``.
        above: see `clipbench.sweep.grid.read_grid`.
        below: likewise.
        allowed: likewise.

    Raises:
        MissingData: there is no such file.
        BadSetting, UnknownName: it is no baseline, or a band is of no run.
    """
    grid = read_grid(path, above, below, others=(BANDS,), allowed=allowed)
    content = read_yaml(path, (*KEYS, *GRID_KEYS, BANDS), allowed)
    entries = tables(content.get(BANDS, []), f"{BANDS} in {path}", FIELDS)
    bands = tuple(_band(entry, f"{BANDS}[{n}] in {path}") for n, entry in enumerate(entries, 1))
    for number, band in enumerate(bands, 1):
        check_names(band.cells, allowed, f" of {BANDS}[{number}] in {path}")
        _check_cells(band, grid.configs, f"{BANDS}[{number}] in {path}")
    return grid, bands


def undefended(config: RunConfig, configs: Iterable[RunConfig]) -> list[RunConfig]:
    """Return the runs without a defense on the pairs of a run, those of its settings if any."""
    found = [
        other
        for other in configs
        if other.defense_name == "none" and trained_on(other) == trained_on(config)
    ]
    return [other for other in found if other.explicit == config.explicit] or found


def _band(entry: Mapping[str, object], where: str) -> Band:
    metric = entry.get("metric")
    if not isinstance(metric, str) or not metric:
        raise BadSetting(f"{where} needs a metric, e.g. `metric: attack_success`.")
    low, high = (_bound(entry.get(name), metric, f"{name} of {where}") for name in FIELDS[-2:])
    if low is None and high is None:
        raise BadSetting(f"{where} needs at_least or at_most, e.g. `at_most: 10%`.")
    if low is not None and high is not None and low > high:
        raise BadSetting(f"{where} is empty: at_least {low:g} is more than at_most {high:g}.")
    if is_share(metric) and not (low or 0) > 0 and (1 if high is None else high) >= 1:
        raise BadSetting(f"{where} rules nothing out: every share lies from 0 to 1.")
    return Band(metric, low, high, {key: entry[key] for key in SELECTORS if key in entry})


def _bound(value: object, metric: str, where: str) -> float | None:
    """Return a bound: a number, or a percentage as text."""
    if value is None:
        return None
    text = str(value).strip()
    percent = text.endswith("%")
    try:  # in decimals, for in binary 99.9 / 100 is more than 999 / 1000
        exact = Decimal("nan" if isinstance(value, bool) else text.removesuffix("%").strip())
        number = float(exact / 100 if percent else exact)
    except (DecimalException, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise BadSetting(f"{where} must be a number such as 0.5 or 50%. Got {value!r}.")
    if is_share(metric) and not 0 <= number <= 1:
        hint = "" if percent else f" Write {text}% for a percentage."
        raise BadSetting(f"{where} must lie from 0 to 1, or 0% to 100%. Got {value!r}.{hint}")
    return number


def _check_cells(band: Band, configs: Sequence[RunConfig], where: str) -> None:
    """Refuse a band that would check nothing, or something that no run measures."""
    chosen = [config for config in configs if band.selects(config)]
    if not chosen:
        what = ", ".join(f"{key} {value}" for key, value in band.cells.items()) or "any"
        kind = " attacked" if _measures_poison(band.metric) else ""
        raise BadSetting(
            f"{where} is of no{kind} run of the grid ({what}); it would check nothing."
        )
    if band.metric not in KNOWN and not any(config.metrics for config in chosen):
        raise UnknownName(f"metric of {where}", band.metric, KNOWN)
    if band.metric == COST and not all(undefended(config, configs) for config in chosen):
        raise BadSetting(
            f"{where} is of a cost, and the grid has no run with defense none on the same pairs;"
            " add it, for a cost is relative to that."
        )


def _measures_poison(metric: str) -> bool:
    return metric.startswith(_OF_POISON)
