"""What came of the runs of a baseline, held against its bands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from clipbench.check.bands import COST, Band, shown, undefended
from clipbench.configuration.config import RunConfig
from clipbench.leaderboard.rows import relative_cost
from clipbench.results.model import Result
from clipbench.sweep.grid import Grid
from clipbench.sweep.status import label
from clipbench.text.visible import visible

Results = Mapping[str, Result]  # by the id of the run


@dataclass(frozen=True)
class Finding:
    """One band held against one of its runs, or a run that failed and has no band.

    Args:
        config: the run.
        cell: what the run is called.
        band: the band; None: the run has none, and failed.
        found: the value; None: there is none.
        counts: successes and trials, where the value is a share of counted trials.
        problem: why there is no value.
    """

    config: RunConfig
    cell: str
    band: Band | None
    found: float | None = None
    counts: tuple[int, int] | None = None
    problem: str = ""

    @property
    def passed(self) -> bool:
        """Whether there is a value and it lies in its band."""
        return self.band is not None and self.found is not None and self.band.holds(self.found)

    @property
    def metric(self) -> str:
        """What was measured."""
        return "the run" if self.band is None else self.band.metric

    @property
    def value(self) -> str:
        """What was found, for people."""
        if self.found is None:
            return self.problem
        counts = f" ({self.counts[0]}/{self.counts[1]})" if self.counts else ""
        return f"{shown(self.metric, self.found)}{counts}"

    @property
    def message(self) -> str:
        """The cell, the metric, what was found and what the band asks for, in a line."""
        if self.band is None:
            return f"{self.cell}: {self.problem}"
        head = f"{self.cell}: {self.metric}"
        if self.found is None:
            return f"{head} has no value, for {self.problem}; it must be {self.band}"
        return f"{head} is {self.value}, {'' if self.passed else 'but must be '}{self.band}"

    def to_json(self) -> dict[str, object]:
        """Return the finding as plain JSON."""
        config, band = self.config, self.band
        return {
            "run": config.id,
            "attack": config.attack_name,
            "rate": None if config.rate is None else float(config.rate),
            "poisons": config.poisons,
            "defense": config.defense_name,
            "seed": config.seed,
            "poison_seed": config.seed_of_poison,
            "metric": None if band is None else band.metric,
            "found": self.found,
            "k": self.counts[0] if self.counts else None,
            "n": self.counts[1] if self.counts else None,
            "at_least": None if band is None else band.at_least,
            "at_most": None if band is None else band.at_most,
            "passed": self.passed,
            "message": self.message,
        }


def judge(
    grid: Grid, bands: Sequence[Band], results: Results, failed: Mapping[str, str]
) -> list[Finding]:
    """Return every band held against every run that it selects, in the order of the file.

    Args:
        grid: the runs.
        bands: the bands.
        results: the results that there are.
        failed: why a run failed, by its id; one that no band selects is a finding of its own.
    """
    names = cell_names(grid.configs)
    found = [
        _hold(band, config, names[config.id], grid.configs, results, failed)
        for band in bands
        for config in grid.configs
        if band.selects(config)
    ]
    told = {finding.config.id for finding in found}
    alone = [config for config in grid.configs if config.id in failed and config.id not in told]
    return found + [
        Finding(config, names[config.id], None, problem=f"the run failed: {failed[config.id]}")
        for config in alone
    ]


def cell_names(configs: Iterable[RunConfig]) -> dict[str, str]:
    """Return what each run is called, by id; runs that would be called alike show their id."""
    names = {config.id: visible(label(config)) for config in configs}
    several = list(names.values())
    return {
        run: f"{name} ({run})" if several.count(name) > 1 else name for run, name in names.items()
    }


def _hold(
    band: Band,
    config: RunConfig,
    cell: str,
    configs: Sequence[RunConfig],
    results: Results,
    failed: Mapping[str, str],
) -> Finding:
    """Hold a band against one run."""
    result = results.get(config.id)
    if config.id in failed or result is None:
        reason = failed.get(config.id, "it left no result")
        return Finding(config, cell, band, problem=f"the run failed: {reason}")
    if band.metric == COST:
        references = [results[c.id] for c in undefended(config, configs) if c.id in results]
        value, problem = cost_of(result, references)
        return Finding(config, cell, band, value, problem=problem)
    metric = result.metrics.get(band.metric)
    if metric is None:
        have = ", ".join(sorted(result.metrics))
        return Finding(config, cell, band, problem=f"the result has only {have}")
    counts = None if metric.share is None else (metric.share.k, metric.share.n)
    return Finding(config, cell, band, metric.value, counts)


def cost_of(result: Result, references: Sequence[Result]) -> tuple[float | None, str]:
    """Return training seconds relative to undefended runs, or None and why there is none."""
    if not result.train or not any(other.train for other in references):
        return None, "no training without a defense to compare with"
    cost, _ = relative_cost([result], references)
    if cost is None:
        return (
            None,
            "the undefended run was trained on another machine, in another precision, or untimed",
        )
    return cost, ""
