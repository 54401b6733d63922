"""``clipbench verify``: check a set of shards, and with the ledger its poisons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from clipbench.api.work import reporter_for
from clipbench.cli import _options as options
from clipbench.cli import _requests as requests
from clipbench.cli._custody import logged
from clipbench.cli._errors import FAILED, UNDECIDED
from clipbench.cli._output import columns, print_json, print_result
from clipbench.plugins import lists, registry

if TYPE_CHECKING:
    from clipbench.verification.set_checks import Check

_OF_LEDGERS = ("clean", "evals", "allowed", "whole")  # options that nothing else has a use for


@click.command("verify", cls=options.Command)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@options.option(
    "--ledger",
    type=click.Path(path_type=Path, exists=True),
    metavar="PATH",
    envvar=None,
    show_default="that of a poisoned set",
    help="Ledger of the set; checks every poisoned pair, and that nothing else gives it away.",
)
@options.option(
    "--base",
    "clean",
    metavar="SPEC",
    envvar=None,
    show_default="the ledger's data set, if clipbench makes it itself",
    help="Clean set that the ledger names, as for --data; all pairs are compared with it.",
)
@options.option(
    "--eval",
    "evals",
    multiple=True,
    metavar="SPEC",
    envvar=None,
    show_default="what the ledger names, if it is known by name",
    help="Test images that the attack used, if the ledger knows them only by content. Repeatable.",
)
@options.allowing(
    "File or module:object of the attack, if it is not installed; a file must have the hash in the"
    " ledger.",
    "PLUGIN",
)
@options.option(
    "--all",
    "whole",
    is_flag=True,
    envvar=None,
    help="Regenerate all poisoned pairs and the whole set, rather than a sample.",
)
@options.option(
    "--signers",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    envvar=f"{options.PREFIX}_SIGNERS",
    show_default="signatures are not checked",
    help="Allowed signers, as ssh-keygen(1) describes them; one of them must have signed the set's"
    " manifest.json.",
)
@options.cache_option
@options.json_option
@options.quiet_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    folder: Path,
    ledger: Path | None,
    clean: str | None,
    evals: tuple[str, ...],
    allowed: tuple[str, ...],
    whole: bool,
    signers: Path | None,
    cache: Path,
    as_json: bool,
    quiet: bool,
) -> None:
    """Check shards, and the ledger of a poisoned set.

    FOLDER holds shards, or a poisoned set with its ledger. Hashes and counts are compared with the
    manifest; with --signers the manifest must be signed. With a ledger, every pair is compared with
    the clean set: pairs in the ledger must differ as recorded, all others must be equal; and the
    poisoned pairs are regenerated from its parameters and seed. Exits with status 1 if a check
    fails, 3 if one cannot be decided: without the clean set, nothing shows that the ledger names
    every poisoned pair.
    """
    from clipbench.custody.record import note_made, note_used  # noqa: PLC0415 - brings numpy
    from clipbench.fetching import pipes  # noqa: PLC0415
    from clipbench.fetching.sources import parts_of  # noqa: PLC0415
    from clipbench.reproduce.clean_set import CleanSet  # noqa: PLC0415 - heavy
    from clipbench.reproduce.origin import LedgerOrigin  # noqa: PLC0415 - heavy
    from clipbench.verification.verify import verify  # noqa: PLC0415 - heavy

    there = ledger is not None or parts_of(folder)[1] is not None
    requests.refuse_unused("a poisoned set with its ledger", *_OF_LEDGERS, unless=there)
    typed = lists.each(evals, "eval")
    with reporter_for(quiet) as reporter:
        if clean is not None:
            pipes.allow(map(str, registry.parse("dataset", clean).parameters.values()))
        origin = LedgerOrigin(CleanSet(cache, reporter, clean), typed, allowed, whole)
        with logged("verify", None):
            report = verify(
                folder, ledger, progress=reporter.progress, origin=origin, signers=signers
            )
            note_used("set", report.content_sha256)
            for check in report.checks:
                note_made(check.name, _word_of(check))
    if as_json:
        checks = [
            {
                "name": check.name,
                "passed": check.passed and not check.is_open,
                "undecided": check.is_open,
                "note": check.is_note,
                "message": check.message,
            }
            for check in report.checks
        ]
        passed = report.passed and not report.is_open
        print_json({"passed": passed, "undecided": report.is_open, "checks": checks})
    else:
        print_result(
            columns((_word_of(check), check.name, check.message) for check in report.checks)
        )
    if not report.passed:
        ctx.exit(FAILED)
    if report.is_open:
        ctx.exit(UNDECIDED)


def _word_of(check: Check) -> str:
    if check.is_note:
        return "note"
    if check.is_open:
        return "?"
    return "ok" if check.passed else "FAILED"
