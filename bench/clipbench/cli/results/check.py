"""``clipbench check``: a small grid of runs, held against the bands of a baseline."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clipbench.api.work import reporter_for, warn_of_secrets
from clipbench.cli import _options as options
from clipbench.cli import _requests as requests
from clipbench.cli._custody import logged
from clipbench.cli._output import columns, print_json, print_place, print_result
from clipbench.errors import BadSetting, ClipbenchError
from clipbench.files.bundled import BASELINE, configuration
from clipbench.system.durable import scratch_folder
from clipbench.text.words import counted

if TYPE_CHECKING:
    from clipbench.check.bands import Band
    from clipbench.check.verdict import Finding, Results
    from clipbench.sweep.grid import Grid

_FRESH = "a new folder, deleted at the end"


@click.command("check", cls=options.Command)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@options.option(
    "--write",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    envvar=None,
    show_default="nothing",
    help="Instead of checking, write a new baseline with bands around the measured numbers.",
)
@options.option(
    "--junit",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    envvar=None,
    show_default="nothing",
    help="Also write a JUnit report for CI services.",
)
@options.jobs_option
@options.threads_option
@options.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    show_default=_FRESH,
    help="Folder of runs. Finished runs in it are skipped.",
)
@options.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    show_default=_FRESH,
    help="Folder of shards and of what training runs share.",
)
@options.allow_option
@options.json_option
@options.quiet_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    file: Path | None,
    write: Path | None,
    junit: Path | None,
    jobs: int | None,
    allowed: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    **_: object,
) -> None:
    """Run a baseline; fail if a number leaves its band.

    FILE is a grid as for `clipbench sweep`, with bands for attack success, accuracy, cost or any
    other metric. The default is the baseline that comes with clipbench, which takes minutes. Exits
    with status 1 if a number is outside its band.
    """
    from clipbench.check.bands import read_baseline  # noqa: PLC0415
    from clipbench.check.margins import check_free  # noqa: PLC0415

    requests.refuse_unused("no --write, which checks nothing", "junit", "as_json", unless=not write)
    with ExitStack() as stack:
        requests.allow_commands(allowed)
        above, environment = requests.given(ctx, ("out", "cache", "threads"))
        fresh = stack.enter_context(scratch_folder("check"))
        below = {"out": str(fresh / "runs"), "cache": str(fresh / "cache"), **environment}
        source = BASELINE if file is None else configuration(file)
        grid, bands = read_baseline(source, above, below, allowed)
        if write is not None:
            check_free(write)
        elif not bands:
            raise BadSetting(f"{source} has no bands; --write makes a baseline of it.")
        with logged("check", None, baseline=source.name):
            grid, results, failed = _measured(grid, jobs, quiet)
        if write is not None:
            _write(write, source, grid, results, failed, allowed)
        else:
            _report(source, grid, bands, results, failed, junit=junit, as_json=as_json)


def _measured(grid: Grid, jobs: int | None, quiet: bool) -> tuple[Grid, Results, dict[str, str]]:
    """Do the runs; return them as their data make them known, results, and why runs failed."""
    from clipbench.sweep.placing import placing  # noqa: PLC0415
    from clipbench.sweep.status import Status  # noqa: PLC0415
    from clipbench.sweep.sweep import (  # noqa: PLC0415 - heavy
        identified,
        local_executor,
        plan_sweep,
        sweep,
    )

    with reporter_for(quiet) as reporter:
        warn_of_secrets(grid.configs, reporter)
        grid = identified(grid, reporter, prepare=True)
    place = placing(jobs, grid.threads, [config.train.device for config in grid.configs])
    executor = local_executor(grid, place)
    with reporter_for(quiet) as reporter:
        plan = plan_sweep(grid, reporter, timed=False)
        for line in plan.lines(place.jobs):
            reporter.note(line)
        if len(plan.configs) < plan.total:
            reporter.warning(
                f"{plan.total - len(plan.configs)} of {counted(plan.total, 'run')} are done in"
                f" {grid.out} already; they say nothing of what was changed since"
            )
    status = Status({c.id: c for c in grid.configs}, len(plan.configs), quiet=quiet)
    try:
        results = sweep(grid, plan, executor, status.tell)
    finally:
        status.close()
    return grid, {result.id: result for result in results}, status.failed


def _write(
    path: Path,
    source: Path,
    grid: Grid,
    results: Results,
    failed: dict[str, str],
    allowed: tuple[str, ...],
) -> None:
    """Write a baseline, if all runs were done."""
    from clipbench.check.margins import write_baseline  # noqa: PLC0415
    from clipbench.sweep.status import label  # noqa: PLC0415

    left = [config for config in grid.configs if config.id in failed or config.id not in results]
    if left:
        reasons = "; ".join(f"{label(c)}: {failed.get(c.id, 'no result')}" for c in left)
        raise ClipbenchError(f"No baseline is written, for {len(left)} runs failed: {reasons}")
    print_place(write_baseline(path, source, grid, results, allowed))


def _report(
    source: Path,
    grid: Grid,
    bands: Sequence[Band],
    results: Results,
    failed: dict[str, str],
    *,
    junit: Path | None,
    as_json: bool,
) -> None:
    """Tell what was found, in every form that was asked for, and fail if a band was left."""
    from clipbench.check.junit import case_of, write_junit  # noqa: PLC0415
    from clipbench.check.verdict import judge  # noqa: PLC0415

    findings = judge(grid, bands, results, failed)
    missed = [finding for finding in findings if not finding.passed]
    if junit is not None:
        write_junit(junit, f"clipbench check {source.name}", map(case_of, findings))
    if as_json:
        checks = [finding.to_json() for finding in findings]
        print_json({"passed": not missed, "checks": checks})
    else:
        print_result(columns(_row(finding) for finding in findings))
    if missed:
        told = "; ".join(finding.message for finding in missed)
        raise ClipbenchError(f"{len(missed)} of {len(findings)} checks failed: {told}.")


def _row(finding: Finding) -> tuple[str, ...]:
    state = "ok" if finding.passed else "FAILED"
    return state, finding.cell, finding.metric, finding.value, str(finding.band or "done")
