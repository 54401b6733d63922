"""The leaderboard as commands print it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipbench.cli._output import print_result, terminal_width
from clipbench.results.defaults import defaults_of
from clipbench.system.progress import Reporter

if TYPE_CHECKING:
    import pandas as pd


def frame_of(results: Iterable[Mapping[str, Any]], eligible_at: float = 0.5) -> pd.DataFrame:
    """Return the leaderboard of results; parameters at their defaults are not in the labels.

    Args:
        results: result objects.
        eligible_at: least success of the undefended attack for a row to count, in [0, 1].
    """
    from clipbench.leaderboard.tables import leaderboard  # noqa: PLC0415 - heavy

    results = list(results)
    return leaderboard(results, eligible_at=eligible_at, defaults=defaults_of(results))


def show(results: Iterable[Mapping[str, Any]], out: Path, reporter: Reporter) -> None:
    """Print the leaderboard of results and what they come to, and tell where they are."""
    from clipbench.leaderboard.in_short import in_short  # noqa: PLC0415
    from clipbench.leaderboard.text_table import to_text, wrap  # noqa: PLC0415 - heavy

    results, width = list(results), terminal_width()
    print_result(to_text(frame_of(results), width).rstrip("\n"))
    if told := in_short(results):
        print_result("\n".join(["", *wrap(told, width)]))
    where = shlex.quote(str(out))
    reporter.note(
        f"results in {out}; as a page: clipbench leaderboard {where} --html leaderboard.html;"
        f" what the columns mean: clipbench leaderboard {where} --legend"
    )
