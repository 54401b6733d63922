"""Count, exposures or rate: N50 and slopes of the dose study, from its rows.

    python results/dose/fit.py results/dose/rows --write results/dose

prints three tables and draws ``n50.png`` and ``n50.pdf``. N50 is the number of poisoned pairs (of
one target, or of a backdoor) at which the attack succeeds half of the time. The slopes are those of

    logit P(success) = a + b log2(count) + c log2(pairs) + d log2(epochs)

and each arm identifies some of them, or of their ratios to b:

    decides      all cells: c/b, d/b    equal epochs: c/b    equal samples: (c - d)/b    more: d/b
    count                     0    0                    0                           0           0
    exposures                 0    1                    0                          -1           1
    rate                     -1    0                   -1                          -1           0

for with equal samples log2(epochs) is a constant less log2(pairs): c and d have no values of their
own there. A dash says that an arm does not identify a number. What the 95% intervals are is in
``n50.py`` and ``slopes.py``; how often they hold the true value, ``simulate.py`` measures.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from curves import Cell, Estimate, Trials, arranged
from n50 import LEAST_FREEDOM, Dispersion, half_points
from slopes import SLOPES, slopes

from clipbench.errors import BadInput
from clipbench.files.named_files import named_file, write_picture
from clipbench.leaderboard.charts.looks import PALETTE, Look, looks_of
from clipbench.leaderboard.render import markdown_line
from clipbench.results.store import load_results

TRAINED = 0.9  # of the largest top-1 of an attack and defense, below which a cell is under-trained
# Epochs of a defense's recipe by which another's are told in those of training without a defense.
OWN_EPOCHS = {"safeclip": 9 / 15}
ARMS: Mapping[str, Callable[[Cell], bool]] = {
    "equal epochs": lambda cell: cell.epochs == 9,
    "equal samples": lambda cell: cell.pairs * cell.epochs == 180_000,
    "more epochs": lambda cell: cell.pairs == 20_000,
}


@dataclass
class Data:
    """What the rows of a cell say.

    Args:
        trials: of every run and count.
        top1: zero-shot accuracy of every run, poisoned as it is, on clean test images.
        control: successes and trials of the same probes after training on clean data.
    """

    trials: list[Trials]
    top1: list[float]
    control: list[tuple[int, int]]


def read(results: Iterable[Mapping[str, Any]]) -> dict[Cell, Data]:
    """Return attacked results by cell.

    Args:
        results: the objects that ``result.json`` files hold.
    """
    found: dict[Cell, Data] = defaultdict(lambda: Data([], [], []))
    for result in results:
        attack = result["attack"]
        if not attack["count"]:
            continue
        data = found[_cell(result)]
        metrics = result["metrics"]
        success = metrics["attack_success"]
        if success.get("parts_by") == "dose":
            told = {int(part["name"]): (part["k"], part["n"]) for part in success["parts"]}
        else:
            told = {attack["count"] // attack["targets"]: (success["k"], success["n"])}
        seed = result.get("poison_seed")
        draw = f"{result['seed'] if seed is None else seed} {sorted(told)}"
        data.trials += [Trials(result["id"], draw, count, k, n) for count, (k, n) in told.items()]
        data.top1.append(metrics["zeroshot_top1"]["value"])
        if control := metrics.get("attack_success_control"):
            data.control.append((control["k"], control["n"]))
    return dict(sorted(found.items()))


def _cell(result: Mapping[str, Any]) -> Cell:
    attack, defense = result["attack"], result["defense"]["name"]
    pairs = result["data"]["pairs"]
    train = result["config"]["train"]
    passes = train["epochs"] * (train["pairs_per_epoch"] or pairs) / pairs
    clean = pairs - (attack["count"] if attack["mode"] == "insert" else 0)
    epochs = round(passes * OWN_EPOCHS.get(defense, 1), 3)
    return Cell(attack["name"], defense, clean, epochs)


def under_trained(cells: Mapping[Cell, Data]) -> set[Cell]:
    """Return the cells whose top-1 is far below the best of their attack and defense."""
    found = set()
    for cell in cells:
        beside = [np.mean(cells[c].top1) for c in cells if _side(c) == _side(cell)]
        if np.mean(cells[cell].top1) < TRAINED * max(beside):
            found.add(cell)
    return found


def _side(cell: Cell) -> tuple[str, str]:
    return cell.attack, cell.defense


# ----------------------------------------------------------------------------------------- report


def sides(cells: Mapping[Cell, Data]) -> list[dict[Cell, Data]]:
    """Return the cells of each attack and defense."""
    names = dict.fromkeys(map(_side, cells))
    return [{cell: cells[cell] for cell in cells if _side(cell) == name} for name in names]


def shown(estimate: Estimate, counts: Sequence[int]) -> str:
    """Return N50 for people: beyond the counts that were tried, only on which side it lies."""
    low, high = min(counts), max(counts)

    def told(value: float) -> str:
        if math.isnan(value):
            return "—"
        return f"< {low}" if value < low else f"> {high}" if value > high else f"{value:.1f}"

    best, *ends = (told(value) for value in (estimate.value, estimate.low, estimate.high))
    if "—" in ends:
        return f"{best} [—]" if 0 < estimate.value < math.inf else best
    return best if set(ends) == {best} else f"{best} [{', '.join(ends)}]"


def table_of_cells(cells: Mapping[Cell, Data], found: Mapping[Cell, Estimate]) -> list[str]:
    """Return the lines of a Markdown table with a row per cell."""
    head = "attack | defense | pairs | epochs | runs | top-1 % | control | N50 | success"
    lines = _opened(head)
    weak = under_trained(cells)
    for cell, data in cells.items():
        counts = sorted({one.count for one in data.trials})
        k, n = (sum(one[part] for one in data.control) for part in (0, 1))
        curve = ", ".join(f"{count}: {100 * _pooled(data, count):.0f}%" for count in counts)
        top1 = f"{100 * np.mean(data.top1):.1f}{' (under-trained)' if cell in weak else ''}"
        runs = len({one.run for one in data.trials})
        parts = [cell.attack, cell.defense, f"{cell.pairs:,}", f"{cell.epochs:g}", runs, top1]
        parts += [f"{k}/{n}" if n else "—", shown(found[cell], counts), curve]
        lines.append(markdown_line(map(str, parts)))
    return lines


def _pooled(data: Data, count: int) -> float:
    those = [one for one in data.trials if one.count == count]
    return sum(one.successes for one in those) / sum(one.trials for one in those)


def _opened(head: str) -> list[str]:
    return [f"| {head} |", f"|{' --- |' * (head.count('|') + 1)}"]


def table_of_slopes(cells: Mapping[Cell, Data]) -> list[str]:
    """Return the lines of a Markdown table of slopes: of all trained cells, and of each arm."""
    lines = _opened(" | ".join(("attack", "defense", "cells", "draws", *SLOPES)))
    weak = under_trained(cells)
    for side in sides(cells):
        trained = {cell: data for cell, data in side.items() if cell not in weak}
        chosen = {"trained": trained, "all": side}
        chosen |= {
            arm: {cell: data for cell, data in trained.items() if holds(cell)}
            for arm, holds in ARMS.items()
        }
        for name, own in chosen.items():
            if len(own) < 2 or (name == "all" and own == trained):
                continue
            draws = {one.draw for data in own.values() for one in data.trials}
            found = slopes(arranged({cell: data.trials for cell, data in own.items()}))
            row = [*_side(next(iter(own))), f"{name} ({len(own)})", len(draws), *found.values()]
            lines.append(markdown_line(map(str, row)))
    return lines


def table_of_dispersion(found: Mapping[tuple[str, str], Dispersion]) -> list[str]:
    """Return the lines of a Markdown table of what the intervals of N50 rest on."""
    lines = _opened("attack | defense | correlation within a run | degrees of freedom")
    for side, one in found.items():
        correlation = f"{one.correlation:.2f}" if one.freedom >= LEAST_FREEDOM else "—"
        lines.append(markdown_line((*side, correlation, f"{one.freedom:.1f}")))
    return lines


def report(cells: Mapping[Cell, Data]) -> tuple[str, dict[Cell, Estimate]]:
    """Return the tables as Markdown, and N50 of every cell."""
    found: dict[Cell, Estimate] = {}
    dispersion = {}
    for side in sides(cells):
        points, one = half_points(arranged({cell: data.trials for cell, data in side.items()}))
        found |= points
        dispersion[_side(next(iter(side)))] = one
    tables = (
        *(table_of_cells(cells, found), table_of_dispersion(dispersion)),
        table_of_slopes(cells),
    )
    return "\n\n".join("\n".join(lines) for lines in tables) + "\n", found


def draw(cells: Mapping[Cell, Data], found: Mapping[Cell, Estimate], folder: Path) -> None:
    """Draw N50 against the size of the set: a panel per attack, a line per arm and defense."""
    import matplotlib as mpl  # noqa: PLC0415 - the tables do without

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    attacks = list(dict.fromkeys(cell.attack for cell in cells))
    looks = looks_of({cell.defense for cell in cells})
    weak = under_trained(cells)
    figure, axes = plt.subplots(1, len(attacks), figsize=(5 * len(attacks), 4), squeeze=False)
    for axis, attack in zip(axes[0], attacks, strict=True):
        for arm, style in (("equal epochs", "-"), ("equal samples", "--")):
            for defense, look in looks.items():
                line = [
                    cell
                    for cell in cells
                    if (cell.attack, cell.defense) == (attack, defense) and ARMS[arm](cell)
                ]
                _draw_line(axis, line, cells, found, weak, (look, style, f"{defense}, {arm}"))
        axis.set(xscale="log", yscale="log", xlabel="clean pairs", ylabel="N50", title=attack)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=7)
    figure.tight_layout()
    for end in ("png", "pdf"):
        write_picture(figure, folder / f"n50.{end}", dpi=150)
    plt.close(figure)


def _draw_line(
    axis: Any,
    line: Sequence[Cell],
    cells: Mapping[Cell, Data],
    found: Mapping[Cell, Estimate],
    weak: set[Cell],
    told: tuple[Look, str, str],
) -> None:
    """Draw the cells of a line; what lies beyond the counts that were tried is an arrow."""
    look, style, label = told
    color, inside = PALETTE[look.color], []
    for cell in line:
        counts = [one.count for one in cells[cell].trials]
        low, high, best = min(counts), max(counts), found[cell]
        if math.isnan(best.value):
            continue
        ends = np.clip([best.low, best.high], low, high)
        axis.plot([cell.pairs] * 2, ends, color=color, linewidth=1)
        if not low <= best.value <= high:
            edge, marker = (low, "v") if best.value < low else (high, "^")
            axis.plot(cell.pairs, edge, marker, color=color, fillstyle="none")
            continue
        inside.append(cell)
        fill = "none" if cell in weak else "full"
        axis.plot(cell.pairs, best.value, look.shape.marker, color=color, fillstyle=fill)
    places = [cell.pairs for cell in inside], [found[cell].value for cell in inside]
    axis.plot(*places, style, color=color, label=label if line else None)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables of rows, and write them and the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rows", type=Path, nargs="+", help="folders of rows")
    parser.add_argument("--write", type=Path, help="folder for fit.md, n50.png and n50.pdf")
    options = parser.parse_args(arguments)
    if options.write is not None and not options.write.is_dir():
        parser.error(f"There is no folder {options.write} to write into.")
    try:
        cells = read(result.record for result in load_results(options.rows))
    except BadInput as error:
        parser.error(str(error))
    if not cells:
        parser.error("No row is of an attack.")
    text, found = report(cells)
    print(text)
    if options.write is not None:
        with named_file(options.write / "fit.md") as file:
            file.write(text.encode())
        draw(cells, found, options.write)


if __name__ == "__main__":
    main()
