"""How a score tells poisoned pairs from clean ones, by how many poisoned pairs a target has.

    python results/icons/by_dose.py RUN POISONED

prints a Markdown table of a run of `targeted` under a defense that scores pairs, such as SafeCLIP,
with a line per epoch that scored: the AUROC of the poisoned pairs of the targets of each dose,
against all clean pairs. 1: they are the least similar of all; 0.5: nothing tells them apart; below
that, they are more similar than clean pairs. Intervals are percentiles of a bootstrap over targets,
whose pairs share an image and a class.

RUN is the run's folder, whose training wrote its scores down, and POISONED that of its poisoned
set, as ``clipbench poison`` writes it with ``--out``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from clipbench.checkpoints.trace import read_trace
from clipbench.leaderboard.render import markdown_table
from clipbench.poisoning.ledger import Ledger, read_ledger

DRAWS = 1000


def by_dose(
    scores: NDArray[np.float32], index: NDArray[np.int64], target: NDArray[np.int64]
) -> dict[int, str]:
    """Return AUROC and its interval by dose, for people.

    Args:
        scores: ``(N,)`` similarity of each pair of the set.
        index: ``(P,)`` which of them are poisoned.
        target: ``(P,)`` which target each of these serves.
    """
    clean = np.delete(scores, index)
    ranks = rankdata(np.concatenate([clean, scores[index]]))
    # The share of clean pairs above each poisoned pair: its rank less that among its own kind.
    below = (ranks[len(clean) :] - rankdata(scores[index])) / len(clean)
    above = 1 - below
    doses = np.bincount(target)
    of_target = np.bincount(target, above) / np.maximum(doses, 1)
    rng = np.random.default_rng(0)
    told = {}
    for dose in np.unique(doses[doses > 0]).tolist():
        means = of_target[doses == dose]  # each of as many pairs
        drawn = rng.choice(means, (DRAWS, len(means))).mean(axis=1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        told[int(dose)] = f"{means.mean():.2f} [{low:.2f}, {high:.2f}]"
    return told


def table(run: Path, ledger: Ledger) -> str:
    """Return the table of a run."""
    index, target = (ledger.rows[name].to_numpy(np.int64) for name in ("index", "target"))
    lines, doses = [], sorted(set(ledger.per_target))
    for path in sorted((run / "train" / "trace").glob("[0-9]*.npz")):
        trace = read_trace(path)
        if not len(trace.scores):
            continue
        scores = np.full(ledger.num_pairs, np.nan, np.float32)
        scores[trace.pairs] = trace.scores
        if np.isnan(scores).any():
            raise SystemExit(f"{path}: the epoch did not score every pair of the set.")
        told = by_dose(scores, index, target)
        lines.append([str(int(path.stem) + 1), *(told[dose] for dose in doses)])
    return markdown_table(("epoch", *(f"{dose} poisoned pairs" for dose in doses)), lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("poisoned", type=Path)
    chosen = parser.parse_args(arguments)
    print(table(chosen.run, read_ledger(chosen.poisoned)))


if __name__ == "__main__":
    main()
