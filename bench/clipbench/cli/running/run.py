"""``clipbench run``: poison, train, evaluate and record, for one combination or a grid of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from clipbench.api.work import do_all, is_first_process, reporter_for, warn_of_secrets
from clipbench.cli import _options as options
from clipbench.cli import _requests as requests
from clipbench.cli._custody import logged
from clipbench.cli._leaderboard import show
from clipbench.cli._output import print_json, print_result
from clipbench.cli._plans import tell_plans, tell_recipe
from clipbench.configuration import preflight
from clipbench.system.threads import use_threads

if TYPE_CHECKING:
    from clipbench.configuration.config import RunConfig
    from clipbench.configuration.request import Request
    from clipbench.system.progress import Reporter


@click.command("run", cls=options.Command)
@options.data_option
@options.trusted_option
@options.eval_option
@options.metric_option
@options.attack_option(several=True)
@options.rate_option(several=True)
@options.poisons_option
@options.defense_option(several=True)
@options.seed_option(several=True)
@options.poison_seed_option(several=True)
@options.option(
    "--controls/--no-controls",
    default=False,
    help="Also run each defense on clean data, and no defense on the poisoned data.",
)
@options.work_options()
@click.pass_context
def command(
    ctx: click.Context,
    /,
    dry_run: bool,
    estimate: bool,
    as_json: bool,
    quiet: bool,
    **_: object,
) -> None:
    """Poison, train, evaluate; print the leaderboard.

    Several attacks, rates, defenses and seeds make a grid. Run the same command again to resume an
    interrupted run; finished steps are skipped. Give at least one option that decides what to run,
    such as --data shapes.
    """
    if not dry_run and not requests.asks(ctx):
        print_result(ctx.get_help())
        return
    request = requests.request_of(ctx)
    if not (dry_run and as_json):
        preflight.check(request, outputs=[request.out])
    configs = request.configs()
    requests.refuse_unused_trusted(configs)
    if dry_run and as_json:
        print_json([config.to_json() for config in configs])
        return
    use_threads(request.threads)
    from clipbench.parallel.group import joined  # noqa: PLC0415 - heavy

    with reporter_for(quiet) as reporter, joined(configs[0].train.device) as processes:
        warn_of_secrets(configs, reporter)
        if processes.is_first:
            timed = estimate and (dry_run or not quiet)
            _tell(request, configs, reporter, dry=dry_run, timed=timed)
        if dry_run:
            return
        out = request.out
        with logged("run", out, runs=[config.id for config in configs]):
            results = do_all(configs, cache=request.cache, out=out, reporter=reporter)
    if as_json:
        print_json([result.record for result in results])
    elif is_first_process():
        show(results, out, reporter)


def _tell(
    request: Request, configs: Sequence[RunConfig], reporter: Reporter, *, dry: bool, timed: bool
) -> None:
    """Print what runs, controls among them, will do, and how long they take."""
    from clipbench.planning.plan import plan  # noqa: PLC0415 - heavy

    cache = request.cache
    plans = [plan(c, request.out, cache=cache, progress=reporter.progress) for c in configs]
    tell_recipe(request.recipe, configs, reporter, dry=dry)
    tell_plans(plans, reporter, cache, dry=dry, timed=timed)
