"""``clipbench detect``: score every pair of a set, and show the most suspicious ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from clipbench.api.work import reporter_for, warn_of_secrets
from clipbench.cli import _options as options
from clipbench.cli import _requests as requests
from clipbench.cli._custody import logged
from clipbench.cli._output import columns, print_json, print_result
from clipbench.cli._plans import tell_lines, tell_recipe, tell_times
from clipbench.configuration import preflight
from clipbench.evaluation.measured import Metrics, metrics_json
from clipbench.plugins import lists
from clipbench.system.threads import use_threads


@click.command("detect", cls=options.Command)
@options.data_option
@options.option(
    "--shards",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    show_default="the pairs of --data",
    help="WebDataset shards to score; --data then supplies only the recipe and trusted pairs.",
)
@options.option(
    "--method",
    "methods",
    multiple=True,
    required=True,
    metavar="SPEC",
    show_default=False,
    help="Defense that scores the pairs, e.g. dao or safeclip. Repeatable, or a list with commas.",
)
@options.option(
    "--ledger",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    show_default="none",
    help="Ledger of a poisoned set; measures how well the methods find poisoned pairs.",
)
@options.option(
    "--drop",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.1,
    help="With --ledger: share of pairs that a filter would drop.",
)
@options.option(
    "--show",
    "shown",
    type=click.IntRange(1, 1000),
    default=50,
    help="Pairs per method on the page.",
)
@options.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    envvar=f"{options.PREFIX}_DETECT_OUT",
    default=Path("suspects"),
    help="Folder for the table and the page.",
)
@options.trusted_option
@options.seed_option()
@options.on_error_option
@options.cache_option
@options.recipe_option
@options.config_option
@options.allow_option
@options.option("--dry-run", is_flag=True, help="Open the pairs, print the plan and stop.")
@options.estimate_option
@options.own_threads_option
@options.json_option
@options.quiet_option
@options.train_options()
@click.pass_context
def command(
    ctx: click.Context,
    /,
    shards: Path | None,
    methods: tuple[str, ...],
    ledger: Path | None,
    drop: float,
    shown: int,
    folder: Path,
    dry_run: bool,
    estimate: bool,
    as_json: bool,
    quiet: bool,
    **_: object,
) -> None:
    """Score every pair; write a table, and a page of suspects.

    Trains a model for each method, as far as the defense needs to score pairs. Low scores are
    suspicious.
    """
    request = replace(requests.request_of(ctx), defenses=lists.each(methods, "methods"))
    if not (dry_run and as_json):
        given = [path for path in (shards, ledger) if path is not None]
        preflight.check(request, outputs=[folder], inputs=given)
    configs = request.configs()
    requests.refuse_unused_trusted(configs)
    requests.refuse_unused("--ledger", "drop", unless=ledger is not None)
    if dry_run and as_json:
        print_json([config.to_json() for config in configs])
        return
    use_threads(request.threads)
    from clipbench.parallel.bench import Bench  # noqa: PLC0415 - heavy
    from clipbench.parallel.group import joined  # noqa: PLC0415 - heavy
    from clipbench.pipeline.detect import (  # noqa: PLC0415 - heavy
        detect,
        follow_detection,
        plan_detection,
    )

    with reporter_for(quiet) as reporter, joined(configs[0].train.device) as processes:
        warn_of_secrets(configs, reporter)
        bench = Bench(request.cache, reporter=reporter)
        if not processes.is_first:
            if not dry_run:
                follow_detection(configs, shards, bench)
            return
        plan = plan_detection(configs, bench, shards=shards, ledger=ledger)
        tell_recipe(request.recipe, configs, reporter, dry=dry_run)
        tell_lines(plan.lines(), reporter, dry=dry_run)
        if estimate and (dry_run or not quiet):
            tell_times(plan.estimates(request.cache), reporter, dry=dry_run)
        else:
            plan.check()
        if dry_run:
            return
        with logged("detect", folder, methods=[c.defense_name for c in configs]):
            found = detect(plan, folder, bench, drop=drop, shown=shown)
    if as_json:
        print_json(
            {
                "table": str(found.table),
                "page": str(found.page),
                "metrics": {n: metrics_json(m) for n, m in found.metrics.items()},
            }
        )
        return
    rows = [
        (
            name,
            f"{metrics['auroc'].value:.4f}",
            f"{metrics['auprc'].value:.4f}",
            _kept(metrics),
        )
        for name, metrics in found.metrics.items()
    ]
    lines = [columns([("method", "AUROC", "AUPRC", "poison kept"), *rows]), ""] if rows else []
    files = columns([("table", str(found.table)), ("page", str(found.page))])
    print_result("\n".join([*lines, files]))


def _kept(metrics: Metrics) -> str:
    kept = metrics["poison_kept"]
    return f"{kept.k}/{kept.n}"
