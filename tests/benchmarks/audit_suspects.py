"""How well an audit's ranked list points at poison, and how often bounds of its thresholds hold.

    python tests/benchmarks/audit_suspects.py --audit AUDIT --ledger POISONED
    python tests/benchmarks/audit_suspects.py --audit AUDIT --shards SHARDS --swap 0.2

`--audit` is the folder of an audit of the shards of `--ledger`, the folder that `clipbench poison`
wrote. With `--shards` the search for suspects alone is done first, and `--audit` is the folder for
it; with `--swap` it is done on a copy, AUDIT/swapped, where that share of the pairs, drawn at seed
0, have the captions of one another, and these are the pairs to be found. Prints for each method and
for the list AUROC, average precision, and the bad pairs among the first hundred and the first
hundredth; then, for reviews of 50, 100 and 200 pairs, drawn and answered 200 times by the truth,
how many got a threshold, how many of these do not hold, and how many pairs they flag.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tarfile
from collections.abc import Iterator
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


def poisoned(path: Path, pairs: int) -> BoolArray:
    """Return which pairs a ledger names."""
    bad = np.zeros(pairs, dtype=bool)
    bad[read_ledger(path).rows["index"].to_numpy()] = True
    return bad


def swap(shards: Path, share: float, out: Path) -> BoolArray:
    """Write shards anew, some captions of which have changed places, and return where.

    A pair whose new caption is the same as its own is not one of them.

    Args:
        shards: all of whose pairs are usable.
        share: of the pairs, which get the caption of the next one of them.
        out: folder to write to; what is there already is the same.
    """
    files = sorted(shards.glob("*.tar"))
    captions = [text for file in files for name, text in members(file) if name.endswith(".txt")]
    draw = generator(0, "captions that change places")
    chosen = np.sort(draw.permutation(len(captions))[: round(share * len(captions))])
    changed = [*captions]
    for here, there in zip(chosen, np.roll(chosen, -1), strict=True):
        changed[here] = captions[there]
    out.mkdir(parents=True, exist_ok=True)
    texts = iter(changed)
    for file in files:
        with tarfile.open(out / file.name, "w") as tar:
            for name, content in members(file):
                payload = next(texts) if name.endswith(".txt") else content
                info = tarfile.TarInfo(name)
                info.size = len(payload)
                tar.addfile(info, io.BytesIO(payload))
    return np.array([a != b for a, b in zip(captions, changed, strict=True)])


def members(file: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each member of a tar."""
    with tarfile.open(file) as tar:
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            yield member.name, content.read()


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
    hidden = parser.add_mutually_exclusive_group(required=True)
    hidden.add_argument("--ledger", type=Path, help="folder of the poisoned set")
    hidden.add_argument("--swap", type=float, help="share of captions of --shards to swap")
    parser.add_argument("--shards", type=Path, help="the audit's pairs, to look for suspects first")
    parser.add_argument("--seeds", type=int, default=1, help="of training, with --shards")
    options = parser.parse_args()
    if options.swap is not None and options.shards is None:
        parser.error("--swap needs --shards, of which it swaps captions")
    bad = None
    if options.swap is not None:
        swapped = options.audit / "swapped"
        bad = swap(options.shards, options.swap, swapped)
        options.shards = swapped
    if options.shards is not None:
        search(options.shards, options.audit, options.seeds)
    table = pd.read_parquet(options.audit / "suspects" / "scores.parquet")
    bad = poisoned(options.ledger, len(table)) if bad is None else bad
    in_order = bad[np.argsort(table["rank"].to_numpy())]
    told = json.loads((options.audit / "suspects" / "suspects.json").read_text())
    print("\n".join([*ranking(table, bad), "", *reviews(in_order, told["found"]["region"])]))


if __name__ == "__main__":
    main()
