"""``clipbench train``: train a model with a defense on any folder of shards."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clipbench.api.work import reporter_for, warn_of_secrets
from clipbench.cli import _options as options
from clipbench.cli import _requests as requests
from clipbench.cli._custody import logged
from clipbench.cli._output import print_json, print_place
from clipbench.cli._plans import tell_lines, tell_recipe, tell_times
from clipbench.configuration import preflight
from clipbench.system.threads import use_threads

if TYPE_CHECKING:
    from clipbench.configuration.request import Request
    from clipbench.system.progress import Reporter


@click.command("train", cls=options.Command)
@options.option(
    "--shards",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    show_default=False,
    help="WebDataset shards, as img2dataset writes them; no ledger is needed or read.",
)
@options.data_option
@options.trusted_option
@options.defense_option()
@options.seed_option()
@options.work_options()
@click.pass_context
def command(
    ctx: click.Context,
    /,
    shards: Path,
    dry_run: bool,
    estimate: bool,
    as_json: bool,
    quiet: bool,
    **_: object,
) -> None:
    """Train with a defense on any folder of shards.

    Prints the path of the weights. The data set given with --data supplies the recipe, the synonyms
    for text augmentation, and, without --trusted, the pairs known to be clean that some defenses
    need.
    """
    request = requests.request_of(ctx)
    if not (dry_run and as_json):
        preflight.check(request, outputs=[request.out], inputs=[shards])
    config = request.config()
    requests.refuse_unused_trusted([config])
    if dry_run and as_json:
        print_json([config.to_json()])
        return
    use_threads(request.threads)
    from clipbench.parallel.group import joined  # noqa: PLC0415 - heavy

    with reporter_for(quiet) as reporter, joined(config.train.device) as processes:
        warn_of_secrets([config], reporter)
        if processes.is_first:
            timed = estimate and (dry_run or not quiet)
            weights = _trained(request, shards, reporter, dry=dry_run, timed=timed)
        elif not dry_run:
            from clipbench.pipeline.train import follow_training  # noqa: PLC0415 - heavy

            out, cache = request.out, request.cache
            weights = follow_training(config, shards, out, cache=cache, reporter=reporter)
    if dry_run:
        return
    if as_json:
        print_json({"checkpoint": str(weights)})
    else:
        print_place(weights)


def _trained(request: Request, shards: Path, reporter: Reporter, *, dry: bool, timed: bool) -> Path:
    """Tell what will be done, and do it; of a dry run nothing. Return the weights."""
    from clipbench.pipeline.train import plan_training, train  # noqa: PLC0415 - heavy

    config, cache = request.config(), request.cache
    plan = plan_training(config, shards, request.out, cache=cache, reporter=reporter)
    tell_recipe(request.recipe, [config], reporter, dry=dry)
    tell_lines(plan.lines(), reporter, dry=dry)
    if timed:
        estimates = [] if plan.done else [("", partial(plan.estimate, cache))]
        tell_times(estimates, reporter, dry=dry)
    else:
        plan.check()
    if dry:
        return request.out
    with logged("train", request.out, defense=config.defense_name, seed=config.seed):
        return train(plan, cache=cache, reporter=reporter)
