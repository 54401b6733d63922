"""How scores and success move with captions that do not fit: the rows of the noise study in short.

    python results/noise/table.py results/noise/rows

prints two Markdown tables. The first has a row per attack, training and kind of captions: success
with its 95% interval, control, AUROC of the defense's scores, poison kept, and zero-shot top-1,
which is that of the poisoned model on clean test images. Pairs whose captions were swapped are
clean: a score that suspects them has a lower AUROC for it. The second has top-1 after training
without poison: the mean over seeds, with the lowest and the highest.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from clipbench.leaderboard.render import markdown_table
from clipbench.leaderboard.tables import leaderboard
from clipbench.results.model import Result
from clipbench.results.store import load_results

HEAD = (
    *("attack", "defense", "epochs", "noise", "detail", "seeds", "success [95%]", "control"),
    *("AUROC", "poison kept", "top-1 %"),
)
CLEAN = ("defense", "epochs", "noise", "detail", "seeds", "top-1 %")
MISSING = "—"


def captions_of(result: Result) -> tuple[float, float]:
    """Return the shares of captions that are swapped, and that do not name the class."""
    told: Mapping[str, Any] = result.data.parameters
    return told.get("caption_noise", 0.0), told.get("caption_detail", 0.0)


def tables(results: Iterable[Result]) -> str:
    """Return both tables."""
    of_run = {result.id: result for result in results}
    rows: list[Any] = leaderboard(of_run.values()).to_dict("records")
    told = [(row, [of_run[run] for run in row["runs"].split()]) for row in rows]
    told.sort(key=lambda item: _place(*item))
    attacked = [_cells(*item) for item in told if item[0]["attack_name"] != "none"]
    clean = [_accuracy(*item) for item in told if item[0]["attack_name"] == "none"]
    return f"{markdown_table(HEAD, attacked)}\n\n{markdown_table(CLEAN, clean)}\n"


def _place(row: Mapping[str, Any], runs: Sequence[Result]) -> tuple[str | float, ...]:
    noise, detail = captions_of(runs[0])
    training = row["defense_name"], float(row["epochs"]), _defense(row)
    return row["attack_name"], *training, detail, noise


def _cells(row: Mapping[str, Any], runs: Sequence[Result]) -> list[str]:
    bounds = f"[{100 * row['attack_success_low']:.1f}, {100 * row['attack_success_high']:.1f}]"
    return [
        row["attack_name"],
        *(_defense(row), str(row["epochs"])),
        *(f"{share:g}" for share in captions_of(runs[0])),
        str(row["seeds"]),
        f"{_share(row, 'attack_success')} {bounds}",
        _share(row, "attack_success_control"),
        f"{row['score_auroc_mean']:.3f}" if row["score_auroc_seeds"] else MISSING,
        _share(row, "poison_kept"),
        f"{100 * row['zeroshot_top1_mean']:.1f}",
    ]


def _defense(row: Mapping[str, Any]) -> str:
    """Return what a defense is called, but for its epochs, which have a column."""
    epochs = f"epochs={row['epochs']}"
    return str(row["defense"]).removesuffix(f" ({epochs})").replace(f"({epochs}, ", "(")


def _accuracy(row: Mapping[str, Any], runs: Sequence[Result]) -> list[str]:
    values = [
        100 * top1 for run in runs if (top1 := run.metrics["zeroshot_top1"].value) is not None
    ]
    spread = f" ({min(values):.1f} to {max(values):.1f})" if len(values) > 1 else ""
    return [
        *(_defense(row), str(row["epochs"])),
        *(f"{share:g}" for share in captions_of(runs[0])),
        *(str(row["seeds"]), f"{mean(values):.1f}{spread}"),
    ]


def _share(row: Mapping[str, Any], name: str) -> str:
    if not row[f"{name}_seeds"]:
        return MISSING
    return f"{row[f'{name}_k']:.0f}/{row[f'{name}_n']:.0f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rows", type=Path, nargs="+", help="folders of rows")
    print(tables(load_results(parser.parse_args(arguments).rows)), end="")


if __name__ == "__main__":
    main()
