"""The page put together: one file without a network, a framework or a file beside it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from clipbench.leaderboard.by_trigger import by_trigger
from clipbench.leaderboard.cells import ELIGIBLE, MISSING, Record, verdict
from clipbench.leaderboard.charts import by_attack as charts
from clipbench.leaderboard.charts import epochs
from clipbench.leaderboard.charts.looks import legend, looks_of
from clipbench.leaderboard.curves import Panel, panels
from clipbench.leaderboard.page import triggers
from clipbench.leaderboard.page.details import anchor, details
from clipbench.leaderboard.page.table import choices, table
from clipbench.leaderboard.rows import Row, group, order
from clipbench.leaderboard.tables import leaderboard, of_runs
from clipbench.results.files import write_atomic
from clipbench.results.labels import Defaults, Labels
from clipbench.results.store import Result, newest
from clipbench.text.markup import Content, Markup, join, lines, tag, trusted
from clipbench.text.words import counted

_TITLE = "clipbench leaderboard"
_CHARTS = {  # in order: heading, and how to read the charts below it
    "rate": (
        "Attack success by rate",
        "Share of all pairs that are poison, on a logarithmic scale. Attacks run at several rates.",
    ),
    "accuracy": (
        "Attack success against clean accuracy",
        "Whiskers: 95% interval of success, one standard deviation of accuracy over seeds."
        " Better is lower right. Attacks with at least two rows.",
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
    records: list[Record] = frame.to_dict("records")  # type: ignore[assignment]
    labels = Labels(unique, defaults)
    parts = by_trigger(unique)
    rows = sorted(group(parts, Labels(parts, defaults)), key=order)  # the order of the frame
    rows = [row for row in rows if runs is None or row.results[0]["id"] in runs]
    of_run = {result["id"]: result for result in unique}
    shown = dict.fromkeys(result["id"] for row in rows for result in row.results)
    in_order = [of_run[run] for run in shown]
    main = tag(
        "main",
        _intro(records, len(in_order), eligible_at),
        _board(records, rows),
        _charts(records, in_order, defaults),
        _triggers(triggers.pictures(in_order, labels)),
        _details(records, rows),
        id="main",
    )
    return f"<!DOCTYPE html>\n{tag('html', _head(), _body(main), lang='en')}\n"


def _asset(name: str) -> Markup:
    return trusted(files(__package__).joinpath("assets", name).read_text(encoding="utf-8"))


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _head() -> Markup:
    style, script = _asset("page.css"), _asset("page.js")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)};"
        " img-src data:; base-uri 'none'; form-action 'none'"
    )
    return tag(
        "head",
        lines(
            [
                tag("meta", charset="utf-8"),
                tag("meta", http_equiv="Content-Security-Policy", content=policy),
                tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
                tag("meta", name="color-scheme", content="light dark"),
                tag("meta", name="referrer", content="no-referrer"),
                tag("title", _TITLE),
                tag("link", rel="icon", href="data:,"),  # else browsers ask for a file
                tag("style", style),
                tag("script", script, type="module"),  # a module waits for the whole page
            ]
        ),
    )


def _body(main: Markup) -> Markup:
    skip = tag("a", "Skip to the table", href="#table", class_="skip")
    names = ("table", "charts", "triggers", "details")
    links = (
        tag("a", name.capitalize(), href=f"#{name}") for name in names if f'id="{name}"' in main
    )
    bar = tag("nav", join(links, " "), aria_label="Parts of the page")
    return tag("body", skip, tag("header", tag("h1", _TITLE), bar), main)


def _intro(records: Sequence[Record], runs: int, eligible_at: float) -> Markup:
    common = [
        f"{name} {records[0][name]}"
        for name in ("model", "data")
        if len(choices(records, name)) == 1
    ]
    shared = f"All of {' and '.join(common)}. " if common else ""
    return tag(
        "p",
        f"{shared}{counted(runs, 'run')} in {counted(len(records), 'row')}, seeds put together."
        " Success: test images read as the adversary wants, pooled over seeds, with 95% interval"
        " (Wilson, wider where seeds vary more than chance). Control: the same images after"
        " training on clean data. Top-1 and R@1: mean ± sample standard deviation"
        " over seeds. Cost: training time, defense none = 1. A row is eligible where the attack"
        " succeeds under clip, which has the augmentation of all other defenses (under none where"
        f" that was not run), in at least {100 * eligible_at:g}% of the trials, by the whole of"
        " its 95% interval, beyond its control and chance; of a row that is not, no defense may be"
        " judged."
        f" {MISSING}: not measured.",
        class_="about",
    )


def _board(records: Sequence[Record], rows: Sequence[Row]) -> Markup:
    anchors = [anchor(row.results) for row in rows]
    scroll = tag(
        "div",
        table(records, anchors),
        class_="scroll board",
        tabindex="0",
        role="region",
        aria_label="Leaderboard, scrolls sideways",
    )
    shown = tag("p", f"{len(records)} of {counted(len(records), 'row')}", id="shown", role="status")
    return tag("section", tag("h2", "Table", id="table"), _filters(records), shown, scroll)


def _filters(records: Sequence[Record]) -> Markup:
    """Return the filters, hidden until the script, without which they do nothing, shows them."""
    verdicts = sorted({verdict(row) for row in records})
    boxes = [
        _select("attack", choices(records, "attack_name")),
        _select("defense", choices(records, "defense_name")),
        _select("data", choices(records, "data")),
        _select("verdict", verdicts, "eligibility"),
    ]
    text = tag("label", "text ", tag("input", type="search", name="text", autocomplete="off"))
    reset = tag("button", "show all", type="reset")
    return tag(
        "form", text, *boxes, reset, id="filters", hidden=True, role="search", aria_label="Filters"
    )


def _select(name: str, values: Sequence[str], label: str = "") -> Markup:
    options = [tag("option", "all", value=""), *(tag("option", v, value=f"={v}") for v in values)]
    return tag("label", f"{label or name} ", tag("select", *options, name=name))


def _charts(
    records: Sequence[Record], results: Sequence[Result], defaults: Defaults | None
) -> Markup | None:
    by_epoch: Sequence[Panel] = panels(results, defaults)
    if len({(row["model"], row["data"]) for row in records}) == 1:  # the page says it once
        records = [{**row, "model": "", "data": ""} for row in records]
        by_epoch = [replace(panel, model="", data="") for panel in by_epoch]
    attacked = [row for row in records if row["attack_success"] is not None]
    labels = [str(row["defense"]) for row in attacked]
    looks = looks_of([*labels, *(curve.defense for one in by_epoch for curve in one.curves)])
    figures = {
        "accuracy": charts.against_accuracy(records, looks),
        "cost": charts.against_cost(records, looks),
        "rate": charts.against_rate(records, looks),
        "safe": epochs.safe_sets(by_epoch, looks),
        "epochs": epochs.successes(by_epoch, looks),
    }
    drawn = [
        charts.panels(figures[key], *told, key) for key, told in _CHARTS.items() if figures[key]
    ]
    if not drawn:
        return None
    hollow = any(verdict(row) != ELIGIBLE for row in attacked)
    return tag("section", tag("h2", "Charts", id="charts"), legend(looks, hollow=hollow), *drawn)


def _triggers(pictures: Sequence[Markup]) -> Markup | None:
    if not pictures:
        return None
    about = tag("p", "Test images without and with the trigger.", class_="about")
    grid = tag("div", *pictures, class_="triggers")
    return tag("section", tag("h2", "Triggers", id="triggers"), about, grid)


def _details(records: Sequence[Record], rows: Sequence[Row]) -> Markup:
    parts: list[Content] = [
        details(record, row.results) for record, row in zip(records, rows, strict=True)
    ]
    return tag("section", tag("h2", "Details", id="details"), lines(parts))
