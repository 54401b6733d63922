"""``clipbench verify``: check a set of shards, and with the ledger its poisons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from clipbench.cli import _options as options
from clipbench.cli._errors import FAILED
from clipbench.cli._output import columns, print_json, print_result, reporter_for

if TYPE_CHECKING:
    from clipbench.shards.set_checks import Check


@click.command("verify", cls=options.Command)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@options.option(
    "--ledger",
    type=click.Path(path_type=Path, exists=True),
    metavar="PATH",
    envvar=None,
    show_default="that of a poisoned set",
    help="The set's ledger; checks every poison and that nothing else gives it away.",
)
@options.json_option
@options.quiet_option
@click.pass_context
def command(
    ctx: click.Context, /, folder: Path, ledger: Path | None, as_json: bool, quiet: bool
) -> None:
    """Check a set of shards; exit with status 1 if it fails.

    FOLDER holds shards, or a poisoned set with its ledger. Hashes and counts are compared with the
    manifest, poisons with the ledger.
    """
    from clipbench.shards.verify import verify  # noqa: PLC0415 - heavy

    with reporter_for(quiet) as reporter:
        report = verify(folder, ledger, progress=reporter.progress)
    if as_json:
        checks = [
            {
                "name": check.name,
                "passed": check.passed,
                "note": check.is_note,
                "message": check.message,
            }
            for check in report.checks
        ]
        print_json({"passed": report.passed, "checks": checks})
    else:
        print_result(
            columns((_word_of(check), check.name, check.message) for check in report.checks)
        )
    if not report.passed:
        ctx.exit(FAILED)


def _word_of(check: Check) -> str:
    if check.is_note:
        return "note"
    return "ok" if check.passed else "FAILED"
