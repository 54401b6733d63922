"""``clipbench sweep``: a grid of runs from a file, in parallel, taken up where it stopped."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from clipbench.api.work import reporter_for, warn_of_secrets
from clipbench.cli import _executors as executors
from clipbench.cli import _options as options
from clipbench.cli import _requests as requests
from clipbench.cli._custody import logged
from clipbench.cli._leaderboard import show
from clipbench.cli._output import print_json
from clipbench.cli._plans import tell_lines
from clipbench.errors import ClipbenchError
from clipbench.executors import chosen


@click.command("sweep", cls=options.Command)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@options.jobs_option
@options.threads_option
@executors.executor_option
@executors.slurm_option
@options.out_option
@options.cache_option
@options.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@options.estimate_option
@options.allow_option
@options.json_option
@options.quiet_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    file: Path,
    jobs: int | None,
    executor: str,
    slurm_settings: tuple[str, ...],
    dry_run: bool,
    estimate: bool,
    allowed: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    **_: object,
) -> None:
    """Run a grid in parallel; print the leaderboard.

    FILE is a YAML file with the settings of `clipbench run`, and blocks of them under `grid`.
    Finished runs are skipped. Failed runs are reported and do not stop the others; the same command
    retries them. A run in a sweep equals the run by itself with as many threads.
    """
    from clipbench.sweep.grid import read_grid  # noqa: PLC0415
    from clipbench.sweep.status import Status, label  # noqa: PLC0415

    executors.check(executor)
    is_local = executor == chosen.LOCAL
    wanted = "--executor local; of Slurm ask for --slurm array_parallelism=N"
    requests.refuse_unused(wanted, "jobs", unless=is_local)
    requests.allow_commands(allowed)
    grid = read_grid(file, *requests.given(ctx, ("out", "cache", "threads")), allowed=allowed)
    if not is_local:
        from clipbench.sweep.jobs import require_precision  # noqa: PLC0415 - not needed otherwise

        require_precision(grid.configs)
    if dry_run and as_json:
        print_json([config.to_json() for config in grid.configs])
        return
    from clipbench.sweep.placing import placing  # noqa: PLC0415
    from clipbench.sweep.sweep import (  # noqa: PLC0415 - heavy
        identified,
        local_executor,
        plan_sweep,
        sweep,
    )

    with reporter_for(quiet) as reporter:
        warn_of_secrets(grid.configs, reporter)
        grid = identified(grid, reporter, prepare=not dry_run)
    at_once = jobs or 1
    opened = contextlib.ExitStack()
    if is_local:
        place = placing(jobs, grid.threads, [config.train.device for config in grid.configs])
        do, at_once = local_executor(grid, place), place.jobs
    else:
        from clipbench.sweep.jobs import by_jobs, slurm_folder  # noqa: PLC0415 - heavy

        named = chosen.opened(
            executor,
            slurm_folder(grid.out),
            settings=requests.assignments(slurm_settings, "--slurm"),
            processors=grid.threads or 1,
        )
        do = by_jobs(opened.enter_context(named), grid.cache, grid.out, grid.threads)
    with opened:
        with reporter_for(quiet) as reporter:
            plan = plan_sweep(grid, reporter, timed=estimate and (dry_run or not quiet))
            tell_lines(plan.lines(at_once), reporter, dry=dry_run)
        if dry_run:
            return
        configs = {config.id: config for config in grid.configs}
        status = Status(configs, len(plan.configs), quiet=quiet)
        with logged("sweep", grid.out, runs=[*configs]):
            try:
                results = sweep(grid, plan, do, status.tell)
            finally:
                status.close()
    if as_json:
        print_json([result.record for result in results])
    elif results:
        show(results, grid.out, reporter)
    if status.failed:
        failed = "; ".join(f"{label(configs[run])}: {why}" for run, why in status.failed.items())
        raise ClipbenchError(f"{len(status.failed)} of {plan.total} runs failed: {failed}")
