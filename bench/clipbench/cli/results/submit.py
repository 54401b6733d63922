"""``clipbench submit``: take results into a folder of results, checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click

from clipbench.api.work import reporter_for
from clipbench.cli import _options as options
from clipbench.cli import _requests as requests
from clipbench.cli._custody import logged
from clipbench.cli._output import print_json, print_result
from clipbench.errors import BadSetting
from clipbench.text.visible import visible
from clipbench.text.words import listed

if TYPE_CHECKING:
    from clipbench.results.reported import Reported
    from clipbench.submit.submission import Submission
    from clipbench.system.progress import Reporter


@click.command("submit", cls=options.Command)
@click.argument("results", nargs=-1, type=click.Path(path_type=Path))
@options.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    envvar=None,
    required=True,
    show_default=False,
    help="Folder of results, one file per run; `clipbench leaderboard FOLDER` shows it.",
)
@options.option(
    "--ledger",
    "ledgers",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    metavar="PATH",
    envvar=None,
    show_default="none",
    help="Ledger of one of the results; they must agree. Repeatable.",
)
@options.option(
    "--name",
    "names",
    multiple=True,
    metavar="FIELD=NAME",
    envvar=None,
    show_default="the last part of each path",
    help="Name to publish in place of a path, e.g. data.path=crawl. Repeatable.",
)
@options.option(
    "--again",
    is_flag=True,
    envvar=None,
    help="The folder has these runs, which were made again, as on another machine: note in its"
    " results on what that was, and in what the numbers differ.",
)
@options.option(
    "--reported",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.csv",
    envvar=None,
    show_default="none",
    help="Numbers reported by papers; shown below the table, never in it.",
)
@options.json_option
@options.quiet_option
def command(
    *,
    results: tuple[Path, ...],
    folder: Path,
    ledgers: tuple[Path, ...],
    names: tuple[str, ...],
    again: bool,
    reported: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Check results and copy them into a folder of results.

    RESULTS are result files or folders of runs. All are checked before any is written. A result
    that contradicts itself, its ledger, or a result of the same run in the folder is refused;
    whatever cannot be verified is a warning, recorded in the file under `flags`. No number is ever
    replaced: a result of a run that is there may add metrics or its clean control, or is noted as
    the same run made --again. Results hold no paths: data and weights are named by content, and by
    the last part of their path.
    """
    if not results and reported is None:
        raise BadSetting("There is nothing to submit: name result files, or --reported FILE.csv.")
    requests.refuse_unused("results to submit", "ledgers", "names", "again", unless=bool(results))
    requests.refuse_unused("submitting without --again", "ledgers", "names", unless=not again)
    if folder.exists() and not folder.is_dir():
        raise BadSetting(f"{folder} is no folder; name another with --to.")
    from clipbench.custody.record import note_file  # noqa: PLC0415 - brings numpy

    with reporter_for(quiet) as reporter, logged("submit", None):
        chosen = requests.assignments(names, "--name")
        numbers = _checked_reported(reported, folder) if reported else []
        found = _checked(results, folder, ledgers, chosen, again=again) if results else []
        told = _take_in(found, reporter, again=again)
        told += _take_in_reported(numbers, folder)
        for item in told:
            note_file(Path(item["path"]))
    if as_json:
        print_json(told)
    else:
        for item in told:
            print_result(visible(f"{item['done']} {item['path']}"))


class _Taken(TypedDict):
    """What became of a file that was handed in."""

    id: str | None
    path: str
    added: bool
    done: str
    flags: Sequence[str]


def _checked(
    paths: tuple[Path, ...],
    folder: Path,
    ledgers: tuple[Path, ...],
    names: dict[str, str],
    *,
    again: bool,
) -> list[Submission]:
    """Return what may be taken in, all of it checked."""
    from clipbench.poisoning.ledger import read_ledger  # noqa: PLC0415
    from clipbench.results.store import read_all  # noqa: PLC0415
    from clipbench.submit.submission import prepare, prepare_again  # noqa: PLC0415

    if again:
        return prepare_again(read_all(paths), folder)
    return prepare(read_all(paths), folder, [read_ledger(path) for path in ledgers], names)


def _take_in(submissions: Sequence[Submission], reporter: Reporter, *, again: bool) -> list[_Taken]:
    """Take in results and return what became of each."""
    from clipbench.submit.submission import write  # noqa: PLC0415

    told: list[_Taken] = []
    for item in submissions:
        run = item.result.id
        for flag in item.flags:
            reporter.warning(f"{run}: {flag}")
        for note in item.noted:
            numbers = (
                f"other numbers: {listed(note.differs)}" if note.differs else "the same numbers"
            )
            cpu = note.environment.hardware.cpu or "another machine"
            reporter.note(visible(f"{run} was made again on {cpu}, with {numbers}"))
        if item.done != "kept":
            write(item)
        elif again:
            reporter.note(f"{item.path} has that already")
        else:
            reporter.note(f"{item.path} is there already, with the same numbers")
        told.append(_taken(item.path, item.done, run, item.flags))
    return told


def _taken(path: Path, done: str, run: str | None = None, flags: Sequence[str] = ()) -> _Taken:
    added = done == "added"
    return {"id": run, "path": str(path), "added": added, "done": done, "flags": [*flags]}


def _checked_reported(file: Path, folder: Path) -> list[Reported]:
    """Return reported numbers, checked before anything is written."""
    from clipbench.results.reported import prepare_reported, read_csv  # noqa: PLC0415

    rows = list(read_csv(file))
    prepare_reported(rows, folder)
    return rows


def _take_in_reported(rows: Sequence[Reported], folder: Path) -> list[_Taken]:
    """Take in reported numbers and return what became of each."""
    from clipbench.results.reported import write_reported  # noqa: PLC0415

    written = write_reported(rows, folder)
    return [_taken(path, "added" if is_new else "kept") for path, is_new in written]
