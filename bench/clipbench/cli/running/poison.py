"""``clipbench poison``: write a poisoned set of shards and its ledger."""

from __future__ import annotations

from pathlib import Path

import click

from clipbench.api.work import reporter_for, warn_of_secrets
from clipbench.cli import _executors as executors
from clipbench.cli import _options as options
from clipbench.cli import _requests as requests
from clipbench.cli._custody import logged
from clipbench.cli._output import columns, print_json, print_result
from clipbench.configuration import preflight
from clipbench.files.named_files import check_picture


@click.command("poison", cls=options.Command)
@options.data_option
@options.eval_option
@options.attack_option()
@options.rate_option()
@options.poisons_option
@options.seed_option()
@options.poison_seed_option()
@options.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    envvar=f"{options.PREFIX}_POISON_OUT",
    show_default="in the cache",
    help="Folder for the poisoned set.",
)
@options.option(
    "--show",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.png",
    envvar=None,
    show_default="none",
    help="Draw some pairs before and after poisoning, and some test inputs.",
)
@options.on_error_option
@executors.shards_options
@options.cache_option
@options.recipe_option
@options.config_option
@options.allow_option
@options.json_option
@options.quiet_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    folder: Path | None,
    show: Path | None,
    executor: str,
    slurm_settings: tuple[str, ...],
    tasks: int,
    as_json: bool,
    quiet: bool,
    **_: object,
) -> None:
    """Write poisoned shards and their ledger.

    Any training program can read the shards. Keep the ledger away from it.
    """
    if show is not None:
        check_picture(show)
    executors.check_spread(executor)
    request = requests.request_of(ctx)
    preflight.check(request, outputs=[] if folder is None else [folder])
    config = request.config()
    from clipbench.pipeline.poison import poison  # noqa: PLC0415 - heavy

    with reporter_for(quiet) as reporter:
        # "." has no name to which anything could be added.
        out = None if folder is None else folder.resolve()
        warn_of_secrets([config], reporter)
        with (
            logged("poison", out, attack=config.attack_name, seed=config.seed),
            executors.spread(executor, slurm_settings, tasks, request.cache),
        ):
            made = poison(config, cache=request.cache, out=out, reporter=reporter)
        if show is not None:
            from clipbench.pipeline.poison import show_poison  # noqa: PLC0415 - heavy

            show_poison(config, made, show, cache=request.cache, reporter=reporter)
    if as_json:
        print_json({"shards": str(made.shards_folder), "ledger": str(made.ledger)})
    else:
        print_result(columns([("shards", str(made.shards_folder)), ("ledger", str(made.ledger))]))
