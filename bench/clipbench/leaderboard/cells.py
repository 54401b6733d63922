"""How a cell of the leaderboard reads; a table is a choice of these."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from clipbench.leaderboard.record import Record
from clipbench.results.labels import rate_text

Cell = Callable[[Record], str]
Judge = Literal["none", "clip"]

MISSING = "—"
NAMES = ("attack", "defense", "model", "data")  # columns whose texts come from outside
UNATTACKED, ELIGIBLE, INELIGIBLE = "no attack", "eligible", "not eligible"
UNDECIDED, UNKNOWN = "undecided", "unknown"


def named(column: str) -> Cell:
    """Return the cell that shows a column as it is."""
    return lambda row: str(getattr(row, column))


def _rate(row: Record) -> str:
    return f"{rate_text(row.rate)} ({row.count})" if row.count else MISSING


def _attack(row: Record) -> str:
    return row.attack if row.count else f"{row.attack} (clean)"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"


def _partial(row: Record, *seeds: int) -> str:
    """Return on how many seeds a cell rests, if not on all."""
    fewest = min(seeds)
    return "" if fewest == row.seeds else f" ({fewest}/{row.seeds} seeds)"


def _share(name: str, *, interval: bool) -> Cell:
    def cell(row: Record) -> str:
        metric = row.metric(name)
        if (share := metric.pooled) is None:
            return MISSING
        bounds = f" [{_percent(share.low)}, {_percent(share.high)}]"
        counts = f"{share.k}/{share.n} {_percent(share.value)}%"
        return f"{counts}{bounds if interval else ''}{_partial(row, metric.seeds)}"

    return cell


def _mean(name: str, *, spread: bool = True) -> Cell:
    def cell(row: Record) -> str:
        metric = row.metric(name)
        if metric.mean is None:
            return MISSING
        around = "" if metric.sd is None or not spread else f" ±{_percent(metric.sd)}"
        return f"{_percent(metric.mean)}{around}{_partial(row, metric.seeds)}"

    return cell


def _both_ways(row: Record) -> str:
    ways = [row.metric(name) for name in ("image_to_text_r1", "text_to_image_r1")]
    seeds = [metric.seeds for metric in ways if metric.seeds]
    if not seeds:
        return MISSING
    shown = "/".join(MISSING if way.mean is None else _percent(way.mean) for way in ways)
    return f"{shown}{_partial(row, *seeds)}"


def _exposures(row: Record) -> str:
    mean = row.exposures_mean
    return MISSING if mean is None else f"{mean:.1f}{_partial(row, row.exposures_seeds)}"


def _seconds(row: Record) -> str:
    seconds = row.seconds
    return MISSING if seconds is None else f"{seconds:.1f}{_partial(row, row.seconds_seeds)}"


def _cost(row: Record) -> str:
    return MISSING if row.cost is None else f"{row.cost:.2f}×"


def _memory(row: Record) -> str:
    size = row.peak_memory_bytes
    return MISSING if size is None else f"{size / 2**30:.2f} GiB"


def _eligible(row: Record) -> str:
    return row.eligible or MISSING


def verdict(row: Record) -> str:
    """Return whether a defense may be judged by a row: one of the five words of this module."""
    text = row.eligible
    if text is None:
        return UNATTACKED
    words = {"yes": ELIGIBLE, "no": INELIGIBLE, "undecided": UNDECIDED}
    return words.get(text.partition(" ")[0], UNKNOWN)


def judgment(row: Record, judge: Judge) -> str:
    """Return the one word that is said of an attack by the runs of `judge`, "none" or "clip"."""
    told = row.eligible_none if judge == "none" else row.eligible_clip
    return MISSING if told is None else told.partition(" ")[0]


def _judgments(row: Record) -> str:
    if row.eligible is None:
        return MISSING
    return f"{judgment(row, 'none')} / {judgment(row, 'clip')}"


def _other_machine(row: Record) -> str:
    return MISSING if row.eligible is None else row.other_machine or "no"


def number(column: str, digits: int = 0) -> Cell:
    """Return the cell that shows a number of a column."""

    def cell(row: Record) -> str:
        value: float | None = getattr(row, column)
        return MISSING if value is None else f"{value:,.{digits}f}"

    return cell


def _eligible_briefly(row: Record) -> str:
    text = _eligible(row).replace("(undefended ", "(").replace(", that model", ", model")
    return re.sub(r"^unknown \((?!no control).*", "unknown", text)


COMPACT: dict[str, Cell] = {
    "attack": _attack,
    "rate (count)": _rate,
    "defense": named("defense"),
    "seeds": named("seeds"),
    "success [95%]": _share("attack_success", interval=True),
    "control": _share("attack_success_control", interval=False),
    "top-1 %": _mean("zeroshot_top1"),
    "R@1 i2t/t2i %": _both_ways,
    "cost": _cost,
    "eligible": _eligible_briefly,
}
FULL: dict[str, Cell] = {
    "attack": _attack,
    "rate (count)": _rate,
    "defense": named("defense"),
    "seeds": named("seeds"),
    "success [95%]": _share("attack_success", interval=True),
    "control [95%]": _share("attack_success_control", interval=True),
    "poisoned accuracy [95%]": _share("poisoned_accuracy", interval=True),
    "top-1 %": _mean("zeroshot_top1"),
    "R@1 image to text %": _mean("image_to_text_r1"),
    "R@1 text to image %": _mean("text_to_image_r1"),
    "exposures": _exposures,
    "seconds": _seconds,
    "cost": _cost,
    "epochs": number("epochs"),
    "passes": number("passes", 1),
    "trusted pairs": number("trusted_pairs"),
    "peak memory": _memory,
    "eligible": _eligible,
    "by none / clip": _judgments,
    "other machine": _other_machine,
}
