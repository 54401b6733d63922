"""What decides how well outlier filters find poison: features, blocks, and the scoring model.

    python tests/benchmarks/detectors.py --out results/detectors

Poisons `shapes` by each attack, has every filter score all pairs with `clipbench detect` under two
scoring models, one of two epochs and one trained to the end, on raw features and on unit ones and
in blocks of 1,024 and 4,096, and writes ``detectors.json`` and ``detectors.md`` after each attack;
what the JSON file holds already is not done again.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
from pathlib import Path
from typing import Any

from clipbench.cli import main as clipbench
from clipbench.leaderboard.render import markdown_line

ATTACKS = {
    "badnets": "0.5%",
    "targeted:targets=16": "1.4%",
    "text_trigger": "0.25%",
    "blended": "2%",
    "sig": "0.5%",
    "filter": "5%",
}
NEIGHBORS = ("dao", "slof", "kdist", "lid")
SCORING = (2, 9)
FEATURES, BLOCKS = ("raw", "unit"), (1024, 4096)
Row = dict[str, Any]


def methods(epochs: int) -> list[str]:
    """Return the specs of all filters under one scoring model."""
    found = [
        f"{name}:scoring_epochs={epochs},features={features},block={block},"
        "references=images_and_captions"
        for name, features, block in itertools.product(NEIGHBORS, FEATURES, BLOCKS)
    ]
    forests = [
        f"isolation_forest:scoring_epochs={epochs},features={features}" for features in FEATURES
    ]
    return found + forests


def run(arguments: list[str]) -> str:
    """Return what a command prints.

    Raises:
        SystemExit: it failed.
    """
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        status = clipbench(arguments)
    if status:
        raise SystemExit(f"{arguments} ended with status {status}")
    return out.getvalue()


def study(attack: str, rate: str, epochs: int, work: Path) -> list[Row]:
    """Return a row for each filter: its parameters and what `detect` measured."""
    name = attack.partition(":")[0]
    poisoned, found = work / f"{name}-set", work / f"{name}-{epochs}"
    if not poisoned.exists():
        run(["poison", "--attack", attack, "--rate", rate, "--out", str(poisoned)])
    chosen = [part for method in methods(epochs) for part in ("--method", method)]
    where = ["--shards", str(poisoned / "shards"), "--ledger", str(poisoned), "--show", "1"]
    run(["detect", *where, *chosen, "--out", str(found), "--no-estimate", "--threads", "1"])
    told = json.loads((found / "detection.json").read_text())
    return [
        {"attack": attack, "rate": rate, "scoring_epochs": epochs, "method": spec, **metrics}
        for spec, metrics in zip(told["methods"], told["metrics"].values(), strict=True)
    ]


def table(rows: list[Row]) -> str:
    """Return AUROC and the poisons among the tenth of lowest score, a line a filter and attack."""
    cells: dict[tuple[Any, ...], str] = {}
    lines: dict[tuple[str, ...], None] = {}
    columns = list(itertools.product(SCORING, BLOCKS, FEATURES))
    for row in rows:
        method = row["method"]
        line = row["attack"], row["rate"], method["name"]
        lines[line] = None
        kept = row["poison_kept"]
        text = f"{row['auroc']['value']:.2f} ({kept['n'] - kept['k']}/{kept['n']})"
        for block in [method["block"]] if "block" in method else BLOCKS:
            cells[(*line, row["scoring_epochs"], block, method["features"])] = text
    told = [f"{epochs} epochs, {block:,}, {features}" for epochs, block, features in columns]
    text = [f"| attack | rate | filter | {' | '.join(told)} |", f"|{' --- |' * (3 + len(told))}"]
    for line in lines:
        found = [cells.get((*line, *column), "—") for column in columns]
        text.append(markdown_line([*line, *found]))
    return "\n".join(text) + "\n"


def main() -> None:
    """Do what is not done yet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of both files")
    parser.add_argument("--work", type=Path, default=Path("detectors"), help="folder of the sets")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    kept = options.out / "detectors.json"
    rows: list[Row] = json.loads(kept.read_text()) if kept.exists() else []
    for (attack, rate), epochs in itertools.product(ATTACKS.items(), SCORING):
        if any((row["attack"], row["scoring_epochs"]) == (attack, epochs) for row in rows):
            continue
        rows += study(attack, rate, epochs, options.work)
        kept.write_text(json.dumps(rows, indent=1) + "\n")
        (options.out / "detectors.md").write_text(table(rows))


if __name__ == "__main__":
    main()
