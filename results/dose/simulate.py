"""How often the 95% intervals of N50 and slopes hold the true value, at the study's own design.

    python results/dose/simulate.py

prints a table with a row per attack, defense, and way in which runs vary, with the median of half
the intervals' length in brackets; attacks and defenses of
fewer than three draws of poison have no slopes with intervals. It reads the runs from the grids
beside it. Each trial has a normal number, and succeeds if that is below the quantile of
its probability, which is by a logistic curve. These numbers are correlated between trials of one
run, of one target in all cells, and of one poison seed in all cells. So success has the very curve
on average, and the true slopes and N50 are known.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from curves import ARMS, Cell, Estimate, Trials, arranged, draw_of, logistic
from fit import OWN_EPOCHS
from n50 import dispersed, score
from scipy.special import expit, ndtri
from slopes import LEAST_DRAWS, SLOPES, slopes

from clipbench.leaderboard.render import markdown_line
from clipbench.sweep.grid import read_grid

TEST_IMAGES = 1980  # of `shapes`, of other classes than a backdoor's target
STEEP = 2.5  # b
MIDDLE = {"targeted": 3.0, "badnets": 28.0}  # N50 at 20,000 pairs and 9 epochs
WORLDS = {"count": (0.0, 0.0), "exposures": (0.0, 1.0), "rate": (-1.0, 0.0)}  # c/b and d/b


@dataclass(frozen=True)
class Planned:
    """A run of the design.

    Args:
        cell: its cell.
        run: its number.
        seed: that of poison.
        draw: its draw of poison.
        trials: n by count.
    """

    cell: Cell
    run: int
    seed: int
    draw: str
    trials: Mapping[int, int]


@dataclass(frozen=True)
class Varied:
    """Correlations of the normal numbers of two trials that have the same run, target, or seed."""

    run: float = 0.0
    target: float = 0.0
    seed: float = 0.0


WAYS = {
    "trials alone": Varied(),
    "runs": Varied(run=0.1),
    "runs and targets": Varied(run=0.1, target=0.3),
    "runs, targets, and seeds": Varied(run=0.1, target=0.3, seed=0.05),
}


def planned(folder: Path) -> dict[tuple[str, str], list[Planned]]:
    """Return the attacked runs of the grids in a folder, by attack and defense."""
    found: dict[tuple[str, str], list[Planned]] = defaultdict(list)
    for path in sorted(folder.glob("*.yaml")):
        for config in read_grid(path).configs:
            if config.poisons is None:
                continue
            attack, defense = config.attack.name, config.defense.name
            epochs = round(config.train.epochs * OWN_EPOCHS.get(defense, 1), 3)
            data: Mapping[str, Any] = config.data.parameters
            cell = Cell(attack, defense, data["size"], epochs)
            doses: Any = config.attack.parameters.get("doses")
            each = config.poisons // sum(doses) if doses else TEST_IMAGES
            trials = dict.fromkeys(doses or [config.poisons], each)
            own = found[attack, defense]
            draw = draw_of(config.poison_seed, trials, bool(doses))
            own.append(Planned(cell, len(own), config.poison_seed or 0, draw, trials))
    return found


def log_half_point(cell: Cell, world: tuple[float, float]) -> float:
    """Return log2(N50) of a cell in a world with these c/b and d/b."""
    pairs, epochs = math.log2(cell.pairs / 20_000), math.log2(cell.epochs / 9)
    return math.log2(MIDDLE[cell.attack]) - world[0] * pairs - world[1] * epochs


def drawn(
    runs: Sequence[Planned], world: tuple[float, float], varied: Varied, rng: np.random.Generator
) -> dict[Cell, list[Trials]]:
    """Return the trials of an experiment."""
    found: dict[Cell, list[Trials]] = defaultdict(list)
    of_seed: dict[int, float] = defaultdict(rng.standard_normal)
    targets: dict[tuple[str, int], np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = {}
    rest = math.sqrt(1 - varied.run - varied.target - varied.seed)
    for one in runs:
        common = math.sqrt(varied.run) * rng.standard_normal()
        common += math.sqrt(varied.seed) * of_seed[one.seed]
        for count, n in one.trials.items():
            if (one.draw, count) not in targets:
                targets[one.draw, count] = rng.standard_normal(n)
            numbers = common + rest * rng.standard_normal(n)
            numbers += math.sqrt(varied.target) * targets[one.draw, count]
            p = expit(STEEP * (math.log2(count) - log_half_point(one.cell, world)))
            k = int((numbers < ndtri(p)).sum())
            found[one.cell].append(Trials(str(one.run), one.draw, count, k, n))
    return found


def _half_points_held(
    trials: Mapping[Cell, Sequence[Trials]], world: tuple[float, float]
) -> Iterator[bool]:
    """Yield whether the interval of each cell holds its N50, if that is among the counts."""
    shares = arranged(trials)
    design = np.column_stack([shares.logs[:, 0], shares.levels])
    dispersion = dispersed(shares, design, logistic(design, shares.share))
    for place, cell in enumerate(shares.cells):
        true, counts = log_half_point(cell, world), [one.count for one in trials[cell]]
        if math.log2(min(counts)) <= true <= math.log2(max(counts)):
            yield abs(score(shares, place, true, dispersion)) <= 1


def _slopes_held(
    trials: Mapping[Cell, Sequence[Trials]], world: tuple[float, float]
) -> Iterator[tuple[str, bool, float]]:
    """Yield of each slope of all cells and each ratio of arms its name and what `_held` does."""
    c, d = world
    ratios = {"c/b": c, "d/b": d, "(c − d)/b": c - d}
    true = {"b": STEEP, "c": c * STEEP, "d": d * STEEP, "c − d": (c - d) * STEEP, **ratios}
    for name, found in slopes(arranged(trials)).items():
        yield from _held(name, found, true[name])
    for name_of, arm in ARMS.items():
        own = slopes(arranged({cell: trials[cell] for cell in trials if arm.holds(cell)}))
        for name in ratios:
            yield from _held(f"{name_of}: {name}", own[name], true[name])


def _held(name: str, found: Estimate, true: float) -> Iterator[tuple[str, bool, float]]:
    """Yield a name, whether its interval holds what is true, and half the length, if it has one."""
    if not math.isnan(found.low):
        yield name, found.low <= true <= found.high, (found.high - found.low) / 2


def coverage(
    runs: Sequence[Planned],
    world: tuple[float, float],
    varied: Varied,
    experiments: int,
    seed: int = 0,
) -> tuple[dict[str, float], dict[str, float]]:
    """Return how often intervals hold the true value, and the median of half their length.

    Both are by what the intervals are of. Of N50, which is over all cells, there are no lengths.
    """
    rng = np.random.default_rng(seed)
    held: dict[str, list[bool]] = defaultdict(list)
    reach: dict[str, list[float]] = defaultdict(list)
    for _ in range(experiments):
        trials = drawn(runs, world, varied, rng)
        held["N50"] += _half_points_held(trials, world)
        for name, one, half in _slopes_held(trials, world):
            held[name].append(one)
            reach[name].append(half)
    return (
        {name: float(np.mean(several)) for name, several in held.items() if several},
        {name: float(np.median(several)) for name, several in reach.items()},
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--experiments", type=int, default=300, help="of each row")
    parser.add_argument("--world", choices=WORLDS, default="exposures", help="what decides")
    options = parser.parse_args(arguments)
    arms = ("equal epochs: c/b", "equal samples: (c − d)/b", "more epochs: d/b")
    columns = ("N50", *SLOPES[:3], "c/b", "d/b", *arms)
    print(markdown_line(("attack", "defense", "what varies", *columns)))
    print(markdown_line(["---"] * (3 + len(columns))))
    for (attack, defense), runs in planned(Path(__file__).parent).items():
        if len({run.draw for run in runs}) < LEAST_DRAWS:
            continue
        for name, varied in WAYS.items():
            held, reach = coverage(runs, WORLDS[options.world], varied, options.experiments)
            told = [
                f"{100 * held[one]:.0f}%" + (f" ({reach[one]:.2f})" if one in reach else "")
                if one in held
                else "—"
                for one in columns
            ]
            print(markdown_line((attack, defense, name, *told)), flush=True)


if __name__ == "__main__":
    main()
