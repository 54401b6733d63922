"""The leaderboard of results, as ``clipbench leaderboard`` prints and writes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from clipbench.api.results import RunResult, Where, load_results
from clipbench.results.defaults import defaults_of
from clipbench.results.result import checked

if TYPE_CHECKING:
    import pandas as pd

    from clipbench.results.model import Result

FIGURES = ("png", "pdf")  # for pages and for papers


def frame_of(results: Iterable[Result], eligible_at: float = 0.5) -> pd.DataFrame:
    """Return the leaderboard of results; parameters at their defaults are not in the labels.

    Args:
        results: result objects.
        eligible_at: least success of the undefended attack for a row to count, in [0, 1].
    """
    from clipbench.leaderboard.tables import leaderboard as table  # noqa: PLC0415 - heavy

    results = list(results)
    return table(results, eligible_at=eligible_at, defaults=defaults_of(results))


def write_tables(frame: pd.DataFrame, results: list[Result], folder: Path) -> Iterator[Path]:
    """Write every table and plot of results, and yield the files."""
    from clipbench.leaderboard import tables  # noqa: PLC0415 - heavy
    from clipbench.leaderboard.charts import plots  # noqa: PLC0415

    yield from tables.write_all(frame, results, folder)
    name, defaults = "success_vs_accuracy", defaults_of(results)
    yield from plots.plot_success_vs_accuracy(frame, folder / name, FIGURES)
    yield from plots.plot_success_vs_rate(frame, folder / "success_vs_rate", FIGURES)
    yield from plots.plot_history(results, folder / "history", FIGURES, defaults=defaults)


@dataclass(frozen=True, repr=False)
class Leaderboard:
    """A row for each combination of attack, rate, defense, model and data; seeds aggregated.

    Printed it is the table of the command; a notebook shows it as a table, too.

    Args:
        results: the result objects that it rests on.
        eligible_at: least success of the undefended attack for a row to count, in [0, 1].
    """

    results: list[Result]
    eligible_at: float = 0.5

    @cached_property
    def frame(self) -> pd.DataFrame:
        """All columns, as `clipbench.leaderboard.tables.leaderboard` describes them."""
        return frame_of(self.results, self.eligible_at)

    def __str__(self) -> str:
        from clipbench.leaderboard.text_table import to_text  # noqa: PLC0415 - heavy

        return to_text(self.frame).rstrip("\n")

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """Return the table for a notebook."""
        from clipbench.leaderboard.cells import COMPACT  # noqa: PLC0415 - heavy
        from clipbench.leaderboard.render import layout  # noqa: PLC0415
        from clipbench.text.sinks import html  # noqa: PLC0415

        rows, common, columns = layout(self.frame, COMPACT)
        head = "".join(f"<th>{html(name)}</th>" for name in columns)
        body = "".join(
            f"<tr>{''.join(f'<td>{html(cell(row))}</td>' for cell in columns.values())}</tr>"
            for row in rows
        )
        return f"<p>{html(common)}</p><table><tr>{head}</tr>{body}</table>"

    def to_markdown(self) -> str:
        """Return a Markdown table."""
        from clipbench.leaderboard.render import to_markdown  # noqa: PLC0415 - heavy

        return to_markdown(self.frame)

    def to_latex(self) -> str:
        """Return a LaTeX table; it needs the package booktabs."""
        from clipbench.leaderboard.render import to_latex  # noqa: PLC0415 - heavy

        return to_latex(self.frame)

    def to_csv(self) -> str:
        """Return every column, for programs."""
        from clipbench.leaderboard.render import to_csv  # noqa: PLC0415 - heavy

        return to_csv(self.frame)

    def to_matrix(self, cell: str = "attack_success") -> str:
        """Return attacks against defenses as Markdown.

        Args:
            cell: the metric of the cells.
        """
        from clipbench.leaderboard.matrix import to_matrix  # noqa: PLC0415 - heavy

        return to_matrix(self.frame, cell, eligible_at=self.eligible_at)

    def to_ranking(self) -> str:
        """Return the defenses ranked by their worst attack, as Markdown."""
        from clipbench.leaderboard.ranking.markdown import to_ranking  # noqa: PLC0415 - heavy

        return to_ranking(self.frame, eligible_at=self.eligible_at)

    def write(self, folder: str | Path) -> list[Path]:
        """Write Markdown, CSV, LaTeX, JSON and the plots, and return the paths."""
        return [*write_tables(self.frame, self.results, Path(folder))]

    def write_page(self, path: str | Path) -> Path:
        """Write the web page, which needs no network, and return its path."""
        from clipbench.leaderboard.page.document import write_page  # noqa: PLC0415 - heavy

        defaults = defaults_of(self.results)
        return write_page(self.results, Path(path), eligible_at=self.eligible_at, defaults=defaults)


def leaderboard(
    results: Where | Iterable[RunResult | Mapping[str, object]] | None = None,
    *,
    published: str | None = None,
    eligible_at: float = 0.5,
) -> Leaderboard:
    """Return the leaderboard of results.

    Args:
        results: results, or files and folders that hold some; None: the folder ``runs``, unless
            published results are asked for.
        published: results that come with clipbench, of the grid ``shapes`` or ``rates``.
        eligible_at: least success of the undefended attack for a row to count, in [0, 1].

    Raises:
        MissingData: a path does not exist, or a folder holds no result.
        CorruptData: one of them is no result.
    """
    items: list[str | Path | RunResult | Mapping[str, object]] = []
    if results is not None:
        items = [results] if isinstance(results, (str, Path)) else [*results]
    places = [item for item in items if isinstance(item, (str, Path))]
    found = [item for item in items if isinstance(item, RunResult)]
    records = [item for item in items if isinstance(item, Mapping)]
    if places or published is not None or not items:
        found += load_results(places or None, published=published)
    typed = [item.result for item in found if item.result is not None]
    return Leaderboard([*typed, *map(checked, records)], eligible_at)
