"""What SafeCLIP costs against `clip`, in accuracy and in processors' time, seed by seed.

    python results/safeclip/price.py results/safeclip/rows

prints a Markdown table with a line per attack and training: success and control, top-1, and the
CPU seconds of training, each the mean over seeds; and by how many points SafeCLIP's top-1 lies
above that line's, and how many times its CPU seconds SafeCLIP takes: both of the runs of a seed
against each other, the mean over seeds with the lowest and the highest.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean

from clipbench.results.model import Result
from clipbench.results.store import load_results

HEAD = (
    *("attack", "defense", "epochs", "passes", "seeds", "success", "control"),
    *("top-1 %", "SafeCLIP's", "CPU s", "SafeCLIP's"),
)
MISSING = "—"
Seeds = dict[int, Result]
Line = tuple[str, str, int]  # attack, defense, epochs


def table(results: Iterable[Result]) -> str:
    """Return the table.

    Raises:
        ValueError: there are two runs of one line and seed, or no run of SafeCLIP.
    """
    lines: dict[Line, Seeds] = defaultdict(dict)
    for result in results:
        assert result.train is not None, result.id
        assert result.seed is not None, result.id
        line = result.attack.name, result.defense.name, int(result.train.epochs)
        if result.seed in lines[line]:
            raise ValueError(f"two runs of {line} with seed {result.seed}")
        lines[line][result.seed] = result
    told = [
        _cells(line, lines[line], _safeclip(lines, line[0])) for line in sorted(lines, key=_order)
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (HEAD, ["---"] * len(HEAD), *told))


def _order(line: Line) -> tuple[bool, str, int, str]:
    attack, defense, epochs = line
    return attack != "none", attack, ("none", "clip", "safeclip").index(defense), f"{epochs:03}"


def _safeclip(lines: Mapping[Line, Seeds], attack: str) -> Seeds:
    found = [
        seeds for (other, name, _), seeds in lines.items() if (other, name) == (attack, "safeclip")
    ]
    if len(found) != 1:
        raise ValueError(f"there are {len(found)} trainings of SafeCLIP under {attack}, not one")
    return found[0]


def _cells(line: Line, seeds: Seeds, safeclip: Seeds) -> list[str]:
    attack, defense, epochs = line
    ours = defense == "safeclip"
    return [
        attack,
        defense,
        str(epochs),
        f"{mean(map(passes, seeds.values())):.1f}",
        str(len(seeds)),
        _counts(seeds, "attack_success"),
        _counts(seeds, "attack_success_control"),
        f"{100 * mean(map(_top1, seeds.values())):.2f}",
        MISSING
        if ours
        else _against(seeds, safeclip, lambda a, b: 100 * (_top1(a) - _top1(b)), "+.1f"),
        f"{mean(map(_cpu, seeds.values())):.0f}",
        MISSING if ours else _against(seeds, safeclip, lambda a, b: _cpu(a) / _cpu(b), ".2f"),
    ]


def passes(result: Result) -> float:
    """Return how often a loss that ties image to caption saw a pair, on average."""
    return sum(entry.cross_modal_pairs or 0 for entry in result.history) / result.data.pairs


def _counts(seeds: Seeds, name: str) -> str:
    found = [result.metrics[name] for result in seeds.values() if name in result.metrics]
    counted = [(one.k, one.n) for one in found if one.k is not None and one.n is not None]
    return f"{sum(k for k, _ in counted)}/{sum(n for _, n in counted)}" if counted else MISSING


def _top1(result: Result) -> float:
    value = result.metrics["zeroshot_top1"].value
    assert value is not None
    return value


def _cpu(result: Result) -> float:
    assert result.train is not None
    return result.train.cpu_seconds


def _against(
    seeds: Seeds, safeclip: Seeds, compared: Callable[[Result, Result], float], form: str
) -> str:
    told = [compared(safeclip[seed], result) for seed, result in seeds.items() if seed in safeclip]
    return f"{mean(told):{form}} ({min(told):{form}} to {max(told):{form}})" if told else MISSING


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rows", type=Path, nargs="+", help="folders of rows")
    print(table(load_results(parser.parse_args(arguments).rows)))


if __name__ == "__main__":
    main()
