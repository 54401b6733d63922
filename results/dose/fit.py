"""Count, exposures or rate: N50 and slopes of the dose study, from its rows.

    python results/dose/fit.py results/dose/rows --write results/dose

prints two tables and draws ``n50.png`` and ``n50.pdf``. N50 is the number of poisoned pairs (of one
target, or of a backdoor) at which the attack succeeds half of the time. The slopes are those of

    logit P(success) = a + b log2(count) + c log2(pairs) + d log2(epochs)

If the count decides, c = d = 0; if exposures do, count times epochs, c = 0 and d = b; if the rate
does, c = -b and d = 0. So c/b and d/b are printed, too. Intervals (95%) are of a bootstrap over
training runs within cells; of a cell of one run, over its targets. Of a backdoor the share of test
images counts as `MOST` trials, for all of them are read by one model.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from clipbench.leaderboard.charts.looks import PALETTE, Look, looks_of
from clipbench.leaderboard.render import markdown_line
from clipbench.results.store import load_results

MOST = 20  # trials that the probes of one run count as, where they are more and share a trigger
TRAINED = 0.9  # of the largest clean top-1 of a defense, below which a cell is under-trained
# Epochs of a defense's recipe by which another's are told in those of training without a defense.
OWN_EPOCHS = {"safeclip": 9 / 15}
REPLICATES = 400
WEAK = 1e4  # inverse strength of the ridge that keeps slopes of perfectly separated cells finite
ARMS: Mapping[str, Callable[[Cell], bool]] = {
    "equal epochs": lambda cell: cell.epochs == 9,
    "equal samples": lambda cell: cell.pairs * cell.epochs == 180_000,
    "more epochs": lambda cell: cell.pairs == 20_000,
}
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, order=True)
class Cell:
    """What runs of a cell share: attack, defense, clean pairs, and epochs without a defense."""

    attack: str
    defense: str
    pairs: int
    epochs: float


@dataclass(frozen=True)
class Trials:
    """Successes of one run at one count.

    Args:
        run: the run.
        count: poisoned pairs of one target, or of the backdoor.
        successes: k, which may be a part of one where probes count as fewer trials.
        trials: n.
    """

    run: str
    count: int
    successes: float
    trials: float


@dataclass
class Data:
    """What the rows of a cell say.

    Args:
        trials: of every run and count.
        top1: clean accuracy of every run.
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
        parts = success.get("parts") if success.get("parts_by") == "dose" else None
        if parts:
            data.trials += [
                Trials(result["id"], int(part["name"]), part["k"], part["n"]) for part in parts
            ]
        else:
            n = min(success["n"], MOST)
            each = attack["count"] // attack["targets"]
            data.trials.append(Trials(result["id"], each, success["value"] * n, n))
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
    """Return the cells whose clean accuracy is far below the best of their attack and defense."""
    found = set()
    for cell in cells:
        beside = [np.mean(cells[c].top1) for c in cells if _side(c) == _side(cell)]
        if np.mean(cells[cell].top1) < TRAINED * max(beside):
            found.add(cell)
    return found


def _side(cell: Cell) -> tuple[str, str]:
    return cell.attack, cell.defense


# ------------------------------------------------------------------------------------------- fits

Counted = Mapping[tuple[Cell, int], tuple[float, float]]  # successes and trials by cell and count


def pooled(cells: Mapping[Cell, Sequence[Trials]]) -> Counted:
    """Return the successes and trials of all runs of each cell, by count."""
    found: dict[tuple[Cell, int], tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for cell, several in cells.items():
        for one in several:
            k, n = found[cell, one.count]
            found[cell, one.count] = (k + one.successes, n + one.trials)
    return found


def resampled(cells: Mapping[Cell, Data], rng: np.random.Generator) -> dict[Cell, list[Trials]]:
    """Return the cells with runs drawn again with replacement; of a single run, its trials."""
    drawn: dict[Cell, list[Trials]] = {}
    for cell, data in cells.items():
        by_run: dict[str, list[Trials]] = defaultdict(list)
        for one in data.trials:
            by_run[one.run].append(one)
        alike = defaultdict(list)  # a backdoor has runs for each count, which stay apart
        for own in by_run.values():
            alike[tuple(one.count for one in own)].append(own)
        drawn[cell] = []
        for several in alike.values():
            if len(several) == 1:
                drawn[cell] += [_redrawn(one, rng) for one in several[0]]
                continue
            for number in rng.integers(len(several), size=len(several)):
                drawn[cell] += several[number]
    return drawn


def _redrawn(one: Trials, rng: np.random.Generator) -> Trials:
    n = round(one.trials)
    return replace(one, successes=float(rng.binomial(n, one.successes / one.trials)), trials=n)


def logistic(design: Floats, successes: Floats, trials: Floats) -> Floats:
    """Return the coefficients ``(p,)`` of a logistic regression without an intercept of its own."""
    both = np.concatenate([design, design])
    outcome = np.repeat([1, 0], len(design))
    weight = np.concatenate([successes, trials - successes])
    held = weight > 0
    if len({*outcome[held].tolist()}) < 2:  # nothing, or everything, succeeded
        return np.full(design.shape[1], np.nan)
    model = LogisticRegression(C=WEAK, fit_intercept=False, max_iter=2_000, tol=1e-6)
    model.fit(both[held], outcome[held], sample_weight=weight[held])
    found: Floats = model.coef_[0]
    return found


def half_points(counted: Counted) -> dict[Cell, float]:
    """Return N50 of each cell; all have one slope in the logarithm of the count."""
    cells = sorted({cell for cell, _ in counted})
    keys = list(counted)
    successes, trials = _outcomes(counted)
    if successes.sum() in (0, trials.sum()):  # nothing succeeded, or everything
        return dict.fromkeys(cells, np.inf if not successes.sum() else 0.0)
    design = np.zeros((len(keys), 1 + len(cells)))
    for row, (cell, count) in enumerate(keys):
        design[row, 0] = np.log2(count)
        design[row, 1 + cells.index(cell)] = 1
    slope, *levels = logistic(design, successes, trials).tolist()
    with np.errstate(over="ignore"):
        return {c: float(np.exp2(-a / slope)) for c, a in zip(cells, levels, strict=True)}


def slopes(counted: Counted) -> Floats:
    """Return b, c and d; NaN of what does not vary."""
    keys = list(counted)
    raw = np.log2([[count, cell.pairs, cell.epochs] for cell, count in keys])
    varies = np.ptp(raw, axis=0) > 0
    centered = raw - raw.mean(axis=0)
    design = np.column_stack([np.ones(len(keys)), centered[:, varies]])
    found = np.full(3, np.nan)
    if np.linalg.matrix_rank(design) == design.shape[1]:
        found[varies] = logistic(design, *_outcomes(counted))[1:]
    return found


def _outcomes(counted: Counted) -> tuple[Floats, Floats]:
    successes, trials = np.array(list(counted.values())).T
    return successes, trials


def interval(values: Iterable[float]) -> tuple[float, float]:
    """Return the middle 95% of replicates; of none that is a number, the whole line."""
    numbers = np.array(list(values))
    numbers = numbers[~np.isnan(numbers)]
    if not len(numbers):
        return -np.inf, np.inf
    low, high = np.quantile(numbers, [0.025, 0.975], method="nearest")
    return float(low), float(high)


@dataclass(frozen=True)
class Estimate:
    """A number with its 95% interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def estimated_half_points(cells: Mapping[Cell, Data], seed: int = 0) -> dict[Cell, Estimate]:
    """Return N50 of the cells of one attack and defense."""
    best = half_points(pooled({cell: data.trials for cell, data in cells.items()}))
    rng = np.random.default_rng(seed)
    again = [half_points(pooled(resampled(cells, rng))) for _ in range(REPLICATES)]
    return {cell: Estimate(best[cell], *interval(one[cell] for one in again)) for cell in best}


SLOPES = ("b", "c", "d", "c/b", "d/b")


def estimated_slopes(cells: Mapping[Cell, Data], seed: int = 0) -> dict[str, Estimate]:
    """Return the slopes of the cells of one attack and defense, and their ratios."""

    def numbers(trials: Mapping[Cell, Sequence[Trials]]) -> Floats:
        b, c, d = slopes(pooled(trials))
        return np.array([b, c, d, c / b, d / b])

    best = numbers({cell: data.trials for cell, data in cells.items()})
    rng = np.random.default_rng(seed)
    again = np.array([numbers(resampled(cells, rng)) for _ in range(REPLICATES)])
    found = zip(SLOPES, best, again.T, strict=True)
    return {name: Estimate(float(value), *interval(column)) for name, value, column in found}


# ----------------------------------------------------------------------------------------- report


def sides(cells: Mapping[Cell, Data]) -> list[dict[Cell, Data]]:
    """Return the cells of each attack and defense."""
    names = dict.fromkeys(map(_side, cells))
    return [{cell: cells[cell] for cell in cells if _side(cell) == name} for name in names]


def shown(estimate: Estimate, counts: Sequence[int]) -> str:
    """Return N50 for people: beyond the counts that were tried, only on which side it lies."""
    low, high = min(counts), max(counts)
    if not estimate.value <= high:
        return f"> {high}"
    if estimate.value < low:
        return f"< {low}"
    below = f"{estimate.low:.1f}" if estimate.low >= low else f"< {low}"
    above = f"{estimate.high:.1f}" if estimate.high <= high else f"> {high}"
    return f"{estimate.value:.1f} [{below}, {above}]"


def table_of_cells(cells: Mapping[Cell, Data], found: Mapping[Cell, Estimate]) -> list[str]:
    """Return the lines of a Markdown table with a row per cell."""
    head = "attack | defense | pairs | epochs | runs | clean top-1 % | control | N50 | success"
    lines = [f"| {head} |", f"|{' --- |' * (head.count('|') + 1)}"]
    weak = under_trained(cells)
    for cell, data in cells.items():
        counts = sorted({one.count for one in data.trials})
        k, n = (sum(one[part] for one in data.control) for part in (0, 1))
        counted = pooled({cell: data.trials})
        curve = ", ".join(
            f"{count}: {100 * counted[cell, count][0] / counted[cell, count][1]:.0f}%"
            for count in counts
        )
        top1 = f"{100 * np.mean(data.top1):.1f}{' (under-trained)' if cell in weak else ''}"
        runs = len({one.run for one in data.trials})
        parts = [cell.attack, cell.defense, f"{cell.pairs:,}", f"{cell.epochs:g}", runs, top1]
        parts += [f"{k}/{n}" if n else "—", shown(found[cell], counts), curve]
        lines.append(markdown_line(map(str, parts)))
    return lines


def table_of_slopes(cells: Mapping[Cell, Data]) -> list[str]:
    """Return the lines of a Markdown table of slopes: of all trained cells, and of each arm."""
    head = "attack | defense | cells | b | c | d | c/b | d/b"
    lines = [f"| {head} |", f"|{' --- |' * (head.count('|') + 1)}"]
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
            found = estimated_slopes(own)
            told = [str(one) if not np.isnan(one.value) else "—" for one in found.values()]
            first = next(iter(own))
            row = [first.attack, first.defense, f"{name} ({len(own)})", *told]
            lines.append(markdown_line(row))
    return lines


def report(cells: Mapping[Cell, Data]) -> tuple[str, dict[Cell, Estimate]]:
    """Return the tables as Markdown, and N50 of every cell."""
    found: dict[Cell, Estimate] = {}
    for side in sides(cells):
        found |= estimated_half_points(side)
    lines = [*table_of_cells(cells, found), "", *table_of_slopes(cells), ""]
    return "\n".join(lines), found


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
        axis.legend(fontsize=7)
    figure.tight_layout()
    for end in ("png", "pdf"):
        figure.savefig(
            folder / f"n50.{end}",
            dpi=150,
            metadata={"CreationDate": None} if end == "pdf" else None,
        )
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
        if not min(counts) <= found[cell].value <= max(counts):
            beyond = found[cell].value < min(counts)
            edge, marker = (min(counts), "v") if beyond else (max(counts), "^")
            axis.plot(cell.pairs, edge, marker, color=color, fillstyle="none")
            continue
        inside.append(cell)
        ends = np.clip([found[cell].low, found[cell].high], min(counts), max(counts))
        axis.plot([cell.pairs] * 2, ends, color=color, linewidth=1)
        fill = "none" if cell in weak else "full"
        axis.plot(cell.pairs, found[cell].value, look.shape.marker, color=color, fillstyle=fill)
    places = [cell.pairs for cell in inside], [found[cell].value for cell in inside]
    axis.plot(*places, style, color=color, label=label if line else None)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables of rows, and write them and the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rows", type=Path, nargs="+", help="folders of rows")
    parser.add_argument("--write", type=Path, help="folder for fit.md, n50.png and n50.pdf")
    options = parser.parse_args(arguments)
    cells = read(result.record for result in load_results(options.rows))
    text, found = report(cells)
    print(text)
    if options.write is not None:
        (options.write / "fit.md").write_text(text, encoding="utf-8")
        draw(cells, found, options.write)


if __name__ == "__main__":
    main()
