"""How scores and success move with captions that do not fit: the rows of the noise study in short.

    python results/noise/table.py results/noise/rows

prints a Markdown table with a row per attack, defense and kind of captions: success with its 95%
interval, control, AUROC of the defense's scores, poison kept, and zero-shot top-1, which is that of
the poisoned model on clean test images. Pairs whose captions were swapped are clean: a score that
suspects them has a lower AUROC for it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clipbench.leaderboard.render import markdown_line
from clipbench.leaderboard.tables import leaderboard
from clipbench.results.model import Result
from clipbench.results.store import load_results

HEAD = (
    *("attack", "defense", "noise", "detail", "seeds", "success [95%]", "control"),
    *("AUROC", "poison kept", "top-1 %"),
)
MISSING = "—"


def captions_of(result: Result) -> tuple[float, float]:
    """Return the shares of captions that are swapped, and that do not name the class."""
    told: Mapping[str, Any] = result.data.parameters
    return told.get("caption_noise", 0.0), told.get("caption_detail", 0.0)


def table(results: Iterable[Result]) -> str:
    """Return the table of attacked results."""
    results = [result for result in results if result.attack.count]
    captions = {result.id: captions_of(result) for result in results}
    rows: list[Any] = leaderboard(results).to_dict("records")
    told = [(row, captions[row["runs"].split()[0]]) for row in rows]
    told.sort(key=lambda item: (item[0]["attack_name"], item[0]["defense_name"], *item[1][::-1]))
    lines = [markdown_line(HEAD), markdown_line("---" for _ in HEAD)]
    return "\n".join([*lines, *(markdown_line(_cells(row, *shares)) for row, shares in told), ""])


def _cells(row: Mapping[str, Any], noise: float, detail: float) -> list[str]:
    bounds = f"[{100 * row['attack_success_low']:.1f}, {100 * row['attack_success_high']:.1f}]"
    return [
        row["attack_name"],
        row["defense_name"],
        f"{noise:g}",
        f"{detail:g}",
        str(row["seeds"]),
        f"{_share(row, 'attack_success')} {bounds}",
        _share(row, "attack_success_control"),
        f"{row['score_auroc_mean']:.3f}" if row["score_auroc_seeds"] else MISSING,
        _share(row, "poison_kept"),
        f"{100 * row['zeroshot_top1_mean']:.1f}",
    ]


def _share(row: Mapping[str, Any], name: str) -> str:
    if not row[f"{name}_seeds"]:
        return MISSING
    return f"{row[f'{name}_k']:.0f}/{row[f'{name}_n']:.0f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rows", type=Path, nargs="+", help="folders of rows")
    print(table(load_results(parser.parse_args(arguments).rows)))


if __name__ == "__main__":
    main()
