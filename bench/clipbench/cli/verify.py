"""``clipbench verify``: check a set of shards, and with the ledger its poisons."""

from __future__ import annotations

from pathlib import Path

import click

from clipbench.cli import _options as options
from clipbench.cli._errors import FAILED
from clipbench.cli._output import columns, print_json, print_result


@click.command("verify", cls=options.Command)
@click.argument("folder", type=click.Path(path_type=Path))
@options.option(
    "--ledger",
    type=click.Path(path_type=Path),
    metavar="FILE",
    envvar=None,
    show_default="none",
    help="The set's ledger; checks every poison and that nothing else gives it away.",
)
@options.json_option
@click.pass_context
def command(ctx: click.Context, /, folder: Path, ledger: Path | None, as_json: bool) -> None:
    """Check a set of shards; exit with status 1 if it fails.

    FOLDER holds the shards; hashes and counts are compared with its manifest.
    """
    from clipbench.shards.verify import verify  # noqa: PLC0415 - heavy

    report = verify(folder, ledger)
    if as_json:
        checks = [
            {"name": check.name, "passed": check.passed, "message": check.message}
            for check in report.checks
        ]
        print_json({"passed": report.passed, "checks": checks})
    else:
        print_result(
            columns(
                ("ok" if check.passed else "FAILED", check.name, check.message)
                for check in report.checks
            )
        )
    if not report.passed:
        ctx.exit(FAILED)
