"""What stands behind a row: its runs, their command, environment, metrics and configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence

from clipbench.evaluation.measured import Metric, Metrics
from clipbench.files.typed import Json, Object, table
from clipbench.leaderboard.cells import FULL, MISSING
from clipbench.leaderboard.page.reproduce import Command, commands
from clipbench.leaderboard.record import Record
from clipbench.results.labels import canonical, seeds_of, seeds_text
from clipbench.results.model import Result
from clipbench.text.markup import Content, Markup, join, lines, tag

_HASH = 12  # letters of a hash that are shown
_LONGEST = 300  # letters of a value; a patch in hex has thousands
_LEDGER = {
    "poisons": "count",
    "targets": "targets",
    "mode": "mode",
    "ledger SHA-256": "ledger_sha256",
    "trigger SHA-256": "trigger_sha256",
}


def anchor(results: Sequence[Result]) -> str:
    """Return the id of the details of a row; of an attack in parts each has a row."""
    part = results[0].part
    behind = "" if part is None else "-" + re.sub(r"\W", "_", part.name)
    return f"r-{results[0].id}{behind}"


def details(row: Record, results: Sequence[Result]) -> Markup:
    """Return everything that the results of a row say.

    Args:
        row: of the leaderboard.
        results: the results it puts together, in the order of seeds.
    """
    parts = [FULL["attack"](row), FULL["rate (count)"](row), row.defense]
    heading = " · ".join(part for part in parts if part != MISSING)
    first = results[0]
    # The id stands inside: browsers open closed details around what a link leads to.
    body = tag(
        "div",
        *(_command(command) for command in commands(results)),
        _block("Runs", _runs(results)),
        _block("Metrics", *_metrics(results)),
        _block("Training", _facts_by_seed(results, "train")),
        _block("Environment", _facts_by_seed(results, "environment")),
        _block(
            f"Configuration of {_seed(first)}",
            _facts(first.config),
            tag("p", "SHA-256 ", tag("code", first.config_sha256)),
        ),
        _block("Made when pairs were poisoned", _facts(first.attack.crafted))
        if first.attack.crafted
        else None,
        class_="body",
        id=anchor(results),
    )
    return tag("details", tag("summary", heading), body, class_="row")


def _command(command: Command) -> Markup:
    seeds = ", ".join(map(str, command.seeds))
    which = f"seed{'s' if len(command.seeds) > 1 else ''} {seeds}"
    if command.poison_seeds:
        which += f", poison seeds {', '.join(map(str, command.poison_seeds))}"
    if not command.text:
        return tag("p", f"No command for {which}: {command.reason.rstrip('.')}.", class_="about")
    return _block(f"Command ({which})", tag("pre", tag("code", command.text), tabindex="0"))


def _block(heading: str, *content: Content) -> Markup:
    return tag("section", tag("h3", heading), *content)


def _seed(result: Result) -> str:
    return "the run" if result.seed is None else f"seed {seeds_text(result)}"


def _table(head: Iterable[str], rows: Iterable[Sequence[Content]], about: str) -> Markup:
    """Return a small table that scrolls by itself, the first cell of a row its header."""
    body = lines(
        tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:]))
        for row in rows
    )
    header = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in head)))
    inner = tag("table", header, tag("tbody", body))
    return tag("div", inner, class_="scroll", tabindex="0", role="group", aria_label=about)


def _runs(results: Sequence[Result]) -> Markup:
    attacked = bool(results[0].attack.count)
    ledger = _LEDGER if attacked else {}
    apart = any(result.poison_seed is not None for result in results)
    seeds = ("seed", *(["poison seed"] if apart else []))
    rows = [
        [
            _plain(result.seed),
            *([_plain(seeds_of(result)[1])] if apart else []),
            tag("code", result.id),
            result.created,
            *(_code(getattr(result.attack, key)) for key in ledger.values()),
        ]
        for result in results
    ]
    return _table((*seeds, "id", "created", *ledger), rows, "Runs of this row")


def _metrics(results: Sequence[Result]) -> Iterable[Markup]:
    """Yield a table of the metrics of all seeds, and one for each further evaluation set."""
    first = results[0]
    yield _measured(results, [result.metrics for result in results], "all seeds")
    for number, one in enumerate(first.evaluations[1:], start=1):
        sets = [result.evaluations for result in results]
        found = [part[number].metrics if len(part) > number else {} for part in sets]
        yield tag("h4", f"On {one.name}")
        yield _measured(results, found, one.name)


def _measured(results: Sequence[Result], metrics: Sequence[Metrics], about: str) -> Markup:
    names = dict.fromkeys(name for found in metrics for name in found)
    rows = [[name, *(_metric(found.get(name)) for found in metrics)] for name in names]
    return _table(("metric", *map(_seed, results)), rows, f"Metrics, {about}")


def _metric(metric: Metric | None) -> Content:
    if metric is None:
        return MISSING
    if (share := metric.share) is None:
        return f"{metric.value:.4g}"
    low, high = 100 * share.low, 100 * share.high
    told = f"{100 * share.value:.1f}% {share.k}/{share.n}"
    return join([told, tag("span", f" [{low:.1f}, {high:.1f}]", class_="bounds")])


def _facts_by_seed(results: Sequence[Result], part: str) -> Markup:
    """Return a part of the results, once for all seeds that share it."""
    shared: dict[str, list[Result]] = {}
    for result in results:
        shared.setdefault(canonical(result.record[part]), []).append(result)
    blocks: list[Content] = []
    for members in shared.values():
        if len(shared) > 1:
            blocks.append(tag("h4", ", ".join(map(_seed, members))))
        value = members[0].record[part]
        blocks.append(tag("p", "not trained here") if value is None else _facts(table(value)))
    return join(blocks)


def _facts(value: Object) -> Markup:
    """Return an object as names and values, in columns."""
    pairs = (
        tag("div", tag("dt", name), tag("dd", _fact(name, item))) for name, item in _flat(value, "")
    )
    return tag("dl", lines(pairs))


def _fact(name: str, value: Json) -> Content:
    """Return a value: of a hash its beginning with the rest at hand, bytes in GiB, too."""
    if name.endswith("_bytes") and isinstance(value, int):
        return f"{value / 2**30:.2f} GiB ({value:,})"
    return _hash(value) or _plain(value)


def _hash(value: Json) -> Content:
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{64}", value):
        return None
    return tag("code", f"{value[:_HASH]}…", title=value)


def _flat(value: Object, prefix: str) -> Iterable[tuple[str, Json]]:
    for name, item in value.items():
        if isinstance(item, Mapping) and item:
            yield from _flat(item, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", item


def _code(value: Json) -> Content:
    return MISSING if value is None else _hash(value) or tag("code", _plain(value))


def _plain(value: Json) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):,} letters)"
