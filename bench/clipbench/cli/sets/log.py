"""``clipbench log``: check the log of what was made and judged, and tell its end."""

from __future__ import annotations

from pathlib import Path

import click

from clipbench.cli import _options as options
from clipbench.cli._errors import FAILED, UNDECIDED
from clipbench.cli._output import columns, print_json, print_result
from clipbench.text.words import counted

_FILE = click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))


@click.group("log")
def command() -> None:
    """Check the log of what commands made and judged.

    Commands that make or judge data add a line to `audit.jsonl` in the folder that they write into,
    or to the file that `clipbench --log FILE` or CLIPBENCH_LOG names: when, with what settings and
    versions, and the hashes of what went in and came out. Each line holds the hash of the one
    before.
    """


@command.command("verify", cls=options.Command)
@_FILE
@options.option(
    "--head",
    metavar="LINES:SHA256",
    envvar=None,
    show_default="none",
    help="An end that the log had at some time, as `clipbench log head` told it.",
)
@options.json_option
@click.pass_context
def verify_command(ctx: click.Context, /, file: Path, head: str | None, as_json: bool) -> None:
    """Find lines that were edited, removed, added or moved.

    Exits with status 1 if the log was tampered with, 3 if it cannot be decided whether lines are
    missing at its end: only the user who wrote it can check its seal, and others need a head.
    """
    from clipbench.custody.log import Head, verify  # noqa: PLC0415 - brings numpy

    verdict = verify(file, None if head is None else Head.of(head))
    if as_json:
        told = {"head": str(verdict.head), "broken": [*verdict.broken], "open": [*verdict.open]}
        print_json({"passed": not (verdict.broken or verdict.open), **told})
    else:
        rows = [("FAILED", one) for one in verdict.broken] + [("?", one) for one in verdict.open]
        well = f"{counted(verdict.head.lines, 'line')}, head {verdict.head}"
        print_result(columns(rows or [("ok", well)]))
    if verdict.broken:
        ctx.exit(FAILED)
    if verdict.open:
        ctx.exit(UNDECIDED)


@command.command("head", cls=options.Command)
@_FILE
def head_command(*, file: Path) -> None:
    """Print the end of a log, to be kept elsewhere: in a mail, a ticket, a commit."""
    from clipbench.custody.log import verify  # noqa: PLC0415 - brings numpy

    print_result(str(verify(file).head))


@command.command("show", cls=options.Command)
@_FILE
@options.json_option
def show_command(*, file: Path, as_json: bool) -> None:
    """Print the log, a row per line."""
    from clipbench.custody.log import read  # noqa: PLC0415 - brings numpy

    entries = [line.entry or {} for line in read(file)]
    if as_json:
        print_json(entries)
        return
    head = ("line", "time", "command", "outcome", "used", "made")
    rows = [
        (
            str(number),
            *(str(entry.get(name, "?"))[:60] for name in head[1:4]),
            *(_short(entry.get(name)) for name in head[4:]),
        )
        for number, entry in enumerate(entries, start=1)
    ]
    print_result(columns([head, *rows]))


def _short(hashes: object) -> str:
    """Return names with the first letters of their hashes."""
    if not isinstance(hashes, dict):
        return "?"
    told = [f"{name} {str(value)[:12]}" for name, value in hashes.items()]
    more = f" and {len(told) - 3} more" if len(told) > 3 else ""
    return ", ".join(told[:3]) + more
