"""Count, exposures or rate: N50 and slopes of the dose study, from its rows.

    python results/dose/fit.py results/dose/rows --write results/dose

prints four tables and draws ``n50.png`` and ``n50.pdf``. N50 is the number of poisoned pairs (of
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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from curves import ARMS, Arm, Cell, Estimate, Trials, arranged, draw_of
from figure import Point, draw
from n50 import LEAST_FREEDOM, Dispersion, half_points
from slopes import SLOPES, slopes

from clipbench.errors import BadInput
from clipbench.files.named_files import named_file
from clipbench.leaderboard.render import markdown_line
from clipbench.results.store import load_results

LARGEST = 1_000_000  # pairs, of cells of one run, without which slopes are told, too
BELOW = "trained, below a million"
TRAINED = 0.9  # of the largest top-1 of a defense, below which a cell is under-trained
# Epochs of a defense's recipe by which another's are told in those of training without a defense.
OWN_EPOCHS = {"safeclip": 9 / 15}


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
        dosed = success.get("parts_by") == "dose"
        if dosed:
            told = {int(part["name"]): (part["k"], part["n"]) for part in success["parts"]}
        else:
            told = {attack["count"] // attack["targets"]: (success["k"], success["n"])}
        seed = result.get("poison_seed")
        draw = draw_of(result["seed"] if seed is None else seed, told, dosed)
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
    """Return the cells whose top-1 is far below the best of their defense, of all attacks."""
    found = set()
    for cell in cells:
        beside = [np.mean(cells[c].top1) for c in cells if c.defense == cell.defense]
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
        most = {cell: data for cell, data in trained.items() if cell.pairs < LARGEST}
        chosen = {"trained": trained, "all": side, BELOW: most}
        chosen |= {
            name: {cell: data for cell, data in trained.items() if arm.holds(cell)}
            for name, arm in ARMS.items()
        }
        for name, own in chosen.items():
            if len(own) < 2 or (name in {"all", BELOW} and own == trained):
                continue
            draws = {one.draw for data in own.values() for one in data.trials}
            found = slopes(arranged({cell: data.trials for cell, data in own.items()}))
            row = [*_side(next(iter(own))), f"{name} ({len(own)})", len(draws), *found.values()]
            lines.append(markdown_line(map(str, row)))
    return lines


def table_of_steps(cells: Mapping[Cell, Data]) -> list[str]:
    """Return the lines of a Markdown table of each arm's ratio between neighbors.

    In a world as the model has it they are equal but for chance: it says whether N50 goes with a
    power of pairs and of epochs.
    """
    lines = _opened("attack | defense | arm | of | between neighbors")
    weak = under_trained(cells)
    for side in sides(cells):
        for name, arm in ARMS.items():
            own = sorted(filter(arm.holds, side), key=arm.place)
            steps = [
                f"{_place(arm, one, weak)} to {_place(arm, two, weak)}: {found[arm.ratio]}"
                for one, two in pairwise(own)
                for found in [slopes(arranged({cell: side[cell].trials for cell in (one, two)}))]
            ]
            if steps:
                row = [*_side(own[0]), name, arm.ratio, "; ".join(steps)]
                lines.append(markdown_line(row))
    return lines


def _place(arm: Arm, cell: Cell, weak: set[Cell]) -> str:
    return f"{arm.place(cell):,.10g}{' (under-trained)' if cell in weak else ''}"


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
        *(table_of_slopes(cells), table_of_steps(cells)),
    )
    return "\n\n".join("\n".join(lines) for lines in tables) + "\n", found


def points(cells: Mapping[Cell, Data], found: Mapping[Cell, Estimate]) -> dict[Cell, Point]:
    """Return what the figure shows of each cell."""
    weak = under_trained(cells)
    counts = {cell: [one.count for one in data.trials] for cell, data in cells.items()}
    return {
        cell: Point(found[cell], min(tried), max(tried), cell in weak)
        for cell, tried in counts.items()
    }


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
        draw(points(cells, found), options.write)


if __name__ == "__main__":
    main()
