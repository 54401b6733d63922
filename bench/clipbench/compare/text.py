"""Comparisons of two defenses as a table for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from clipbench.compare.pairs import Compared
from clipbench.leaderboard.cells import MISSING
from clipbench.leaderboard.text_table import fit, shorten, wrap
from clipbench.results.labels import rate_text

Cell = Callable[[Compared], str]
_LEAST = ("top-1 A − B [95%]", "seeds", "seeds p")  # columns, missed least first

EXPLANATION = (
    "A − B: difference of attack success in points with 95% interval, over probes that both read"
    " after training on the same poison: Tango's by trials, or Student's over seeds where that is"
    " wider. McNemar p: exact, two-sided, trials taken as independent. Seeds p: exact sign-flip"
    " test over seeds, which cannot fall below 2^(1 - seeds). Top-1 A − B: zero-shot accuracy in"
    " points, unpaired, with 95% interval. No p is corrected for the number of comparisons."
    f" {MISSING}: not measured, or one seed."
)


def to_text(compared: Sequence[Compared], width: int | None = None) -> str:
    """Return the comparisons as an aligned table; what all have in common stands above it.

    Args:
        compared: comparisons, at least one.
        width: columns of the terminal to fit into; None: as wide as it is.
    """
    common = {
        name: values.pop()
        for name, cell in _NAMES.items()
        if len(values := {cell(item) for item in compared}) == 1
    }
    attacks = [item.attack for item in compared]
    short, told = shorten([attack.partition(" (")[0] for attack in attacks], attacks)
    heads = [f"{name} {value}" for name, value in common.items()]
    head = "; ".join(part for part in (", ".join(heads), _attacks(told)) if part)
    cells = {**{k: v for k, v in _NAMES.items() if k not in common}, **_CELLS}
    lines = [
        [attack if name == "attack" else cell(item) for name, cell in cells.items()]
        for item, attack in zip(compared, short, strict=True)
    ]
    table = fit([list(cells), *lines], width, names=("attack", *_NAMES), least=_LEAST)
    above = wrap(f"{head[:1].upper()}{head[1:]}.", width) if head else []
    return "\n".join([*above, table.rstrip("\n"), "", *wrap(EXPLANATION, width), ""])


def _attacks(told: Sequence[str]) -> str:
    return ", ".join(f"attack {label}" for label in told)


def _points(difference: float, low: float, high: float) -> str:
    return f"{100 * difference:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def _success(item: Compared) -> str:
    return _points(item.success.difference, item.success.low, item.success.high)


def _p(value: float | None) -> str:
    if value is None:
        return MISSING
    return f"{value:.4f}" if value >= 1e-4 else "<0.0001"


_NAMES: Mapping[str, Cell] = {
    "model": lambda item: item.model,
    "data": lambda item: item.data,
    "A": lambda item: item.first,
    "B": lambda item: item.second,
}
_CELLS: Mapping[str, Cell] = {
    "attack": lambda item: item.attack,
    "rate (count)": lambda item: f"{rate_text(item.rate)} ({item.count})",
    "A k/n": lambda item: f"{item.success.counts.first}/{item.success.counts.n}",
    "B k/n": lambda item: f"{item.success.counts.second}/{item.success.counts.n}",
    "A − B [95%]": _success,
    "McNemar p": lambda item: _p(item.success.mcnemar),
    "seeds p": lambda item: _p(item.success.sign_flip),
    "seeds": lambda item: str(len(item.seeds)),
    "top-1 A − B [95%]": lambda item: MISSING if item.top1 is None else _points(*item.top1),
}
