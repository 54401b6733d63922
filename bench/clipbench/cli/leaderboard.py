"""``clipbench leaderboard``: the table of results, in every format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clipbench.cli import _options as options
from clipbench.cli._leaderboard import frame_of
from clipbench.cli._output import print_result, reporter_for
from clipbench.errors import CorruptData
from clipbench.leaderboard.defaults import defaults_of

if TYPE_CHECKING:
    import pandas as pd

REPORTED_FORMATS = {"text": "plain_text", "markdown": "plain_markdown"}
FORMATS = {"text": "to_text", "markdown": "to_markdown", "csv": "to_csv", "latex": "to_latex"}
MATRIX = "matrix"
FIGURES = ("png", "pdf")  # for pages and for papers


@click.command("leaderboard", cls=options.Command)
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@options.published_option
@options.option(
    "--format",
    "style",
    type=click.Choice([*FORMATS, MATRIX]),
    default="text",
    help="How to print the table; matrix is a square of attacks and defences.",
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
    help="Also write Markdown, CSV, LaTeX, JSON and the plots (PNG and PDF) into this folder.",
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
    help="Least success of the undefended attack for a row to count as defended.",
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
    as_json: bool,
    quiet: bool,
) -> None:
    """Print the leaderboard of results.

    PATHS are files or folders of results, by default the folder runs. A row is a combination of
    attack, rate, defence, model and data; its seeds are put together. Numbers that papers report
    stand in a table of their own below.
    """
    from clipbench.leaderboard import export, render, reported, store, tables  # noqa: PLC0415
    from clipbench.leaderboard.files import write_atomic  # noqa: PLC0415
    from clipbench.leaderboard.poison_sets import different_sets  # noqa: PLC0415
    from clipbench.visible import visible  # noqa: PLC0415

    places = options.results_at(paths, published)
    with reporter_for(quiet) as reporter:

        def skipped(error: Exception) -> None:
            reporter.warning(str(error))

        told = {place: reported.load_reported([place], skip_damaged=skipped) for place in places}
        others = reported.together(*told.values())
        alone = [place for place, rows in told.items() if rows]  # may have no results beside them
        results = store.load_results(places, skip_damaged=skipped, may_lack=alone)
        if not results and not others:
            raise CorruptData("No result that was found can be read; see the warnings above.")
        flags = [(result["id"], flag) for result in results for flag in result.get("flags", [])]
        flagged = [f"result {run}: {visible(flag)}" for run, flag in flags]
        for text in [*flagged, *different_sets(results)]:
            reporter.warning(text)
        frame = frame_of(results, eligible_at)
        if as_json:
            shown = export.results_json(results)
        elif style == MATRIX:  # refuses some tables, which must come before anything is written
            from clipbench.leaderboard.matrix import to_matrix  # noqa: PLC0415 - heavy

            shown = to_matrix(frame, cell, eligible_at=eligible_at)
        else:
            shown = getattr(render, FORMATS[style])(frame)
            if others and style in REPORTED_FORMATS:
                below = getattr(render, REPORTED_FORMATS[style])(reported.cells(others))
                above = [shown.rstrip("\n"), ""] if results else []
                shown = "\n".join([*above, reported.TITLE, "", below])
        if write is not None:
            if results:
                made = [*tables.write_all(frame, results, write), *_plot(frame, results, write)]
                for path in made:
                    reporter.note(f"wrote {path}")
            if others:
                text = f"{reported.TITLE}\n\n{render.plain_markdown(reported.cells(others))}"
                reporter.note(f"wrote {write_atomic(write / 'reported.md', text.encode())}")
        if html is not None:
            reporter.note(f"wrote {_page(results, html, eligible_at)}")
    print_result(shown.rstrip("\n"))


def _plot(frame: pd.DataFrame, results: list[dict[str, Any]], folder: Path) -> list[Path]:
    """Draw what there is to draw and return the files."""
    from clipbench.leaderboard import plots  # noqa: PLC0415 - heavy

    name, defaults = "success_vs_accuracy", defaults_of(results)
    return [
        *plots.plot_success_vs_accuracy(frame, folder / name, FIGURES),
        *plots.plot_success_vs_rate(frame, folder / "success_vs_rate", FIGURES),
        *plots.plot_history(results, folder / "history", FIGURES, defaults=defaults),
    ]


def _page(results: list[dict[str, Any]], path: Path, eligible_at: float) -> Path:
    """Write the web page and return its path."""
    from clipbench.leaderboard.page.document import write_page  # noqa: PLC0415 - heavy

    return write_page(results, path, eligible_at=eligible_at, defaults=defaults_of(results))
