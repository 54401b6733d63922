"""``clipbench monitor``: is a new delivery like the pairs that were audited?"""

from __future__ import annotations

from pathlib import Path

import click

from clipbench.api.work import reporter_for
from clipbench.cli import _options as options
from clipbench.cli._custody import logged
from clipbench.cli._errors import FAILED
from clipbench.cli._output import columns, print_json, print_result
from clipbench.cli._pairs import (
    check_out,
    one_seed,
    pairs_options,
    refuse_processes,
    refuse_sources,
)
from clipbench.errors import BadSetting

_LEAST, _MOST = 0.001, 0.5  # chance of a false alarm that can be asked for


def _alpha(ctx: click.Context, param: click.Parameter, value: str) -> float:  # noqa: ARG001
    """Return the chance of a false alarm that was typed."""
    text = value.strip()
    try:
        found = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        found = float("nan")
    if not _LEAST <= found <= _MOST:
        raise BadSetting(f"--alpha must be in [{_LEAST:.1%}, {_MOST:.0%}]. Got {value}.")
    return found


@click.command("monitor", cls=options.Command)
@options.option(
    "--baseline",
    "place",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FOLDER",
    envvar=f"{options.PREFIX}_BASELINE",
    show_default=False,
    help="Folder of an audit, or of its baseline.",
)
@options.option(
    "--data",
    required=True,
    metavar="SHARDS",
    envvar=None,
    show_default=False,
    help="The delivery: a folder, a tar or a pattern of tars, or several joined by `::`.",
)
@options.option(
    "--alpha",
    default="5%",
    callback=_alpha,
    metavar="SHARE",
    help="Chance of an alarm for a delivery like the audited pairs, at most.",
)
@pairs_options(supplier="as the audit", captions="as the audit")
@options.option(
    "--junit",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    envvar=None,
    show_default="nothing",
    help="Also write a JUnit report for CI services.",
)
@options.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    envvar=f"{options.PREFIX}_MONITOR_OUT",
    default=Path("monitor"),
    help="Folder for the page, the JSON and the list of pairs to look at.",
)
@options.seed_option()
@options.cache_option
@options.json_option
@options.quiet_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    place: Path,
    data: str,
    alpha: float,
    supplier: str | None,
    caption_field: str | None,
    signers: Path | None,
    junit: Path | None,
    folder: Path,
    seed: str,
    cache: Path,
    as_json: bool,
    quiet: bool,
) -> None:
    """Compare a new delivery with the pairs that were audited.

    The audit left a model and pairs that it never saw; a delivery of the same kind can't be told
    from them. Exits with status 1 on alarm: the delivery is different, and the page says how, and
    which pairs to look at.
    """
    refuse_processes("monitor")
    refuse_sources("monitor", data)
    number = one_seed(seed)
    check_out(folder, data)
    from clipbench.audit.monitor import baseline, write  # noqa: PLC0415 - heavy
    from clipbench.audit.monitor.watch import as_audited, watch  # noqa: PLC0415 - heavy
    from clipbench.audit.request import AuditRequest  # noqa: PLC0415 - heavy
    from clipbench.verification import deliveries  # noqa: PLC0415 - heavy

    baseline.check_apart(place, folder)
    settings = {"alpha": alpha, "seed": number, "signed": signers is not None}
    with reporter_for(quiet) as reporter, logged("monitor", folder, **settings):
        before = baseline.read(place)
        signed = None if signers is None else deliveries.verified_deliveries(data, signers)
        asked = AuditRequest(
            data=data,
            out=folder,
            cache=cache,
            reporter=reporter,
            caption_field=caption_field or before.head.caption_field,
            supplier=supplier,
            seed=number,
        )
        with asked.untouched():
            if signed is not None:
                signed.check(asked.opened())
            request = as_audited(asked, before.head)
            by = None if signed is None else signed.by
            watched = watch(before, request, alpha=alpha, signed_by=by)
            write.write(watched, folder)
        if junit is not None:
            write.write_cases(watched.report, junit)
    report = watched.report
    if as_json:
        print_json(write.to_json(report))
    else:
        rows = [("alarm", one.sentence) for one in report.alarms]
        rows += [("note", note) for note in report.notes]
        files = [("page", str(folder / write.PAGE))]
        files += [("pairs", str(folder / write.PAIRS))] if report.alarms else []
        print_result("\n".join([report.summary, columns([*rows, *files])]))
    if report.alarms:
        ctx.exit(FAILED)
