"""The leaderboard as commands print it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from clipbench.api.board import frame_of
from clipbench.cli._output import print_result, terminal_width
from clipbench.results.model import Result
from clipbench.system.progress import Reporter


def show(results: Iterable[Result], out: Path, reporter: Reporter) -> None:
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
