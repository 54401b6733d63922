"""How far one seed is from the next: runs that differ in nothing but the seed, two at a time.

    python results/shapes/seeds.py results/shapes/rows

prints three Markdown tables. The first two say how often two such runs differ by more than their
probes explain, which is that the 95% interval of the difference of their shares, with all probes
taken as independent, does not hold 0 (Newcombe's method 10; by chance in 5 of 100), and how far
they are apart: over all runs by how many probes these have, and by defense where they have at
least 100. A seed decides the training, and what an attack draws.

*Correlation* is that of two probes of one run: which share of the variance p (1 - p) of a probe
lies between seeds. It is one number for all cells, by moments: the variance between the seeds of a
cell, less what its probes explain, over p (1 - p), both summed over cells. Its interval is that of
a jackknife over attacks.

The third has the rank of each defense, as `clipbench leaderboard --format ranking` has it, from
the runs of each seed alone and from all. An attack counts for a seed if it succeeds in the runs of
that seed.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import mean, median, variance

from clipbench.evaluation.clustered import student_quantile, unpaired_difference
from clipbench.evaluation.statistics import Proportion
from clipbench.leaderboard.ranking.board import boards
from clipbench.leaderboard.ranking.standing import ranking
from clipbench.leaderboard.record import records_of
from clipbench.leaderboard.render import markdown_table
from clipbench.leaderboard.tables import leaderboard
from clipbench.results.model import Result
from clipbench.results.store import load_results

MANY = 100  # probes from which a share is shown in percent elsewhere
FAR = 20.0  # points
MISSING = "—"
HEAD = (
    *("pairs of runs", "differ beyond probes", f"by more than {FAR:.0f} points", "median", "most"),
    "correlation [95%]",
)


@dataclass(frozen=True)
class Cell:
    """The runs of one training, which differ in nothing but the seed.

    Args:
        attack: its name.
        defense: its name.
        shares: one a seed, of as many probes each.
    """

    attack: str
    defense: str
    shares: tuple[Proportion, ...]

    @property
    def probes(self) -> int:
        """How many a run has."""
        return self.shares[0].n


@dataclass(frozen=True)
class Pair:
    """Two runs of one cell.

    Args:
        points: how far their shares are apart.
        beyond: whether that is more than their probes explain.
    """

    points: float
    beyond: bool


def tables(results: Sequence[Result]) -> str:
    """Return all tables."""
    attacked = cells([result for result in results if result.attack.name != "none"])
    many = [cell for cell in attacked if cell.probes >= MANY]
    kinds = {
        f"attack success, {MANY} probes or more": many,
        f"attack success, fewer than {MANY}": [cell for cell in attacked if cell.probes < MANY],
        "top-1 of all runs": cells(results, "zeroshot_top1"),
    }
    of: dict[str, list[Cell]] = defaultdict(list)
    for cell in many:
        of[cell.defense].append(cell)
    by_defense = sorted(of.items(), key=lambda item: -median(p.points for p in pairs(item[1])))
    return "\n\n".join(
        (
            markdown_table(("what", *HEAD), [[what, *_told(of)] for what, of in kinds.items()]),
            markdown_table(("defense", *HEAD), [[name, *_told(of)] for name, of in by_defense]),
            ranks(results),
        )
    )


def cells(results: Iterable[Result], metric: str = "attack_success") -> list[Cell]:
    """Return the trainings that were run at several seeds."""
    of: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        of[_training(result)].append(result)
    found = []
    for runs in of.values():
        shares = tuple(share for run in runs if (share := run.metrics[metric].share))
        assert len({share.n for share in shares}) == 1
        if len(shares) > 1:
            found.append(Cell(runs[0].attack.name, runs[0].defense.name, shares))
    return found


def pairs(of: Iterable[Cell]) -> list[Pair]:
    """Return every two runs of each cell."""
    found = []
    for cell in of:
        for a, b in combinations(cell.shares, 2):
            difference, low, high = unpaired_difference([a], [b])
            found.append(Pair(abs(100 * difference), low > 0 or high < 0))
    return found


def correlation(of: Sequence[Cell]) -> tuple[float, float, float]:
    """Return the correlation of two probes of one run, and its interval; NaN: they say nothing."""
    whole = _correlation(of)
    attacks = sorted({cell.attack for cell in of})
    without = [_correlation([cell for cell in of if cell.attack != name]) for name in attacks]
    count = len(attacks)
    if not math.isnan(whole):
        whole = max(0.0, whole)
    if count < 2 or any(map(math.isnan, without)):
        return whole, math.nan, math.nan
    error = math.sqrt((count - 1) / count * sum((one - mean(without)) ** 2 for one in without))
    half = student_quantile(count - 1, 0.95) * error
    return whole, max(0.0, whole - half), min(1.0, whole + half)


def _correlation(of: Iterable[Cell]) -> float:
    between = whole = explained = 0.0
    for cell in of:
        values = [share.value for share in cell.shares]
        spread, middle = variance(values), mean(values)
        one = middle * (1 - middle) + spread / len(values)  # p (1 - p), without bias
        between, whole, explained = between + spread, whole + one, explained + one / cell.probes
    return (between - explained) / (whole - explained) if whole > explained else math.nan


def ranks(results: Sequence[Result]) -> str:
    """Return the rank of each defense from one seed alone and from all."""
    seeds = sorted({result.seed for result in results if result.seed is not None})
    chosen = {f"seed {seed}": [one for one in results if one.seed == seed] for seed in seeds}
    columns = {name: _ranks(of) for name, of in {**chosen, "all": results}.items()}
    rows = [
        [name, *(column.get(name, MISSING) for column in columns.values())]
        for name in columns["all"]
    ]
    return markdown_table(("defense", *columns), rows)


def _ranks(results: Sequence[Result]) -> dict[str, str]:
    (board,) = boards(records_of(leaderboard(results)))
    found, ranked = {}, ranking(board)
    for kind in (ranked.trusting, ranked.others):
        for one in kind:
            if one.ranks is not None:
                first, last = one.ranks
                place = f"{first}" if first == last else f"{first}–{last}"
                found[one.name] = f"{place} of {len(kind)} ({100 * one.success:.1f}%)"
    return found


def _told(of: Sequence[Cell]) -> Sequence[str]:
    found = pairs(of)
    far, beyond = sum(pair.points > FAR for pair in found), sum(pair.beyond for pair in found)
    whole, low, high = correlation(of)
    bounds = MISSING if math.isnan(low) else f"[{low:.3f}, {high:.3f}]"
    return (
        *(str(len(found)), f"{beyond} ({100 * beyond / len(found):.0f}%)", str(far)),
        *(f"{pick(pair.points for pair in found):.1f}" for pick in (median, max)),
        MISSING if math.isnan(whole) else f"{whole:.3f} {bounds}",
    )


def _training(result: Result) -> str:
    told = {key: value for key, value in result.config.items() if key != "seed"}
    return json.dumps(told, sort_keys=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rows", type=Path, help="folder of rows")
    print(tables(load_results([parser.parse_args(arguments).rows])))


if __name__ == "__main__":
    main()
