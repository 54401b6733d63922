"""Attacks and defenses on two drawn worlds: success, scores, and accuracy side by side.

    python results/worlds/table.py results/shapes/rows results/worlds/rows

prints three Markdown tables. The first two are of what both folders have: a line per attack and
defense, with success, its 95% interval and its control, and how well the defense's scores separate
poisoned from clean pairs, in one world and in the other; and top-1 after training on clean pairs.
Rows belong together if nothing differs in them but the data and the seed. The third has each run of
the defenses of which the second folder has several seeds: by world, kind of machine, and seed.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clipbench.leaderboard.render import markdown_table
from clipbench.leaderboard.tables import leaderboard
from clipbench.results.model import Result
from clipbench.results.store import load_results

HEAD = (
    *("attack", "defense", "seeds", "success [95%]", "control", "AUROC"),
    *("there: seeds", "success [95%]", "control", "AUROC"),
)
CLEAN = ("defense", "seeds", "top-1 %", "there: seeds", "top-1 %")
SEEDS = ("attack", "world", "machine", "seed")
MISSING = "—"
Row = Mapping[str, Any]


def tables(first: Sequence[Result], second: Sequence[Result]) -> str:
    """Return all tables."""
    drawn = {world(result) for result in first}
    others = [result for result in second if world(result) not in drawn]
    ours, theirs = by_training(first), by_training(others)
    shared = [key for key in theirs if key in ours]
    attacked, clean = (
        [(ours[key], theirs[key]) for key in shared if (theirs[key]["attack_name"] == "none") == of]
        for of in (False, True)
    )
    above = [
        [here["attack_name"], here["defense_name"], *_success(here), *_success(there)]
        for here, there in attacked
    ]
    below = [[here["defense_name"], *_top1(here), *_top1(there)] for here, there in clean]
    parts = markdown_table(HEAD, above), markdown_table(CLEAN, below), by_seed(first, second)
    return "\n\n".join(parts)


def world(result: Result) -> int:
    """Return the seed of the drawings."""
    return int(result.data.parameters.get("seed", 0))


def by_seed(first: Iterable[Result], second: Sequence[Result]) -> str:
    """Return success by world, machine and seed, of defenses with several seeds in `second`."""
    seeds: dict[str, set[int | None]] = defaultdict(set)
    for result in second:
        if result.attack.name != "none":
            seeds[_training(result)].add(result.seed)
    several = [result for result in (*first, *second) if len(seeds.get(_training(result), ())) > 1]
    defenses = sorted({result.defense.name for result in several}, key=_order)
    lines: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
    for result in several:
        share = result.metrics["attack_success"].share
        assert share is not None
        place = result.attack.name, str(world(result)), _machine(result), str(result.seed)
        lines[place][result.defense.name] = f"{share.k:,}/{share.n:,}"
    rows = [
        [*place, *(lines[place].get(name, MISSING) for name in defenses)] for place in sorted(lines)
    ]
    return markdown_table((*SEEDS, *defenses), rows)


def _order(defense: str) -> tuple[bool, bool, str]:
    return defense != "none", defense != "clip", defense


def _machine(result: Result) -> str:
    return result.environment.hardware.cpu.removesuffix(", AVX512")


def by_training(results: Iterable[Result]) -> dict[str, Row]:
    """Return rows of the leaderboard by what decides a run beside its data and its seed."""
    of_run = {result.id: result for result in results}
    rows = leaderboard(of_run.values()).to_dict("records")
    return {_training(of_run[row["runs"].split()[0]]): row for row in rows}


def _training(result: Result) -> str:
    told = {key: value for key, value in result.config.items() if key not in ("data", "seed")}
    return json.dumps(told, sort_keys=True)


def _success(row: Row) -> Sequence[str]:
    bounds = f"[{100 * row['attack_success_low']:.1f}, {100 * row['attack_success_high']:.1f}]"
    return (
        str(row["seeds"]),
        f"{_share(row, 'attack_success')} {bounds}",
        _share(row, "attack_success_control"),
        f"{row['score_auroc_mean']:.3f}" if row["score_auroc_seeds"] else MISSING,
    )


def _share(row: Row, name: str) -> str:
    return f"{row[f'{name}_k']:,}/{row[f'{name}_n']:,}"


def _top1(row: Row) -> Sequence[str]:
    return str(row["seeds"]), f"{100 * row['zeroshot_top1_mean']:.1f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("first", type=Path, help="folder of rows of one world")
    parser.add_argument("second", type=Path, help="folder of rows of another")
    chosen = parser.parse_args(arguments)
    print(tables(*(load_results([folder]) for folder in (chosen.first, chosen.second))))


if __name__ == "__main__":
    main()
