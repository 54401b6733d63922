"""``clipbench submit``: take results into a folder of results, checked."""

from __future__ import annotations

from pathlib import Path

import click

from clipbench.cli import _options as options
from clipbench.cli._output import print_json, print_result, reporter_for
from clipbench.errors import CorruptData


@click.command("submit", cls=options.Command)
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@options.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    envvar=None,
    required=True,
    show_default=False,
    help="Folder of results, one file each; `clipbench leaderboard FOLDER` shows it.",
)
@options.option(
    "--ledger",
    "ledgers",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    metavar="PATH",
    envvar=None,
    show_default="none",
    help="Ledger of one of the results, which must agree with it. Repeatable.",
)
@options.json_option
@options.quiet_option
def command(
    *,
    results: tuple[Path, ...],
    folder: Path,
    ledgers: tuple[Path, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Check results and take them into a folder.

    RESULTS are result files, or folders of runs. All are checked before any is written. One that
    contradicts itself, its ledger, or a result of the same run there is refused; what cannot be
    vouched for is a warning, and is kept in the file under `flags`. Nothing is replaced.
    """
    from clipbench.leaderboard.store import read_all  # noqa: PLC0415
    from clipbench.provenance.submission import prepare, write  # noqa: PLC0415
    from clipbench.shards.ledger import read_ledger  # noqa: PLC0415

    if folder.exists() and not folder.is_dir():
        raise CorruptData(f"{folder} is no folder; name another with --to.")
    found = prepare(read_all(results), folder, [read_ledger(path) for path in ledgers])
    with reporter_for(quiet) as reporter:
        for item in found:
            for flag in item.flags:
                reporter.warning(f"{item.result['id']}: {flag}")
            if item.is_new:
                write(item)
            else:
                reporter.note(f"{item.path} is there already, with the same numbers")
    if as_json:
        told = [
            {"id": i.result["id"], "path": str(i.path), "added": i.is_new, "flags": i.flags}
            for i in found
        ]
        print_json(told)
    else:
        for item in found:
            print_result(f"{'added' if item.is_new else 'kept'} {item.path}")
