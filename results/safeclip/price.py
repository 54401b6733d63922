"""What SafeCLIP costs against `clip`, in accuracy and in CPU time, seed by seed.

    python results/safeclip/price.py results/safeclip/rows

prints two Markdown tables. The first has a line per attack and training: attack success and its
control, top-1 and the CPU seconds of training, means over seeds. The second compares each SafeCLIP
with each `clip` under the same attack: by how many points its top-1 is higher, and how many times
the CPU seconds it takes. Both are of two runs of one seed; they are told as the mean over seeds,
with the lowest and the highest.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from clipbench.leaderboard.render import markdown_table
from clipbench.results.model import Result
from clipbench.results.store import load_results

HEAD = (
    *("attack", "defense", "epochs", "passes", "seeds", "success", "control", "top-1 %"),
    "CPU seconds",
)
AGAINST = ("attack", "defense", "against `clip` of", "points of top-1", "times the CPU seconds")
MISSING = "—"
Seeds = Mapping[int, Result]


class Line(NamedTuple):
    """A training: under which attack, by which defense, for how many epochs."""

    attack: str
    defense: str
    epochs: int

    @property
    def place(self) -> tuple[bool, str, int, str, int]:
        """Clean data come first, and SafeCLIP last."""
        names = ("none", "clip", "safeclip")
        by_name = names.index(self.defense.partition(" ")[0])
        return self.attack != "none", self.attack, by_name, self.defense, self.epochs


def tables(results: Iterable[Result]) -> str:
    """Return both tables.

    Raises:
        ValueError: there are two runs of one training and seed.
    """
    found: dict[Line, dict[int, Result]] = defaultdict(dict)
    for result in results:
        assert result.train is not None, result.id
        assert result.seed is not None, result.id
        line = Line(result.attack.name, _defense(result), int(result.train.epochs))
        if result.seed in found[line]:
            raise ValueError(f"two runs of {tuple(line)} with seed {result.seed}")
        found[line][result.seed] = result
    lines = sorted(found, key=lambda line: line.place)
    compared = [
        _against(ours, found[ours], clip, found[clip])
        for ours in lines
        for clip in lines
        if ours.defense.startswith("safeclip") and clip[:2] == (ours.attack, "clip")
    ]
    trained = markdown_table(HEAD, [_cells(line, found[line]) for line in lines])
    return f"{trained}\n\n{markdown_table(AGAINST, compared)}"


def _defense(result: Result) -> str:
    name = result.defense.name
    epochs = result.defense.parameters.get("unimodal_epochs")
    return name if epochs is None else f"{name} (unimodal\\_epochs={epochs})"


def _cells(line: Line, seeds: Seeds) -> list[str]:
    return [
        line.attack,
        line.defense,
        str(line.epochs),
        f"{mean(map(passes, seeds.values())):.1f}",
        str(len(seeds)),
        _counts(seeds, "attack_success"),
        _counts(seeds, "attack_success_control"),
        f"{100 * mean(map(_top1, seeds.values())):.2f}",
        f"{mean(map(_cpu, seeds.values())):.0f}",
    ]


def _against(ours: Line, safeclip: Seeds, theirs: Line, clip: Seeds) -> list[str]:
    pairs = [(safeclip[seed], clip[seed]) for seed in safeclip if seed in clip]
    return [
        ours.attack,
        ours.defense,
        f"{theirs.epochs} epochs",
        _range(pairs, lambda a, b: 100 * (_top1(a) - _top1(b)), "+.2f"),
        _range(pairs, lambda a, b: _cpu(a) / _cpu(b), ".2f"),
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


def _range(
    pairs: Sequence[tuple[Result, Result]], compared: Callable[[Result, Result], float], form: str
) -> str:
    told = [compared(*pair) for pair in pairs]
    return f"{mean(told):{form}} ({min(told):{form}} to {max(told):{form}})" if told else MISSING


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rows", type=Path, nargs="+", help="folders of rows")
    print(tables(load_results(parser.parse_args(arguments).rows)))


if __name__ == "__main__":
    main()
