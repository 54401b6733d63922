"""The page put together: one file without a network, a framework or a file beside it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from clipbench.leaderboard.by_part import by_part
from clipbench.leaderboard.cells import ELIGIBLE, MISSING, verdict
from clipbench.leaderboard.charts import by_attack, epochs
from clipbench.leaderboard.charts.chart import Chart
from clipbench.leaderboard.charts.looks import Look, looks_of
from clipbench.leaderboard.charts.svg import figure, legend
from clipbench.leaderboard.curves import Curve, Panel, panels
from clipbench.leaderboard.page import triggers
from clipbench.leaderboard.page.details import anchor, details
from clipbench.leaderboard.page.found import found
from clipbench.leaderboard.page.heat import anchor_key
from clipbench.leaderboard.page.table import choices, table
from clipbench.leaderboard.record import Record, records_of
from clipbench.leaderboard.rows import group, order
from clipbench.leaderboard.tables import leaderboard, of_runs
from clipbench.leaderboard.text_table import shorten
from clipbench.results.files import write_atomic
from clipbench.results.labels import Defaults, Labels
from clipbench.results.model import Result
from clipbench.results.store import newest
from clipbench.text.markup import Markup
from clipbench.text.templates import head, render
from clipbench.text.words import counted, listed

_TITLE = "clipbench leaderboard"
_CROWDED = ("accuracy", "cost")  # charts in which marks crowd
_CHARTS = {  # in order: heading, and how to read the charts below it
    "rate": (
        "Attack success by rate",
        "Share of all pairs that are poison, on a logarithmic scale. Attacks run at several rates.",
    ),
    "accuracy": (
        "Attack success against clean accuracy",
        "Whiskers: 95% interval of success, one standard deviation of accuracy over seeds. Across,"
        " equal steps are equal ratios of errors. Better is lower right. Attacks with at least two"
        " rows.",
    ),
    "cost": (
        "Attack success against cost",
        "Training time relative to defense none on the same machine. Better is lower left.",
    ),
    "safe": (
        "Poisons in the safe set by epoch",
        "Solid: share of the poisons that the defense took for safe. Dashed: share of all pairs; a"
        " split that knew nothing would have the two on one line.",
    ),
    "epochs": (
        "Attack success by epoch",
        "With 95% interval, where it was measured by epoch.",
    ),
}


def write_page(
    results: Iterable[Result],
    path: Path,
    *,
    eligible_at: float = 0.5,
    defaults: Defaults | None = None,
    runs: Container[str] | None = None,
) -> Path:
    """Write the page of results; see `to_html`.

    Returns:
        The path.

    Raises:
        ClipbenchError: if the file system refuses.
    """
    text = to_html(results, eligible_at=eligible_at, defaults=defaults, runs=runs)
    return write_atomic(path, text.encode())


def to_html(
    results: Iterable[Result],
    *,
    eligible_at: float = 0.5,
    defaults: Defaults | None = None,
    runs: Container[str] | None = None,
) -> str:
    """Return the leaderboard as one HTML page; the same results give the same text.

    Its content security policy lets nothing run, load or be sent but what stands in it: one script
    and one style sheet, by their hashes, and pictures inside the page.

    Args:
        results: results as `store.load_results` returns them, in any order.
        eligible_at: smallest undefended attack success of an eligible row, a fraction.
        defaults: see `tables.leaderboard`.
        runs: ids of the results whose rows are shown; None: all.
    """
    unique = newest(results)
    frame = of_runs(leaderboard(unique, eligible_at=eligible_at, defaults=defaults), runs)
    records = records_of(frame)
    parts = by_part(unique)
    rows = sorted(group(parts, Labels(parts, defaults)), key=order)  # the order of the frame
    rows = [row for row in rows if runs is None or row.results[0].id in runs]
    of_run = {result.id: result for result in unique}
    shown = dict.fromkeys(result.id for row in rows for result in row.results)
    in_order = [of_run[run] for run in shown]
    anchors = [anchor(row.results) for row in rows]
    by_row = dict(zip(map(anchor_key, records), anchors, strict=True))
    charted, by_epoch = _named(records, panels(in_order, defaults))
    looks = looks_of(
        [
            *(row.defense for row in charted),
            *(curve.defense for panel in by_epoch for curve in panel.curves),
        ]
    )
    sections = {
        "found": found(records, by_row, looks, eligible_at),
        "charts": _charts(charted, by_epoch, looks),
        "triggers": triggers.pictures(in_order, Labels(unique, defaults)),
    }
    return render(
        __package__,
        "page.html",
        **head(__package__, style="page.css", script="page.js"),
        **sections,
        title=_TITLE,
        parts=_links(sections),
        counts=_counts(records, len(in_order)),
        legend=_legend(charted, looks),
        meaning=_meaning(eligible_at),
        filters=_filters(records),
        shown=f"{len(records)} of {counted(len(records), 'row')}",
        table=table(records, anchors),
        rows=[details(record, row.results) for record, row in zip(records, rows, strict=True)],
    )


def _links(sections: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return the names and anchors of the parts that the page has."""
    names = ("found", "charts", "table", "triggers", "details")
    return [(name.capitalize(), name) for name in names if sections.get(name, True)]


def _counts(records: Sequence[Record], runs: int) -> str:
    common = [
        f"{name} {getattr(records[0], name)}"
        for name in ("model", "data")
        if len(choices(records, name)) == 1
    ]
    shared = f"All of {listed(common)}. " if common else ""
    rows = counted(len(records), "row")
    return f"{shared}{counted(runs, 'run')} in {rows}, seeds put together."


def _meaning(eligible_at: float) -> str:
    return (
        "Success: test images read as the adversary wants, pooled over seeds, with 95% interval"
        " (Wilson, wider where seeds vary more than chance). Control: the same images after"
        " training on clean data. Top-1 and R@1: mean ± sample standard deviation"
        " over seeds. Cost: training time, defense none = 1. A row is eligible where the attack"
        " succeeds under clip, which has the augmentation of all other defenses (under none where"
        f" that was not run), in at least {100 * eligible_at:g}% of the trials, by the whole of"
        " its 95% interval, beyond its control and chance; of a row that is not, no defense may be"
        f" judged. {MISSING}: not measured."
    )


@dataclass(frozen=True)
class _Filter:
    """A box that narrows the table."""

    name: str
    label: str
    choices: Sequence[str]


def _filters(records: Sequence[Record]) -> list[_Filter]:
    return [
        _Filter("attack", "attack", choices(records, "attack_name")),
        _Filter("defense", "defense", choices(records, "defense_name")),
        _Filter("data", "data", choices(records, "data")),
        _Filter("verdict", "eligibility", sorted({verdict(row) for row in records})),
    ]


@dataclass(frozen=True)
class _Kind:
    """Charts of one kind."""

    key: str
    heading: str
    about: str
    figures: Sequence[Markup]

    @property
    def large(self) -> bool:
        """Whether marks crowd in them."""
        return self.key in _CROWDED


def _named(
    records: Sequence[Record], by_epoch: Sequence[Panel]
) -> tuple[list[Record], list[Panel]]:
    """Return rows and panels as charts name them: without what all of them share."""
    labels = [row.defense for row in records]
    short, _ = shorten([row.defense_name for row in records], labels)
    names = dict(zip(labels, short, strict=True))
    rows = [replace(row, defense=names[row.defense]) for row in records]
    drawn = [replace(panel, curves=tuple(_renamed(panel.curves, names))) for panel in by_epoch]
    if len(choices(records, "model")) == 1:  # the page says once what is the same everywhere
        rows = [replace(row, model="") for row in rows]
        drawn = [replace(panel, model="") for panel in drawn]
    if len(choices(records, "data")) == 1:
        rows = [replace(row, data="") for row in rows]
        drawn = [replace(panel, data="") for panel in drawn]
    return rows, drawn


def _renamed(curves: Iterable[Curve], names: Mapping[str, str]) -> Iterable[Curve]:
    return (replace(curve, defense=names.get(curve.defense, curve.defense)) for curve in curves)


def _charts(
    records: Sequence[Record], by_epoch: Sequence[Panel], looks: Mapping[str, Look]
) -> list[_Kind]:
    charts: dict[str, Sequence[Chart | None]] = {
        "accuracy": by_attack.against_accuracy(records, looks),
        "cost": by_attack.against_cost(records, looks),
        "rate": by_attack.against_rate(records, looks),
        "safe": [epochs.safe_set(f"safe-{n}", panel, looks) for n, panel in enumerate(by_epoch)],
        "epochs": [epochs.success(f"epoch-{n}", panel, looks) for n, panel in enumerate(by_epoch)],
    }
    kinds = [
        _Kind(key, *told, [figure(chart) for chart in charts[key] if chart is not None])
        for key, told in _CHARTS.items()
    ]
    return [kind for kind in kinds if kind.figures]


def _legend(records: Sequence[Record], looks: dict[str, Look]) -> Markup:
    attacked = [row for row in records if row.success is not None]
    return legend(looks, hollow=any(verdict(row) != ELIGIBLE for row in attacked))
