"""How well an audit's ranked list points at poison, and how often bounds of its thresholds hold.

    python tests/benchmarks/audit_suspects.py --audit AUDIT --ledger POISONED

`--audit` is the folder of an audit of the shards of `--ledger`, the folder that `clipbench poison`
wrote, or a NumPy file with a truth value per usable pair. With `--shards` the search for suspects
alone is done first, and `--audit` is the folder for it. Prints for each method and for the list
AUROC, average precision, and the poisons among the first hundred pairs and the first hundredth;
then, for reviews of 50, 100 and 200 pairs, drawn and answered 200 times by the ledger, how many
were given a threshold, how many of these thresholds do not hold, and how many pairs they flag.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score

from clipbench.audit.inventory.take import take_inventory
from clipbench.audit.request import AuditRequest
from clipbench.audit.suspects.find import find_suspects
from clipbench.audit.suspects.plan import plan_suspects
from clipbench.audit.threshold.bounds import Review, learn_then_test
from clipbench.audit.threshold.find import ALPHAS, CONFIDENCE
from clipbench.poisoning.ledger import read_ledger
from clipbench.rng import generator
from clipbench.system.progress import Reporter

REVIEWS = 200
UNHURRIED_S = 1e7  # of an audit that trains on every pair as often as it wants, on a busy machine
LABELS = (50, 100, 200)
BoolArray = npt.NDArray[np.bool_]


def truth_of(path: Path, pairs: int) -> BoolArray:
    """Return which pairs are bad."""
    if path.suffix == ".npy":
        return np.asarray(np.load(path), dtype=bool)
    bad = np.zeros(pairs, dtype=bool)
    bad[read_ledger(path).rows["index"].to_numpy()] = True
    return bad


def ranking(table: pd.DataFrame, bad: BoolArray) -> list[str]:
    """Return a line per method, and one for the combined list."""
    lines = []
    for name in [column for column in table.columns if column != "index"]:
        values = table[name].to_numpy(dtype=float)
        order = np.argsort(values, kind="stable")
        first, part = bad[order[:100]].sum(), bad[order[: len(bad) // 100]].sum()
        lines.append(
            f"{name:12} AUROC {roc_auc_score(bad, -values):.3f}, average precision"
            f" {average_precision_score(bad, -values):.3f}, first 100: {first}, first 1%: {part},"
            f" of {bad.sum()}"
        )
    return lines


def reviewed(bad: BoolArray, labels: int, region: int, number: int) -> Review:
    """Return one review: half of the labels from the top, half drawn at random in the region."""
    known = labels // 2
    ranks = 1 + generator(number, "simulated review").permutation(region)[: labels - known]
    beyond = ranks[ranks > known].astype(np.int64)
    return Review(bad[:known], beyond, bad[beyond - 1], region)


def reviews(bad: BoolArray, region: int) -> list[str]:
    """Return a line per number of labels and share of good pairs allowed.

    Args:
        bad: ``(N,)`` in the order of the list.
        region: last rank among which the audit draws.
    """
    lines = []
    for labels in LABELS:
        for alpha in ALPHAS:
            flagged = [
                learn_then_test(reviewed(bad, labels, region, number), alpha, 1 - CONFIDENCE)
                for number in range(REVIEWS)
            ]
            given = [count for count in flagged if count is not None]
            wrong = sum((~bad[:count]).sum() > alpha * count for count in given)
            usual = f", median {np.median(given):.0f} pairs" if given else ""
            lines.append(
                f"{labels:3} labels, at most {alpha:.0%} good at {CONFIDENCE:.0%}: {len(given)} of"
                f" {REVIEWS} reviews have a threshold{usual}; {wrong} do not hold"
                f" ({wrong / REVIEWS:.1%}, allowed {1 - CONFIDENCE:.0%})"
            )
    return lines


def search(shards: Path, out: Path, seeds: int) -> None:
    """Find the suspects of shards as an audit does.

    Args:
        shards: the pairs.
        out: folder of the audit.
        seeds: of training.
    """
    cache = Path(os.environ.get("CLIPBENCH_CACHE", "~/.cache/clipbench")).expanduser()
    reporter = Reporter()
    request = AuditRequest(
        data=str(shards), out=out, cache=cache, reporter=reporter, budget_s=UNHURRIED_S
    )
    take_inventory(request)
    plan = plan_suspects(request)
    find_suspects(request, msgspec.structs.replace(plan, seeds=[*range(seeds)]))


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--audit", type=Path, required=True, help="folder of the audit")
    parser.add_argument("--ledger", type=Path, required=True, help="poisoned set, or truth.npy")
    parser.add_argument("--shards", type=Path, help="the audit's pairs, to look for suspects first")
    parser.add_argument("--seeds", type=int, default=1, help="of training, with --shards")
    options = parser.parse_args()
    if options.shards is not None:
        search(options.shards, options.audit, options.seeds)
    table = pd.read_parquet(options.audit / "suspects" / "scores.parquet")
    bad = truth_of(options.ledger, len(table))
    in_order = bad[np.argsort(table["rank"].to_numpy())]
    told = json.loads((options.audit / "suspects" / "suspects.json").read_text())
    print("\n".join([*ranking(table, bad), "", *reviews(in_order, told["found"]["region"])]))


if __name__ == "__main__":
    main()
