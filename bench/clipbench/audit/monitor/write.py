"""What the monitor leaves in its folder: JSON, a spreadsheet of pairs to look at, and the page."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pandas as pd

from clipbench.audit import page as pages
from clipbench.audit.inventory import pairs as inventory
from clipbench.audit.inventory.take import FOLDER as INVENTORY
from clipbench.audit.monitor.report import TOO_FEW, Finding, Report, Share
from clipbench.audit.monitor.watch import Watched
from clipbench.check.junit import Case, write_junit
from clipbench.custody.record import note_file, note_made
from clipbench.files.json_files import write_json
from clipbench.leaderboard.render import to_csv
from clipbench.pipeline.suspects import LETTERS, thumbnail
from clipbench.shards.reader import ShardSet
from clipbench.system.durable import atomic_file, make_folder
from clipbench.text.templates import head, render
from clipbench.text.words import counted

if TYPE_CHECKING:
    import pyarrow as pa

REPORT, PAIRS, PAGE = "monitor.json", "look_at.csv", "monitor.html"
MOST_LISTED = 1_000  # pairs of an alarm in the spreadsheet
_PICTURES = 8  # of an alarm on the page
_SIDE = 96  # pixels, the longer side
_HEAD = ("alarm", "place", "key", "shard", "index", "supplier", "caption")


def write(watched: Watched, out: Path) -> None:
    """Write the report, the pairs to look at, and the page.

    Args:
        watched: what was found.
        out: folder for them.
    """
    report, shards = watched.report, watched.request.usable.shards
    make_folder(out)
    write_json(out / REPORT, to_json(report))
    table = inventory.read_pairs(
        watched.request.out / INVENTORY / inventory.NAME, ("key", "shard", "supplier")
    )
    rows = list(_rows(watched, shards, table))
    with atomic_file(out / PAIRS) as file:
        file.write(to_csv(pd.DataFrame(rows, columns=list(_HEAD))).encode("utf-8", "replace"))
    with atomic_file(out / PAGE) as file:
        file.write(_page(watched, shards).encode("utf-8", "replace"))
    for name in (REPORT, PAIRS, PAGE):
        note_file(out / name)
    for one in report.alarms:
        note_made(f"alarm {one.name}", f"p {one.p_family:.4f}, {counted(one.pairs, 'pair')}")
    note_made("verdict", report.summary)


def to_json(report: Report) -> dict[str, object]:
    """Return a report as JSON has it."""
    told: dict[str, object] = msgspec.to_builtins(report)
    alarms = [one.name for one in report.alarms]
    return {"alarm": bool(alarms), "summary": report.summary, "alarms": alarms, **told}


def write_cases(report: Report, path: Path) -> None:
    """Write a JUnit report: a case per question, and an alarm is a failure."""
    cases = [
        Case("monitor", one.title, "failure" if one.alarm else "passed", one.sentence)
        for one in report.findings
    ]
    write_junit(path, "clipbench monitor", cases)


def _rows(watched: Watched, shards: ShardSet, table: pa.Table) -> Iterator[list[object]]:
    """Yield a row for each pair to look at."""
    for one in watched.report.alarms:
        for place, index in enumerate(watched.rows[one.name][:MOST_LISTED].tolist(), 1):
            own = {name: table[name][index].as_py() for name in ("key", "shard", "supplier")}
            caption = shards.caption(index)
            yield [one.name, place, own["key"], own["shard"], index, own["supplier"], caption]


# -------------------------------------------------------------------------- the page


def _page(watched: Watched, shards: ShardSet) -> str:
    report = watched.report
    alarms = [_alarm(one, watched.rows[one.name].tolist(), shards) for one in report.alarms]
    return render(
        __package__,
        "monitor.html",
        **head(pages.__name__, style="audit.css"),
        title="A new delivery: " + ("alarm" if alarms else "no alarm"),
        summary=report.summary,
        verdict="alarm" if alarms else "calm",
        alarms=alarms,
        facts=_facts(report),
        shares=_shares(report),
        findings=[_finding(one) for one in report.findings],
        suppliers=[_supplier(one) for one in msgspec.to_builtins(report.suppliers)],
        notes=report.notes,
        alpha=f"{report.alpha:.3g}",
        percent=f"{100 * report.alpha:g}",
        divisions=f"{report.divisions:,}",
        too_few=TOO_FEW,
        file=PAIRS,
    )


def _alarm(one: Finding, rows: list[int], shards: ShardSet) -> dict[str, object]:
    pictures = [
        {
            "key": shards.key(index),
            "caption": caption if len(caption) <= LETTERS else f"{caption[:LETTERS]}…",
            "picture": base64.b64encode(thumbnail(shards, index, _SIDE)).decode(),
        }
        for index in rows[:_PICTURES]
        for caption in [shards.caption(index)]
    ]
    listed = min(len(rows), MOST_LISTED)
    return {
        "name": one.name,
        "title": one.title,
        "sentence": one.sentence,
        "chance": _chance(one.p_family),
        "listed": f"{listed:,}",
        "pictures": pictures,
    }


def _facts(report: Report) -> list[tuple[str, str]]:
    left_out = sum(report.left_out.values())
    why = ", ".join(f"{count:,} {reason}" for reason, count in report.left_out.items())
    signed = "nobody asked for signatures"
    if report.signed_by is not None:
        signed = ", ".join(f"{who} ({folder})" for folder, who in report.signed_by.items())
    return [
        ("Delivery", report.data),
        ("Pairs that can be used", f"{report.pairs:,}"),
        ("Pairs that can't be used", f"{left_out:,} ({why})" if left_out else "none"),
        ("Compared", f"{report.compared:,} new pairs with {report.earlier:,} earlier ones"),
        ("Signed by", signed),
        ("Hash of the delivery", report.content_sha256),
        ("Hash of the baseline", report.baseline_sha256),
    ]


def _shares(report: Report) -> list[tuple[str, str, str]]:
    fitting = "fit worse than the threshold, of those that do not look audited"
    return [
        (fitting, _told(report.below), _told(report.below_earlier)),
        ("look like an audited image", _told(report.seen_before), "—"),
    ]


def _finding(one: Finding) -> dict[str, object]:
    return {
        "title": one.title,
        "alarm": one.alarm,
        "value": f"{one.value:.4g}",
        "usual": f"{one.usual:.4g}",
        "chance": _chance(one.p_family),
    }


def _supplier(one: Mapping[str, Any]) -> dict[str, str]:
    return {
        "name": one["name"] + ("" if one["known"] else " (new)"),
        "new": _told(Share(**one["new"])),
        "earlier": _told(Share(**one["earlier"])),
        "fit": _fit(one["similarity"]),
        "fit_earlier": _fit(one["similarity_earlier"]),
    }


def _fit(similarity: float | None) -> str:
    return "—" if similarity is None else f"{similarity:.3f}"


def _told(share: Share | None) -> str:
    if share is None:
        return "—"
    return f"{share.k:,}/{share.n:,}, {share.value:.2%} [{share.low:.2%}, {share.high:.2%}]"


def _chance(p: float) -> str:
    return f"{p:.4f}" if p < 0.1 else f"{p:.2f}"
