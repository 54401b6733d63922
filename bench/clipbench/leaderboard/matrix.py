"""The leaderboard as squares: a row a defense, a column an attack, one metric in the cells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import pandas as pd

from clipbench.errors import BadSetting
from clipbench.leaderboard.cells import MISSING, Judge, judgment, number
from clipbench.leaderboard.record import Record, elsewhere, records_of
from clipbench.leaderboard.render import markdown_line
from clipbench.results.labels import rate_text
from clipbench.text.sinks import markdown

Key = tuple[str, float, int]  # attack, rate and count
FEW = 100  # trials below which a cell shows the counts themselves
LEAST_CONTROL = 0.01  # that stands beside success
JUDGES: tuple[Judge, ...] = ("none", "clip")
_BESIDE = ("clean top-1 %", "clean cost", "epochs", "trusted pairs")


def to_matrix(
    frame: pd.DataFrame, metric: str = "attack_success", *, eligible_at: float = 0.5
) -> str:
    """Return a Markdown table of one metric for each attack and defense, one a model and data set.

    Beside the cells stand each defense's accuracy on clean data, its cost there, and what it was
    given: epochs and trusted pairs. Below them stands what ``none`` and ``clip`` say of each
    attack.

    Args:
        frame: what `tables.leaderboard` returns.
        metric: a metric of the frame, ours or a plugin's.
        eligible_at: the share of successes for which the frame was made, for the note.

    Raises:
        BadSetting: no result has the metric.
    """
    rows = records_of(frame)
    names = (metric, f"metrics.{metric}")  # the second is that of a plugin's
    column = next((n for n in names if any(row.metric(n).seeds for row in rows)), None)
    if column is None:
        versions = dict.fromkeys(n for row in rows for n in row.metrics if _is_version(n, names))
        if versions:
            told = " and ".join(repr(name.removeprefix("metrics.")) for name in versions)
            raise BadSetting(
                f"The metric {metric!r} was measured in several versions, {told}; name one of them,"
                " or measure all results with one."
            )
        raise BadSetting(f"No result has the metric {metric!r}; `--json` shows what there is.")
    metric = column
    last = f"{_pooled(metric, rows)}{elsewhere(rows)}"
    squares: dict[str, list[Record]] = defaultdict(list)
    for row in rows:
        squares[f"model {row.model}, data {row.data}"].append(row)
    if len(squares) == 1:
        told, rows = squares.popitem()
        note = _note(f"{metric}, {told}", eligible_at) + last
        return "\n".join([*_square(rows, metric), "", note, ""])
    lines: list[str] = []
    for told, rows in sorted(squares.items()):
        head = markdown(f"{told[:1].upper()}{told[1:]}.")
        lines += [head, "", *_square(rows, metric), ""]
    return "\n".join([*lines, _note(metric, eligible_at) + last, ""])


def _is_version(column: str, names: Sequence[str]) -> bool:
    """Return whether a column is of one version of a metric, see `rows.told_apart`."""
    return any(column.startswith(f"{name} (") and column.endswith(")") for name in names)


def _square(rows: Sequence[Record], metric: str) -> list[str]:
    """Return the lines of the table of one model and data set."""
    attacks = {_key(row): row for row in rows if row.count}
    clean = {row.defense: row for row in rows if not row.count}
    defenses = {row.defense: _first(row) for row in rows}
    cells = {(row.defense, _key(row)): _cell(row, metric) for row in rows}
    head = ["defense", *map(_title, attacks.values()), *_BESIDE]
    lines = [markdown_line(map(markdown, head)), markdown_line("---" for _ in head)]
    for defense in sorted(defenses, key=defenses.__getitem__):
        found = [cells.get((defense, key), MISSING) for key in attacks]
        beside = _clean(clean.get(defense))
        lines.append(markdown_line(map(markdown, [defense, *found, *beside])))
    for judge in JUDGES:
        told = [_judged(rows, key, judge) for key in attacks]
        if set(told) != {MISSING}:
            line = [f"eligible by {judge}", *told, *[""] * len(_BESIDE)]
            lines.append(markdown_line(map(markdown, line)))
    return lines


def _judged(rows: Sequence[Record], key: Key, judge: Judge) -> str:
    """Return what the runs of a judge say of an attack; of several recipes what each says."""
    of_attack = [row for row in rows if _key(row) == key]
    own = [row for row in of_attack if row.defense_name == "none"] or of_attack
    told = dict.fromkeys(judgment(row, judge) for row in own)
    return ", ".join(told)


def _key(row: Record) -> Key:
    return row.attack, row.rate, row.count


def _title(row: Record) -> str:
    return f"{row.attack} {rate_text(row.rate)}"


def _first(row: Record) -> tuple[int, str, float, str]:
    """Return what defenses are sorted by: the two that all are held against come first."""
    name = row.defense_name
    return {"none": 0, "clip": 1}.get(name, 2), name, row.epochs or 0, row.defense


def _cell(row: Record, metric: str) -> str:
    """Return the metric, over its control; in brackets where no defense is judged by the row."""
    measured = row.metric(metric)
    if measured.mean is None:
        return MISSING
    if (share := measured.pooled) is not None:
        text = f"{share.k}/{share.n}" if share.n < FEW else f"{100 * share.value:.1f}%"
        text += _over(row, f"{metric}_control")
    else:
        text = f"{measured.mean:.3f}"
    seeds = row.seeds
    if seeds > 1:
        behind = f"{seeds}" if measured.seeds == seeds else f"{measured.seeds}/{seeds}"
        text += f" ({behind} seeds)"
    if row.eligible == "yes":
        return text
    undecided = str(row.eligible).startswith("undecided")
    return f"[{text}]?" if undecided else f"[{text}]"


def _over(row: Record, control: str) -> str:
    """Return what the same probes give without poison, where that is not next to nothing."""
    share = row.metric(control).pooled
    if share is None or share.value < LEAST_CONTROL:
        return ""
    return f" over {share.k}/{share.n}" if share.n < FEW else f" over {100 * share.value:.1f}%"


def _clean(row: Record | None) -> list[str]:
    if row is None:
        return [MISSING] * len(_BESIDE)
    top1, cost = row.top1.mean, row.cost
    return [
        MISSING if top1 is None else f"{100 * top1:.1f}",
        MISSING if cost is None else f"{cost:.2f}×",
        number("epochs")(row),
        number("trusted_pairs")(row),
    ]


def _pooled(metric: str, rows: Sequence[Record]) -> str:
    """Say that a metric of pairs is that of all triggers or doses of an attack, where it has any.

    Of a metric of probes each part has its own, see `by_part`.
    """
    own = metric.removesuffix("_control").endswith("attack_success")
    runs = [row.runs for row in rows if row.count]
    if own or len(set(runs)) == len(runs):
        return ""
    return " Of an attack in parts, triggers or doses, it is over all of them, in each column."


def _note(subject: str, eligible_at: float) -> str:
    least = f"{100 * LEAST_CONTROL:g}%"
    return (
        f"{markdown(subject)}. Shares are pooled over seeds, counts where there are fewer than"
        f" {FEW} probes. Over: the control, the same probes after training on clean data, where it"
        f" is {least} or more. In brackets: no defense is judged by it, for under clip,"
        " which has the augmentation of all other defenses (clip itself: under none), the attack"
        f" was not seen to succeed on at least {100 * eligible_at:g}% of its probes, beyond its"
        " control and chance; with a question mark where its 95% interval holds that bound. Clean:"
        " the same training on clean data; its cost relative to defense none, with all views,"
        " scoring and first models; epochs of the recipe; pairs that the defense is given as"
        f" clean, for nothing. {MISSING}: not measured."
    )
