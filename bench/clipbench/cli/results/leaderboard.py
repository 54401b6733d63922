"""``clipbench leaderboard``: the table of results, in every format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clipbench.api.board import frame_of, write_tables
from clipbench.api.work import reporter_for
from clipbench.cli import _options as options
from clipbench.cli import _requests as requests
from clipbench.cli._output import print_result, terminal_width
from clipbench.errors import CorruptData
from clipbench.plugins import lists
from clipbench.results.defaults import defaults_of
from clipbench.results.labels import KINDS, Kind

if TYPE_CHECKING:
    import pandas as pd

    from clipbench.results.model import Result
    from clipbench.results.reported import Reported
    from clipbench.system.progress import Reporter

REPORTED_FORMATS = ("text", "markdown")
FORMATS = {"markdown": "to_markdown", "csv": "to_csv", "latex": "to_latex"}
TEXT = "text"
MATRIX = "matrix"
RANKING = "ranking"
SQUARES = (MATRIX, RANKING)  # in which a defense's clean rows stand beside its attacked ones


def _of(kind: str, text: str) -> Callable[[options.F], options.F]:
    """Return an option that chooses rows."""
    return options.option(
        f"--{kind}",
        f"of_{kind}",
        multiple=True,
        metavar="NAME",
        envvar=None,
        show_default="all",
        help=text,
    )


@click.command("leaderboard", cls=options.Command)
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@options.published_option
@options.option(
    "--format",
    "style",
    type=click.Choice([TEXT, *FORMATS, MATRIX, RANKING]),
    default="text",
    help="How to print the table; matrix is a square of attacks and defenses, ranking says what was"
    " found and orders defenses by their worst attack.",
)
@options.option(
    "--cell",
    default="attack_success",
    metavar="METRIC",
    help="With --format matrix: the metric of its cells, e.g. score_auroc.",
)
@options.option(
    "--write",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    envvar=None,
    show_default="nothing",
    help="Also write Markdown, CSV, LaTeX, JSON and plots (PNG and PDF) into this folder.",
)
@options.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.html",
    envvar=None,
    show_default="nothing",
    help="Also write table, charts, triggers and details as one web page that needs no network.",
)
@options.option(
    "--eligible-at",
    type=click.FloatRange(0, 1),
    default=0.5,
    help="Smallest success rate of the undefended attack at which a row is eligible.",
)
@_of("attack", "Only rows of this attack, given as in `clipbench run`. Repeatable.")
@_of("defense", "Only rows of this defense, given as in `clipbench run`. Repeatable.")
@_of("data", "Only rows of this data set, given as in `clipbench run`. Repeatable.")
@_of("model", "Only rows of this model. Repeatable.")
@options.option(
    "--legend/--no-legend",
    default=False,
    help="Also explain the columns below the table.",
)
@options.json_option
@options.quiet_option
def command(
    *,
    paths: tuple[Path, ...],
    published: str | None,
    style: str,
    cell: str,
    write: Path | None,
    html: Path | None,
    eligible_at: float,
    legend: bool,
    as_json: bool,
    quiet: bool,
    **of: tuple[str, ...],
) -> None:
    """Print the leaderboard of results.

    PATHS are files or folders of results, by default the folder runs. Each row is a combination of
    attack, rate, defense, model and data set, aggregated over seeds. Numbers reported by papers
    are in a separate table below.
    """
    requests.refuse_unused("--format matrix", "cell", unless=style == MATRIX)
    from clipbench.leaderboard import export  # noqa: PLC0415
    from clipbench.leaderboard.tables import of_runs  # noqa: PLC0415 - heavy

    with reporter_for(quiet) as reporter:
        board = _read(options.results_at(paths, published), reporter)
        if any(of.values()):
            wanted = {kind: lists.each(of[f"of_{kind}"], f"{kind} names") for kind in KINDS}
            board = _chosen(board, wanted, with_clean=style in SQUARES)
        frame = of_runs(frame_of(board.judged, eligible_at), board.runs)
        if as_json:
            shown = export.results_json(board.results)
        else:  # a matrix refuses some tables, which must come before anything is written
            shown = _text(frame, board, style, cell, eligible_at, legend=legend)
        if write is not None:
            for path in _write(frame, board, write):
                reporter.note(f"wrote {path}")
        if html is not None:
            reporter.note(f"wrote {_page(board, html, eligible_at)}")
    print_result(shown.rstrip("\n"))


@dataclass(frozen=True)
class _Board:
    """What is shown.

    Args:
        results: of the rows that are shown.
        judged: these, and those that they are held against.
        runs: ids of the results that are shown; None: all.
        others: numbers that papers report.
    """

    results: list[Result]
    judged: list[Result]
    runs: frozenset[str] | None
    others: list[Reported]


def _read(places: list[Path], reporter: Reporter) -> _Board:
    """Return all results and reported numbers of some places; what is odd is a warning."""
    from clipbench.results import reported, side_by_side, store  # noqa: PLC0415
    from clipbench.text.visible import visible  # noqa: PLC0415

    def skipped(error: Exception) -> None:
        reporter.warning(str(error))

    told = {place: reported.load_reported([place], skip_damaged=skipped) for place in places}
    others = reported.together(*told.values())
    alone = [place for place, rows in told.items() if rows]  # may have no results beside them
    results = store.load_results(
        places, skip_damaged=skipped, may_lack=alone, warn=reporter.warning
    )
    if not results and not others:
        raise CorruptData("No result that was found can be read; see the warnings above.")
    flags = [(result.id, flag) for result in results for flag in result.flags]
    flagged = [f"result {run}: {visible(flag)}" for run, flag in flags]
    for text in [*flagged, *side_by_side.warnings_of(results)]:
        reporter.warning(text)
    return _Board([*results], [*results], None, [*others])


def _chosen(board: _Board, wanted: Mapping[Kind, Sequence[str]], *, with_clean: bool) -> _Board:
    """Return the part of a board that was asked for; reported numbers by their names alone."""
    from clipbench.leaderboard.choice import choose  # noqa: PLC0415

    found = choose(
        board.results, wanted, defaults=defaults_of(board.results), with_clean=with_clean
    )
    shown = [result for result in found.results if result.id in found.runs]
    others = [
        row
        for row in board.others
        if all(getattr(row, kind) in names for kind, names in wanted.items() if names)
    ]
    return _Board(shown, found.results, found.runs, others)


def _text(
    frame: pd.DataFrame,
    board: _Board,
    style: str,
    cell: str,
    eligible_at: float,
    *,
    legend: bool,
) -> str:
    """Return the table in a style; what papers report stands below it, for people alone."""
    from clipbench.leaderboard import (  # noqa: PLC0415
        matrix,
        render,
        text_table,
    )
    from clipbench.leaderboard.ranking.markdown import to_ranking  # noqa: PLC0415
    from clipbench.results import reported  # noqa: PLC0415

    width = terminal_width()
    if style == RANKING:
        return to_ranking(frame, eligible_at=eligible_at)
    if style == MATRIX:
        return matrix.to_matrix(frame, cell, eligible_at=eligible_at)
    if style == TEXT:
        shown = text_table.to_text(frame, width, legend=legend)
    else:
        shown = str(getattr(render, FORMATS[style])(frame))
    if not board.others or style not in REPORTED_FORMATS:
        return shown
    lines = reported.cells(board.others)
    plain = style == TEXT
    below = text_table.fit(lines, width, names=lines[0]) if plain else render.plain_markdown(lines)
    above = [shown.rstrip("\n"), ""] if board.results else []
    return "\n".join([*above, reported.TITLE, "", below])


def _write(frame: pd.DataFrame, board: _Board, folder: Path) -> Iterator[Path]:
    """Write every table and plot there is, and yield the files."""
    from clipbench.leaderboard import render  # noqa: PLC0415 - heavy
    from clipbench.results import reported  # noqa: PLC0415 - heavy
    from clipbench.results.files import write_atomic  # noqa: PLC0415

    if board.results:
        yield from write_tables(frame, board.results, folder)
    if board.others:
        text = f"{reported.TITLE}\n\n{render.plain_markdown(reported.cells(board.others))}"
        yield write_atomic(folder / "reported.md", text.encode())


def _page(board: _Board, path: Path, eligible_at: float) -> Path:
    """Write the web page and return its path."""
    from clipbench.leaderboard.page.document import write_page  # noqa: PLC0415 - heavy

    return write_page(
        board.judged,
        path,
        eligible_at=eligible_at,
        defaults=defaults_of(board.judged),
        runs=board.runs,
    )
