"""``clipbench audit``: what an attacker could gain on a person's own pairs, before training."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from clipbench.api.work import reporter_for
from clipbench.cli import _options as options
from clipbench.cli._custody import logged
from clipbench.cli._output import columns, print_json, print_result
from clipbench.cli._pairs import (
    check_out,
    one_seed,
    pairs_options,
    refuse_processes,
    refuse_sources,
)
from clipbench.cli._plans import tell_lines
from clipbench.configuration import preflight
from clipbench.configuration.request import combine
from clipbench.plugins import lists
from clipbench.system.threads import news, use_threads
from clipbench.text.visible import visible

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3_600}
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)", re.IGNORECASE)
_SHORTEST_S = 60
_DEFENSES = "none,clip,safeclip"


def _seconds(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """Return a time, such as ``2h`` or ``90m``, in seconds."""
    match = _TIME.fullmatch(value.strip())
    if match is None:
        raise click.BadParameter(f"{value!r} is no time; write 2h, 90m or 600s.", ctx, param)
    seconds = float(match[1]) * _UNITS[match[2].lower()]
    if seconds < _SHORTEST_S:
        raise click.BadParameter(
            f"{value!r} is too short; an audit takes a minute at least.", ctx, param
        )
    return seconds


@click.command("audit", cls=options.Command)
@options.option(
    "--data",
    required=True,
    metavar="SHARDS",
    envvar=None,
    show_default=False,
    help="Your pairs: a folder of WebDataset shards, a tar, a pattern, or several joined by `::`."
    " They are read and nothing else.",
)
@options.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    envvar=f"{options.PREFIX}_AUDIT_OUT",
    default=Path("audit"),
    help="Folder of the audit; the same command goes on where it was stopped.",
)
@options.option(
    "--budget",
    callback=_seconds,
    default="2h",
    metavar="TIME",
    help="Time that it may take, e.g. 90m or 2h.",
)
@options.option(
    "--labels",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    show_default="nobody has reviewed pairs",
    help="Reviewed pairs, as the page for reviewers writes them (CSV).",
)
@pairs_options(
    supplier="host of the URL where most pairs have one, else the shard's folder",
    captions="captions are in KEY.txt",
)
@options.option(
    "--classes",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    show_default="what captions name most often",
    help="Classes that an attacker may aim at, one a line.",
)
@options.option(
    "--defense",
    "defenses",
    multiple=True,
    default=(_DEFENSES,),
    metavar="SPEC",
    help="Defenses to try. Repeatable, or a list with commas.",
)
@options.option("--model", default="shapes-32", metavar="NAME", help="Model to train.")
@options.seed_option()
@options.cache_option
@options.option("--dry-run", is_flag=True, help="Open the pairs, print the plan and stop.")
@options.own_threads_option
@options.json_option
@options.quiet_option
def command(
    *,
    data: str,
    folder: Path,
    budget: float,
    defenses: tuple[str, ...],
    seed: str,
    cache: Path,
    signers: Path | None,
    dry_run: bool,
    threads: int | None,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Audit your own pairs before you train on them; write a page.

    Takes stock of the pairs, plants poisoned ones in a copy to see what an attacker would gain,
    measures what defenses cost, and lists the pairs that a person should look at.
    """
    refuse_processes("audit")
    refuse_sources("audit", data)
    number = one_seed(seed)
    named = tuple(lists.each(defenses, "defense"))
    base = combine(
        {"data": {"name": "own", "path": data}, "defense": list(named), "cache": cache}
        | {"train": {"model": given["model"]}}
    )
    preflight.check(base)
    check_out(folder, data)
    use_threads(threads)
    from clipbench.audit.audit import audit, plan_audit  # noqa: PLC0415 - heavy
    from clipbench.audit.request import AuditRequest  # noqa: PLC0415 - heavy
    from clipbench.verification import deliveries  # noqa: PLC0415 - heavy

    settings = {
        "defenses": [*named],
        "model": given["model"],
        "budget_s": budget,
        "seed": number,
        "signed": signers is not None,
    }
    log = nullcontext() if dry_run else logged("audit", folder, **settings)
    with reporter_for(quiet or (dry_run and as_json)) as reporter, log:
        signed = None if signers is None else deliveries.verified_deliveries(data, signers)
        request = AuditRequest(
            data=data,
            out=folder,
            cache=cache,
            reporter=reporter,
            defenses=named,
            budget_s=budget,
            seed=number,
            **given,
        )
        by = dict[str, str]()
        if signed is not None:
            signed.check(request.opened())
            by = dict(signed.by)
        plan = plan_audit(request, [f"{who} signed {where}." for where, who in by.items()])
        if dry_run and as_json:
            print_json(plan.told())
            return
        tell_lines(plan.lines(), reporter, dry=dry_run)
        if found := news():
            reporter.note(f"note: {found}; the plan was fitted to what that leaves, and is kept")
        if dry_run:
            return
        done = audit(plan)
    if as_json:
        print_json(done.told)
        return
    files = columns([("page", str(done.page)), ("for reviewers", str(done.review))])
    print_result("\n".join([*map(visible, done.said), "", files]))
