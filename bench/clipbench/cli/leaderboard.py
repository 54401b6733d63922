"""``clipbench leaderboard``: the table of results, in every format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clipbench.cli import _options as options
from clipbench.cli._leaderboard import defaults_of, frame_of
from clipbench.cli._output import print_result, reporter_for
from clipbench.errors import CorruptData
from clipbench.request import DEFAULT_OUT

if TYPE_CHECKING:
    import pandas as pd

REPORTED_FORMATS = {"text": "plain_text", "markdown": "plain_markdown"}
FORMATS = {"text": "to_text", "markdown": "to_markdown", "csv": "to_csv", "latex": "to_latex"}


@click.command("leaderboard", cls=options.Command)
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@options.option(
    "--format",
    "style",
    type=click.Choice(list(FORMATS)),
    default="text",
    help="How to print the table.",
)
@options.option(
    "--write",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    envvar=None,
    show_default="nothing",
    help="Also write Markdown, CSV, LaTeX, JSON and the plots into this folder.",
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
    style: str,
    write: Path | None,
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
    from clipbench.leaderboard.labels import visible  # noqa: PLC0415

    places = list(paths) or [DEFAULT_OUT]
    with reporter_for(quiet) as reporter:
        results = store.load_results(
            places, skip_damaged=lambda error: reporter.warning(str(error))
        )
        if not results:
            raise CorruptData("No result that was found can be read; see the warnings above.")
        for result in results:
            for flag in result.get("flags", []):
                reporter.warning(f"result {result['id']}: {visible(flag)}")
        frame = frame_of(results, eligible_at)
        others = reported.load_reported(
            places, skip_damaged=lambda error: reporter.warning(str(error))
        )
        if write is not None:
            for path in [*tables.write_all(frame, results, write), *_plot(frame, results, write)]:
                reporter.note(f"wrote {path}")
            if others:
                text = f"{reported.TITLE}\n\n{render.plain_markdown(reported.cells(others))}"
                reporter.note(f"wrote {write_atomic(write / 'reported.md', text.encode())}")
    if as_json:
        print_result(export.results_json(results).rstrip("\n"))
    else:
        print_result(getattr(render, FORMATS[style])(frame).rstrip("\n"))
        if others and style in REPORTED_FORMATS:
            below = getattr(render, REPORTED_FORMATS[style])(reported.cells(others))
            print_result(f"\n{reported.TITLE}\n\n{below}".rstrip("\n"))


def _plot(frame: pd.DataFrame, results: list[dict[str, Any]], folder: Path) -> list[Path]:
    """Draw what there is to draw and return the files."""
    from clipbench.leaderboard import plots  # noqa: PLC0415 - heavy

    trade = plots.plot_success_vs_accuracy(frame, folder / "success_vs_accuracy")
    return [*trade, *plots.plot_history(results, folder / "history", defaults=defaults_of(results))]
