"""A sweep from its plan to its results."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from clipbench.configuration.config import RunConfig
from clipbench.configuration.heldout import HeldOut
from clipbench.configuration.identity import Identifier
from clipbench.errors import PluginFault
from clipbench.evaluation.plugins import lacks_control, missing
from clipbench.planning import plan as planning
from clipbench.planning import timing
from clipbench.planning.packages import warn_of_other_code
from clipbench.results.folders import folder_of, has_result
from clipbench.results.model import Result
from clipbench.results.names import RESULT
from clipbench.results.noted import note_results, written_at
from clipbench.results.result import config_hash, read_result
from clipbench.sweep.grid import Grid
from clipbench.sweep.placing import Placing
from clipbench.sweep.trying import sure_to_fail
from clipbench.sweep.workers import Event, do_groups
from clipbench.system.progress import Reporter, duration
from clipbench.text.words import counted

Executor = Callable[[Sequence[Sequence[RunConfig]], Callable[[Event], None]], None]


def result_there(config: RunConfig, out: Path) -> Result | None:
    """Return the result of a run; None if it lacks one, or metrics that are asked for."""
    folder = folder_of(config, out)
    if not has_result(folder):
        return None
    result, told = read_result(folder / RESULT), config.by_content()["metrics"]
    return None if missing(config.metrics, told, result.metric_plugins) else result


def identified(grid: Grid, reporter: Reporter, *, prepare: bool) -> Grid:
    """Return a grid whose runs are known by what their data hold, each once.

    Args:
        grid: the runs, as they were asked for.
        reporter: told about files that must be read for it.
        prepare: whether pairs that are not there yet are fetched or imported now. Otherwise runs on
            them stay known by what was asked for.
    """
    identifier = Identifier(grid.cache, reporter.progress, prepare=prepare)
    found: dict[str, RunConfig] = {}
    for config in grid.configs:
        known = identifier.identified(config) or config
        found.setdefault(known.sha256(), known)
    reporter.close()
    return replace(grid, configs=tuple(found.values()))


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep will do.

    Args:
        total: all runs.
        groups: the runs that are not done yet, by what they train on.
        seconds: how long these take one after the other; what they share is counted for each.
            None: not estimated.
        why: why the time is unknown though it was to be estimated.
        failing: those runs that a plugin is sure to fail, by id, and why; they are not begun.
    """

    total: int
    groups: tuple[tuple[RunConfig, ...], ...]
    seconds: float | None
    why: str = ""
    failing: Mapping[str, str] = field(default_factory=dict)

    @property
    def configs(self) -> dict[str, RunConfig]:
        """The runs that are not done yet, by id."""
        return {config.id: config for group in self.groups for config in group}

    @property
    def begun(self) -> list[list[RunConfig]]:
        """The groups without the runs that are sure to fail."""
        left = [[c for c in group if c.id not in self.failing] for group in self.groups]
        return [group for group in left if group]

    def lines(self, jobs: int) -> list[str]:
        """Return the plan for people, a fact a line.

        Args:
            jobs: runs that are done at once.
        """
        left = self.configs
        lines = [
            f"sweep: {counted(self.total, 'run')}, {self.total - len(left)} of them done already,"
            f" {len(left)} to do on {len(self.groups)} sets of pairs"
        ]
        for kind in ("attack", "defense"):
            counts: dict[str, int] = {}
            for config in left.values():
                name = getattr(config, f"{kind}_name")
                counts[name] = counts.get(name, 0) + 1
            if counts:
                each = ", ".join(f"{name} {count}" for name, count in counts.items())
                lines.append(f"  runs by {kind:8} {each}")
        for why, count in Counter(self.failing.values()).items():
            lines.append(f"  not begun        {counted(count, 'run')}, sure to fail: {why}")
        if self.seconds is not None and self.begun:
            several = f", {jobs} at once" if jobs > 1 else ""
            lines.append(
                f"  time             at most {duration(self.seconds / jobs)} on this"
                f" machine{several}; what runs share is made once, and spares some of that"
            )
        elif self.why:
            lines.append(f"  time             unknown: {self.why}")
        return lines


def plan_sweep(grid: Grid, reporter: Reporter, *, timed: bool = True) -> SweepPlan:
    """Return what is to do, with an estimate from a rehearsal of each defense.

    Plugins that are no part of clipbench are tried; those that are sure to fail fail their own
    runs, and no others.

    Args:
        grid: the runs.
        reporter: told about rehearsals.
        timed: whether to estimate the time.

    Raises:
        UnknownName, BadSetting, MissingData, CorruptData: what `clipbench.planning.plan.plan` and
            `Plan.check` refuse of a run.
    """
    done, left = list[tuple[RunConfig, Result]](), list[list[RunConfig]]()
    for group in grid.groups:
        left.append([])
        for config in group:
            if (result := result_there(config, grid.out)) is None:
                left[-1].append(config)
            else:
                done.append((config, result))
    warn_of_other_code(done, reporter)
    groups = tuple(tuple(group) for group in left if group)
    plan = SweepPlan(len(grid.configs), groups, None)
    failing = sure_to_fail(plan.configs.values(), grid.cache, grid.out, reporter)
    plan = replace(plan, failing=failing)
    try:
        planned = _planned(itertools.chain.from_iterable(plan.begun), grid)
    except PluginFault as fault:  # it fails its own runs, and no others
        return replace(plan, why=str(fault))
    if not timed or not all(each.parts.num_pairs for each, _ in planned):  # or counted later
        return plan
    seconds = 0.0
    for number, (each, count) in enumerate(planned):
        reporter.progress("timing this machine (kinds of runs)", number, len(planned))
        found = timing.timed("", partial(each.estimate, grid.cache))
        if found.time is None:
            reporter.close()
            return replace(plan, why=found.why)
        seconds += count * found.time.total
    reporter.close()
    return replace(plan, seconds=seconds)


def _planned(configs: Iterable[RunConfig], grid: Grid) -> list[tuple[planning.Plan, int]]:
    """Return a plan for each kind of run that takes equally long, and how many there are of it.

    An attack is refused, before any run, that lacks something in the held-out data.

    Raises:
        UnknownName, BadSetting, MissingData, CorruptData: saying what, and of which data.
    """
    plans: dict[str, planning.Plan] = {}
    counts: Counter[str] = Counter()
    attacks: set[str] = set()
    opened: dict[HeldOut, HeldOut] = {}
    for config in configs:
        content = config.to_json()
        # Which attack and seed it is decides little of the time.
        kind, attack = (
            config_hash({key: content[key] for key in keys})
            for keys in (("data", "evals", "defense", "train"), ("data", "evals", "attack"))
        )
        counts[kind] += 1
        is_new = not config.is_clean and attack not in attacks
        if kind in plans and not is_new:
            continue
        each = planning.plan(config, grid.out, cache=grid.cache)
        held_out = opened.setdefault(each.parts.held_out, each.parts.held_out)  # is read once
        each = replace(each, parts=replace(each.parts, held_out=held_out))
        plans.setdefault(kind, each)
        if is_new:
            attacks.add(attack)
            each.check()
    return [(each, counts[kind]) for kind, each in plans.items()]


def local_executor(grid: Grid, place: Placing) -> Executor:
    """Return what does groups of runs in processes of this machine.

    Args:
        grid: says where results and shards go.
        place: how many processes there are, and what each computes with.
    """

    def do(groups: Sequence[Sequence[RunConfig]], tell: Callable[[Event], None]) -> None:
        do_groups(groups, cache=grid.cache, out=grid.out, place=place, tell=tell)

    return do


def sweep(
    grid: Grid, plan: SweepPlan, executor: Executor, tell: Callable[[Event], None]
) -> list[Result]:
    """Do what a plan says and return all results that are there then, in the grid's order.

    Args:
        grid: the runs.
        plan: those of them that are to be done.
        executor: does them.
        tell: told what happens.
    """
    places = {config.id: folder_of(config, grid.out) / RESULT for config in grid.configs}
    before = {run: written_at(path) for run, path in places.items()}
    for run, why in plan.failing.items():
        tell(Event("failed", run, why))
    executor(plan.begun, tell)
    # A control that was done after the run it judges, by another process.
    late = [config for config in grid.configs if _wants_control(config, grid.out)]
    if late:
        executor([late], lambda event: tell(event) if event.kind == "failed" else None)
    results = list(results_of(grid.configs, grid.out))
    note_results(one for one in results if written_at(places[one.id]) != before[one.id])
    return results


def _wants_control(config: RunConfig, out: Path) -> bool:
    """Return whether a run is done, its clean control too, and its result lacks that."""
    if config.is_clean or not (folder_of(config.without_attack(), out) / RESULT).is_file():
        return False
    path = folder_of(config, out) / RESULT
    return path.is_file() and lacks_control(read_result(path).metrics)


def results_of(configs: Iterable[RunConfig], out: Path) -> Iterable[Result]:
    """Yield the results of those runs that have one."""
    for config in configs:
        path = folder_of(config, out) / RESULT
        if path.is_file():
            yield read_result(path)
