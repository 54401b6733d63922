"""What SafeCLIP's mixture decides, beside a first split of a given share.

    python results/mixture/table.py results/mixture/rows

prints two Markdown tables. The first has a line per attack and training: what decides the first
split, epochs, passes, success and its control, top-1, and CPU seconds. A pass shows each pair once
to a loss that ties image to caption, so SafeCLIP's unimodal training makes none. The second follows
SafeCLIP's safe set: how many pairs and poisoned pairs are in it after the first split and after the
last, and how well the scores that decided these splits separate poisoned from clean pairs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from clipbench.evaluation.measured import Epoch
from clipbench.leaderboard.render import markdown_table
from clipbench.results.model import Result
from clipbench.results.store import load_results

RUNS = (
    *("attack", "defense", "first split", "augmentation", "epochs", "seed", "passes"),
    *("success [95%]", "control", "top-1 %", "CPU seconds"),
)
SPLITS = (
    *("attack", "first split", "augmentation", "seed", "epoch", "safe pairs"),
    *("poisoned pairs in it", "AUROC", "last: safe pairs", "poisoned pairs in it", "AUROC"),
)
MISSING = "—"


def tables(results: Iterable[Result]) -> str:
    """Return both tables."""
    ordered = sorted(results, key=_place)
    split = [line for result in ordered if (line := _splits(result)) is not None]
    return f"{markdown_table(RUNS, map(_run, ordered))}\n\n{markdown_table(SPLITS, split)}"


def _place(result: Result) -> tuple[str | int, ...]:
    assert result.train is not None
    epochs, attack = int(result.train.epochs), result.attack.name
    arm = augmentation(result), -epochs, _seed(result)
    return attack != "none", attack, *arm, result.defense.name


def _seed(result: Result) -> int:
    assert result.seed is not None
    return result.seed


def augmentation(result: Result) -> str:
    """Return whose augmentation a run has, told by its crops."""
    train = result.config["train"]
    assert isinstance(train, dict)
    return "SafeCLIP's" if train["crop_scale"] == 0.08 else "of shapes"


def first_split(result: Result) -> str | None:
    """Return what decides SafeCLIP's first safe set; None: the defense has none."""
    if result.defense.name != "safeclip":
        return None
    ratio = result.defense.parameters.get("first_ratio")
    return "mixture" if ratio is None else f"share of {ratio:g}"


def _run(result: Result) -> list[str]:
    assert result.train is not None
    top1 = result.metrics["zeroshot_top1"].value
    assert top1 is not None
    return [
        result.attack.name,
        result.defense.name,
        first_split(result) or MISSING,
        augmentation(result),
        str(int(result.train.epochs)),
        str(_seed(result)),
        f"{sum(e.cross_modal_pairs or 0 for e in result.history) / result.data.pairs:.1f}",
        _count(result, "attack_success", interval=True),
        _count(result, "attack_success_control"),
        f"{100 * top1:.2f}",
        f"{result.train.cpu_seconds:,.0f}",
    ]


def _splits(result: Result) -> list[str] | None:
    """Return what became of the safe set; None: the defense has none."""
    split = [epoch for epoch in result.history if epoch.safe_set_size is not None]
    how = first_split(result)
    if how is None or not split:
        return None
    first, last = split[0], split[-1]
    return [
        *(result.attack.name, how, augmentation(result), str(_seed(result)), str(first.epoch)),
        *_safe(first),
        *_safe(last),
    ]


def _safe(epoch: Epoch) -> list[str]:
    assert epoch.safe_set_size is not None
    share = "" if not epoch.pairs else f" ({100 * epoch.safe_set_size / epoch.pairs:.1f}%)"
    kept, of_all = epoch.poisons_in_safe_set, epoch.poisons_in_epoch
    return [
        f"{epoch.safe_set_size:,}{share}",
        MISSING if kept is None else f"{kept}/{of_all}",
        MISSING if epoch.score_auroc is None else f"{epoch.score_auroc:.3f}",
    ]


def _count(result: Result, name: str, *, interval: bool = False) -> str:
    share = result.metrics[name].share if name in result.metrics else None
    if share is None:
        return MISSING
    bounds = f" [{100 * share.low:.1f}, {100 * share.high:.1f}]" if interval else ""
    return f"{share.k:,}/{share.n:,}{bounds}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rows", type=Path, nargs="+", help="folders of rows")
    print(tables(load_results(parser.parse_args(arguments).rows)))


if __name__ == "__main__":
    main()
