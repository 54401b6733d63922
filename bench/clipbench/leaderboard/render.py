"""The leaderboard as Markdown, CSV and LaTeX; the same frame gives the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from clipbench.leaderboard.cells import COMPACT, FULL, MISSING, Cell, named
from clipbench.leaderboard.record import Record, records_of
from clipbench.text.sinks import csv_cell, latex, markdown

STATISTICS = (
    "Success: test images read as the adversary wants, k/n pooled over seeds; interval: 95% "
    "Wilson, of fewer trials and by Student's t where seeds vary more than independent trials "
    "would; with one seed, about that trained model alone. Control: the same images after training "
    "on clean data. Top-1: zero-shot accuracy; "
    "R@1: retrieval image to text / text to image; mean ± sample standard deviation over seeds. "
    "Cost: training time relative to defense none, with all views, scoring and first models. "
    "Passes: pairs that were trained on, over those of the set, whatever their views; trusted "
    "pairs are given for nothing. Eligible: whether the attack succeeds, beyond its control and "
    "chance, under clip, which has the augmentation of all other defenses; where that was not run, "
    "and for clip itself, under none. Other machine: what comes from another kind of machine than "
    "the row. "
    f"{MISSING}: not measured."
)


def to_csv(frame: pd.DataFrame) -> str:
    """Return every column, for programs: fractions in [0, 1], bytes, seconds; missing is empty.

    No text is a formula to a spreadsheet, see `clipbench.text.sinks.csv_cell`; numbers are as they
    are.
    """
    rows = [[csv_cell(value) for value in row] for row in frame.itertuples(index=False)]
    safe = pd.DataFrame(rows, columns=[*map(csv_cell, frame.columns)], dtype=object)
    return str(safe.to_csv(index=False, lineterminator="\n"))


def to_markdown(frame: pd.DataFrame) -> str:
    """Return a Markdown table with every column a reader judges a row by."""
    rows, common, columns = layout(frame, FULL)
    cells = ([markdown(cell(row)) for cell in columns.values()] for row in rows)
    head = [markdown(common), ""] if common else []
    return "\n".join([*head, markdown_table([*columns], cells), "", STATISTICS, ""])


def to_latex(frame: pd.DataFrame) -> str:
    """Return a LaTeX table; it needs the package booktabs."""
    rows, common, columns = layout(frame, COMPACT)
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering\\footnotesize\\setlength{\\tabcolsep}{4pt}",
        f"\\caption{{{latex(f'{common} {STATISTICS}'.strip())}}}",
        "\\label{tab:clipbench-leaderboard}",
        f"\\begin{{tabular}}{{{'l' * len(columns)}}}",
        "\\toprule",
        _latex_line(columns),
        "\\midrule",
        *(_latex_line(cell(row) for cell in columns.values()) for row in rows),
        "\\bottomrule",
        "\\end{tabular}",
        "\\end{table}",
    ]
    return "\n".join([*lines, ""])


def plain_markdown(lines: Sequence[Sequence[str]]) -> str:
    """Return a header and rows as a Markdown table."""
    header, *rows = lines
    return markdown_table(header, ([*map(markdown, row)] for row in rows)) + "\n"


def layout(
    frame: pd.DataFrame, columns: Mapping[str, Cell]
) -> tuple[list[Record], str, dict[str, Cell]]:
    """Return rows, a sentence with what they have in common, and columns for the rest."""
    rows = records_of(frame)
    common, apart = [], {}
    for name in ("model", "data"):
        values = sorted({str(getattr(row, name)) for row in rows})
        if len(values) == 1:
            common.append(f"{name} {values[0]}")
        elif values:
            apart[name] = named(name)
    sentence = ", ".join(common)
    return rows, f"{sentence[:1].upper()}{sentence[1:]}." if common else "", apart | dict(columns)


def markdown_line(cells: Iterable[str]) -> str:
    """Return a line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, whose cells stand as they are; no line feed ends it."""
    return "\n".join(map(markdown_line, (head, ["---"] * len(head), *rows)))


def _latex_line(cells: Iterable[str]) -> str:
    return f"{' & '.join(latex(cell) for cell in cells)} \\\\"
