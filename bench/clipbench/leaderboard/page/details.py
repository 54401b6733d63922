"""What stands behind a row: its runs, their command, environment, metrics and configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from clipbench.evaluation.measured import Metric, Metrics
from clipbench.files.typed import Json, Object, table
from clipbench.leaderboard.cells import FULL, MISSING
from clipbench.leaderboard.page.reproduce import Command, commands
from clipbench.leaderboard.record import Record
from clipbench.results.labels import canonical, seeds_of, seeds_text
from clipbench.results.model import Result

_HASH = 12  # letters of a hash that are shown
_LONGEST = 300  # letters of a value; a patch in hex has thousands
_LEDGER = {
    "poisons": "count",
    "targets": "targets",
    "mode": "mode",
    "ledger SHA-256": "ledger_sha256",
    "trigger SHA-256": "trigger_sha256",
}


@dataclass(frozen=True)
class Shown:
    """A value as it is shown.

    Args:
        text: what is read.
        code: whether it is set as code.
        title: the whole of what `text` begins; empty: it is whole.
        bounds: its interval, in small letters; empty: it has none.
    """

    text: str
    code: bool = False
    title: str = ""
    bounds: str = ""


Facts = Sequence[tuple[str, Shown]]


@dataclass(frozen=True)
class CommandLine:
    """The command of some seeds, or why there is none."""

    which: str
    text: str
    reason: str


@dataclass(frozen=True)
class SmallTable:
    """A table that scrolls by itself; the first cell of a row is its header."""

    about: str
    head: Sequence[str]
    rows: Sequence[Sequence[Shown]]
    heading: str = ""


@dataclass(frozen=True)
class OfSeeds:
    """What some seeds share; of all of them `seeds` is empty."""

    seeds: str
    facts: Facts | None


@dataclass(frozen=True)
class Details:
    """Everything that the results of a row say."""

    anchor: str
    heading: str
    commands: Sequence[CommandLine]
    runs: SmallTable
    metrics: Sequence[SmallTable]
    training: Sequence[OfSeeds]
    environment: Sequence[OfSeeds]
    configured: str
    config: Facts
    config_sha256: str
    crafted: Facts


def anchor(results: Sequence[Result]) -> str:
    """Return the id of the details of a row; of an attack in parts each has a row."""
    part = results[0].part
    behind = "" if part is None else "-" + re.sub(r"\W", "_", part.name)
    return f"r-{results[0].id}{behind}"


def details(row: Record, results: Sequence[Result]) -> Details:
    """Return everything that the results of a row say.

    Args:
        row: of the leaderboard.
        results: the results it puts together, in the order of seeds.
    """
    parts = [FULL["attack"](row), FULL["rate (count)"](row), row.defense]
    first = results[0]
    return Details(
        anchor=anchor(results),
        heading=" · ".join(part for part in parts if part != MISSING),
        commands=[_command(command) for command in commands(results)],
        runs=_runs(results),
        metrics=list(_metrics(results)),
        training=_facts_by_seed(results, "train"),
        environment=_facts_by_seed(results, "environment"),
        configured=_seed(first),
        config=_facts(first.config),
        config_sha256=first.config_sha256,
        crafted=_facts(first.attack.crafted),
    )


def _command(command: Command) -> CommandLine:
    seeds = ", ".join(map(str, command.seeds))
    which = f"seed{'s' if len(command.seeds) > 1 else ''} {seeds}"
    if command.poison_seeds:
        which += f", poison seeds {', '.join(map(str, command.poison_seeds))}"
    return CommandLine(which, command.text, command.reason.rstrip("."))


def _seed(result: Result) -> str:
    return "the run" if result.seed is None else f"seed {seeds_text(result)}"


def _runs(results: Sequence[Result]) -> SmallTable:
    attacked = bool(results[0].attack.count)
    ledger = _LEDGER if attacked else {}
    apart = any(result.poison_seed is not None for result in results)
    seeds = ("seed", *(["poison seed"] if apart else []))
    rows = [
        [
            Shown(_plain(result.seed)),
            *([Shown(_plain(seeds_of(result)[1]))] if apart else []),
            Shown(result.id, code=True),
            Shown(result.created),
            *(_code(getattr(result.attack, key)) for key in ledger.values()),
        ]
        for result in results
    ]
    return SmallTable("Runs of this row", (*seeds, "id", "created", *ledger), rows)


def _metrics(results: Sequence[Result]) -> Iterable[SmallTable]:
    """Yield a table of the metrics of all seeds, and one for each further evaluation set."""
    first = results[0]
    yield _measured(results, [result.metrics for result in results], "all seeds")
    for number, one in enumerate(first.evaluations[1:], start=1):
        sets = [result.evaluations for result in results]
        found = [part[number].metrics if len(part) > number else {} for part in sets]
        yield _measured(results, found, one.name, f"On {one.name}")


def _measured(
    results: Sequence[Result], metrics: Sequence[Metrics], about: str, heading: str = ""
) -> SmallTable:
    names = dict.fromkeys(name for found in metrics for name in found)
    rows = [[Shown(name), *(_metric(found.get(name)) for found in metrics)] for name in names]
    head = ("metric", *map(_seed, results))
    return SmallTable(f"Metrics, {about}", head, rows, heading)


def _metric(metric: Metric | None) -> Shown:
    if metric is None:
        return Shown(MISSING)
    if (share := metric.share) is None:
        return Shown(f"{metric.value:.4g}")
    low, high = 100 * share.low, 100 * share.high
    told = f"{100 * share.value:.1f}% {share.k}/{share.n}"
    return Shown(told, bounds=f" [{low:.1f}, {high:.1f}]")


def _facts_by_seed(results: Sequence[Result], part: str) -> list[OfSeeds]:
    """Return a part of the results, once for all seeds that share it."""
    shared: dict[str, list[Result]] = {}
    for result in results:
        shared.setdefault(canonical(result.record[part]), []).append(result)
    groups = []
    for members in shared.values():
        seeds = ", ".join(map(_seed, members)) if len(shared) > 1 else ""
        value = members[0].record[part]
        groups.append(OfSeeds(seeds, None if value is None else _facts(table(value))))
    return groups


def _facts(value: Object) -> Facts:
    """Return an object as names and values."""
    return [(name, _fact(name, item)) for name, item in _flat(value, "")]


def _fact(name: str, value: Json) -> Shown:
    """Return a value: of a hash its beginning with the rest at hand, bytes in GiB, too."""
    if name.endswith("_bytes") and isinstance(value, int):
        return Shown(f"{value / 2**30:.2f} GiB ({value:,})")
    return _hash(value) or Shown(_plain(value))


def _hash(value: Json) -> Shown | None:
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{64}", value):
        return None
    return Shown(f"{value[:_HASH]}…", code=True, title=value)


def _flat(value: Object, prefix: str) -> Iterable[tuple[str, Json]]:
    for name, item in value.items():
        if isinstance(item, Mapping) and item:
            yield from _flat(item, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", item


def _code(value: Json) -> Shown:
    return Shown(MISSING) if value is None else _hash(value) or Shown(_plain(value), code=True)


def _plain(value: Json) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):,} letters)"
