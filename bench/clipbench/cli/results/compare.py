"""``clipbench compare``: two defenses trial by trial, wherever both were run."""

from __future__ import annotations

from pathlib import Path

import click

from clipbench.api.work import reporter_for
from clipbench.cli import _options as options
from clipbench.cli._output import print_json, print_result, terminal_width
from clipbench.errors import BadSetting
from clipbench.plugins import lists
from clipbench.results.defaults import defaults_of
from clipbench.text.words import counted


@click.command("compare", cls=options.Command)
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@options.published_option
@options.option(
    "--defense",
    "sides",
    multiple=True,
    required=True,
    metavar="NAME",
    envvar="CLIPBENCH_COMPARE_DEFENSE",
    help="Defense, as in `clipbench run` or on the leaderboard. Give two: a list with a comma, or"
    " the option twice.",
)
@options.option(
    "--attack",
    "under",
    metavar="NAME",
    envvar="CLIPBENCH_COMPARE_ATTACK",
    show_default="every attack",
    help="Attack under which to compare.",
)
@options.json_option
@options.quiet_option
def command(
    *,
    paths: tuple[Path, ...],
    published: str | None,
    sides: tuple[str, ...],
    under: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Compare two defenses on the same poison and probes.

    PATHS are files or folders of results, by default the folder runs. For each attack, rate, model
    and data set that both defenses have, their common seeds are paired probe by probe.
    """
    from clipbench.compare import pairs as compare  # noqa: PLC0415
    from clipbench.compare import text as compare_text  # noqa: PLC0415
    from clipbench.results import store  # noqa: PLC0415

    sides = lists.each(sides, "defenses")
    if len(sides) != 2:
        given = counted(len(sides), "defense")
        raise BadSetting(f"A comparison is of two defenses: give --defense twice. Got {given}.")
    with reporter_for(quiet) as reporter:
        results = store.load_results(
            options.results_at(paths, published),
            skip_damaged=lambda error: reporter.warning(str(error)),
            warn=reporter.warning,
        )
        compared = compare.compare_defenses(
            results,
            *sides,
            attack=under,
            defaults=defaults_of(results),
            warn=reporter.warning,
        )
    if as_json:
        print_json([item.to_json() for item in compared])
        return
    print_result(compare_text.to_text(compared, terminal_width()).rstrip("\n"))
