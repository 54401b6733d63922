"""Does the drawn set predict the real one? Attacks and defenses of two sets, held side by side.

    python results/icons/correlation.py results/shapes/rows results/icons/rows

prints three Markdown tables of what both sets have rows of. The first has a line per attack: how
often it succeeds without a defense in each set, Kendall's rank correlation between the defenses'
success against it in one set and in the other, and in how many of the defenses' cells both sets
agree on whether the defense holds, which is to leave at most a tenth of the probes.

The second has rank correlations between the sets (Kendall's tau-b; Spearman's rho of single cells):
of defenses, by their mean success over attacks; of attacks, by theirs over defenses; of cells.
Means are over the same attacks or defenses in both sets: where not every attack met every defense,
over those that the most of them met.
Intervals are percentiles of a bootstrap over attacks, over defenses, or over both: they say how far
the number depends on which were chosen, and not how far another training would move it.

The third has success in one set above that in the other, and top-1 after training on clean data.

`none` is in the first table only: that no defense is worst in both sets tells nothing. Only attacks
that succeed on half of the probes without a defense, in both sets, are in the second table.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ConstantInputWarning, kendalltau, spearmanr

from clipbench.evaluation.measured import Metric
from clipbench.leaderboard.render import markdown_table
from clipbench.results.model import Result
from clipbench.results.store import load_results
from clipbench.text.words import counted

HOLDS = 0.1  # success up to which a defense is said to hold
WORKS = 0.5  # success without a defense from which an attack is held against defenses
DRAWS = 1000
MISSING = "—"
Cells = dict[tuple[str, str], float]
Shares = NDArray[np.float64]


def cells(results: Iterable[Result], metric: str = "attack_success") -> Cells:
    """Return a share by attack and defense, over all seeds and all parts of an attack.

    Of a defense with several sets of parameters or numbers of epochs, that with the most rows
    stands for it, which is its recipe; the others answer questions of their own. So it is with
    several sets of pairs.
    """
    results = _of_the_main_set(list(results))
    trials: dict[tuple[str, str, str], list[Metric]] = {}
    for result in results:
        share = result.metrics.get(metric)
        if share is not None:
            train = result.config["train"]
            assert isinstance(train, dict)
            made = train["epochs"], result.defense.parameters
            key = (result.defense.name, json.dumps(made, sort_keys=True), result.attack.name)
            trials.setdefault(key, []).append(share)
    rows: Counter[tuple[str, str]] = Counter()
    for (defense, variant, _), found in trials.items():
        rows[defense, variant] += len(found)
    recipes: dict[str, str] = {}
    for (defense, variant), _ in rows.most_common():
        recipes.setdefault(defense, variant)
    return {
        (attack, defense): sum(one.k or 0 for one in found) / sum(one.n or 0 for one in found)
        for (defense, variant, attack), found in trials.items()
        if recipes[defense] == variant
    }


def _of_the_main_set(results: Sequence[Result]) -> list[Result]:
    sets = Counter(json.dumps(result.config["data"], sort_keys=True) for result in results)
    main = sets.most_common(1)[0][0] if sets else None
    return [one for one in results if json.dumps(one.config["data"], sort_keys=True) == main]


def tables(first: Cells, second: Cells) -> str:
    """Return the tables of attacks and of ranks."""
    shared = first.keys() & second.keys()
    attacks = sorted({attack for attack, defense in shared if defense == "none"})
    defenses = sorted({defense for _, defense in shared} - {"none"})
    ours, theirs = (
        np.array(
            [
                [found[cell] if (cell := (attack, name)) in shared else np.nan for name in defenses]
                for attack in attacks
            ]
        ).reshape(len(attacks), len(defenses))
        for found in (first, second)
    )
    rows = []
    for place, attack in enumerate(attacks):
        alone = [found[attack, "none"] for found in (first, second)]
        met = ~np.isnan(ours[place])
        a, b = ours[place][met], theirs[place][met]
        rows.append(
            [attack, *(f"{100 * share:.0f}%" for share in alone), _told(_tau(a, b)), _agreed(a, b)]
        )
    works = [
        place
        for place, attack in enumerate(attacks)
        if min(first[attack, "none"], second[attack, "none"]) >= WORKS
    ]
    head = ["attack", "first: alone", "second: alone", "tau of defenses", "agree"]
    above = markdown_table(head, rows)
    ranked = _ranks(ours[works], theirs[works])
    below = markdown_table(["ranks of", "how many", "over", "correlation [95%]"], ranked)
    return f"{above}\n\n{below}"


def side_by_side(success: Mapping[str, Cells], top1: Mapping[str, Cells]) -> str:
    """Return success and clean top-1, both by name of the set; columns are the last set's."""
    ours, theirs = success.values()
    defenses = sorted({name for _, name in theirs} - {"none", "clip"})
    columns = ("none", "clip", *defenses)
    attacks = sorted({attack for attack, _ in ours} & {attack for attack, _ in theirs})
    parts = [(name, success, name) for name in attacks] + [("top-1 of clean data", top1, "none")]
    lines = []
    for told, of_sets, attack in parts:
        for place, (name, found) in enumerate(of_sets.items()):
            shares = [found.get((attack, defense)) for defense in columns]
            shown = [MISSING if share is None else f"{share:.1%}" for share in shares]
            lines.append(["" if place else told, name, *shown])
    return markdown_table(("", "set", *columns), lines)


def _ranks(ours: Shares, theirs: Shares) -> list[list[str]]:
    """Return the lines of the second table; the sets are measured in the same cells."""

    def of_defenses(i: Shares, j: Shares) -> float:
        return _tau(i.mean(axis=0), j.mean(axis=0))

    def of_attacks(i: Shares, j: Shares) -> float:
        return _tau(i.mean(axis=1), j.mean(axis=1))

    def of_cells(i: Shares, j: Shares) -> float:
        there = ~np.isnan(i)
        return _correlation(spearmanr, i[there], j[there])

    measured = ~np.isnan(ours)
    wide = np.ix_(*_block(measured))
    tall = np.ix_(*reversed(_block(measured.T)))
    lines = []
    for name, other, block, how, axis in (
        ("defenses", "attack", wide, of_defenses, 1),
        ("attacks", "defense", tall, of_attacks, 0),
    ):
        i, j = ours[block], theirs[block]
        over = counted(i.shape[1 - axis], other)
        told = _told(how(i, j), _interval(how, i, j, axis == 1, axis == 0)) if i.size else MISSING
        lines.append([name, str(i.shape[axis]), over, told])
    told = MISSING
    if measured.any():
        told = _told(of_cells(ours, theirs), _interval(of_cells, ours, theirs, True, True))
    return [*lines, ["cells", str(measured.sum()), MISSING, told]]


def _block(measured: NDArray[np.bool_]) -> tuple[list[int], list[int]]:
    """Return the rows and columns of a table's part without gaps that ranks its columns.

    Means of columns are of the same rows, or they would be ranked by what they met. So these are
    the most columns that have the same two rows or more (one, if no two columns share two), and all
    rows that they have.
    """
    blocks = [
        ([*rows], np.flatnonzero(measured[[*rows]].all(axis=0)).tolist())
        for size in range(1, len(measured) + 1)
        for rows in combinations(range(len(measured)), size)
    ]

    def worth(block: tuple[list[int], list[int]]) -> tuple[int, int, int, int]:
        rows, columns = map(len, block)
        return min(columns, 2), min(rows, 2), columns, rows

    return max((block for block in blocks if block[1]), key=worth, default=([], []))


def _interval(
    how: Callable[[Shares, Shares], float],
    ours: Shares,
    theirs: Shares,
    attacks: bool,
    defenses: bool,
) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    values = []
    for _ in range(DRAWS):
        rows, columns = (
            rng.integers(size, size=size) if redrawn else np.arange(size)
            for size, redrawn in zip(ours.shape, (attacks, defenses), strict=True)
        )
        drawn = np.ix_(rows, columns)
        values.append(how(ours[drawn], theirs[drawn]))
    known = [value for value in values if not np.isnan(value)]
    if not known:
        return float("nan"), float("nan")
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)


def _tau(first: Shares, second: Shares) -> float:
    return _correlation(kendalltau, first, second)


def _correlation(of: Callable[..., Any], first: Shares, second: Shares) -> float:
    """Return a rank correlation; NaN where one side is constant or has fewer than two values."""
    if len(first) < 2:
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        return float(of(first, second).statistic)


def _agreed(first: Shares, second: Shares) -> str:
    return f"{np.sum((first <= HOLDS) == (second <= HOLDS))}/{len(first)}"


def _told(value: float, interval: tuple[float, float] | None = None) -> str:
    if np.isnan(value):
        return MISSING
    return f"{value:.2f}" + (f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else "")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("first", type=Path, help="folder of rows of one set")
    parser.add_argument("second", type=Path, help="folder of rows of another")
    chosen = parser.parse_args(arguments)
    rows = {folder.parent.name: load_results([folder]) for folder in (chosen.first, chosen.second)}
    success, top1 = (
        {name: cells(found, metric) for name, found in rows.items()}
        for metric in ("attack_success", "zeroshot_top1")
    )
    print(tables(*success.values()), side_by_side(success, top1), sep="\n\n")


if __name__ == "__main__":
    main()
