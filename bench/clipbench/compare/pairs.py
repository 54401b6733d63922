"""Which results of two defenses can be compared trial by trial, and what they say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from clipbench.compare.paired import Comparison, PairedCounts, compare
from clipbench.errors import BadSetting, MissingData
from clipbench.evaluation.clustered import unpaired_difference
from clipbench.evaluation.outcomes import unpack
from clipbench.evaluation.statistics import Proportion
from clipbench.leaderboard.by_part import by_part
from clipbench.leaderboard.choice import named
from clipbench.leaderboard.footing import Machines, machines_of_ways
from clipbench.leaderboard.rows import Row, common_settings, group, order
from clipbench.results.labels import Defaults, Labels, rate_text, seeds_of, seeds_text
from clipbench.results.model import Result
from clipbench.results.side_by_side import Context
from clipbench.results.store import newest
from clipbench.text.visible import visible
from clipbench.text.words import listed

Warn = Callable[[str], object]
METRIC = "attack_success"
# What must be equal for two runs to have seen one poisoned set and to be asked the same, and what
# it means if it is not equal.
_SAME: tuple[tuple[Callable[[Result], object], str], ...] = (
    (lambda r: r.attack.ledger_sha256, "their ledgers differ, so they saw other poisons"),
    (lambda r: r.data.content_sha256, "they were trained on other data"),
    (lambda r: r.attack.trigger_sha256, "their triggers differ"),
    (lambda r: r.data.evaluation.classes_sha256, "their probes were read among other classes"),
    (lambda r: r.data.evaluation.templates_sha256, "their probes were read by other templates"),
    (lambda r: r.metrics[METRIC].n, "they were asked other probes"),
)


@dataclass(frozen=True)
class Compared:
    """Two defenses under one attack, rate, model and data, over the seeds that they share.

    Args:
        attack: its label.
        rate: poisoned share of all pairs.
        count: number of poisons.
        model: its label.
        data: its label.
        first: label of the first defense.
        second: label of the second.
        seeds: those compared.
        success: what the paired outcomes say of the difference of attack success.
        top1: difference of zero-shot top-1 accuracy, first less second, and its 95% interval; None
            where one of the runs has none.
    """

    attack: str
    rate: float
    count: int
    model: str
    data: str
    first: str
    second: str
    seeds: tuple[int, ...]
    success: Comparison
    top1: tuple[float, float, float] | None

    def to_json(self) -> dict[str, object]:
        """Return all of it under plain names; fractions are in [-1, 1]."""
        names = ("attack", "rate", "count", "model", "data", "first", "second")
        top1 = self.top1 and dict(zip(("difference", "low", "high"), self.top1, strict=True))
        return {
            **{name: getattr(self, name) for name in names},
            "seeds": list(self.seeds),
            METRIC: self.success.to_json(),
            "zeroshot_top1": top1,
        }


def compare_defenses(
    results: Iterable[Result],
    first: str,
    second: str,
    *,
    attack: str | None = None,
    defaults: Defaults | None = None,
    warn: Warn,
) -> list[Compared]:
    """Return the comparisons of two defenses, in the order of the leaderboard.

    Rows are those of the leaderboard, a trigger each where an attack has several. Of one context
    (attack, rate, model and data) those of equal settings are compared; where there are none, as of
    defenses with recipes of their own, all are.

    Args:
        results: results in any order.
        first: a defense, as `choice.named` takes it.
        second: another.
        attack: the same of an attack; None compares under every attack.
        defaults: see `tables.leaderboard`.
        warn: is told, in a line each, of what is left out and why.

    Raises:
        UnknownName: no result is of such a defense or attack.
        BadSetting: a row of the leaderboard is of both.
        MissingData: there is nothing to compare.
    """
    unique = by_part(newest(results))
    labels = Labels(unique, defaults)
    rows = sorted(group(unique, labels), key=order)
    if attack is not None:
        rows = named(rows, "attack", attack, labels)
    sides = [named(rows, "defense", text, labels) for text in (first, second)]
    if any(row is other for row in sides[0] for other in sides[1]):
        raise BadSetting(
            f"{first!r} and {second!r} both name {sides[0][0].defense_label!r}; add parameters that"
            " tell them apart, e.g. safeclip:pool_size=256."
        )
    found, machines = [], Machines(unique)
    for one, other in _pairs_of_rows(*sides):
        compared = _compared(one, other, labels, machines, warn)
        found += [compared] if compared else []
    if not found:
        raise MissingData(
            f"Nothing of {first!r} and {second!r} can be compared: run both with the same attack,"
            " rate, model, data and seeds."
        )
    return found


def _pairs_of_rows(firsts: Sequence[Row], seconds: Sequence[Row]) -> Iterator[tuple[Row, Row]]:
    """Yield which rows are compared, see `compare_defenses`."""
    contexts: dict[Context, list[Row]] = defaultdict(list)
    for row in seconds:
        contexts[_unasked(row)].append(row)
    for context in dict.fromkeys(map(_unasked, firsts)):
        every = [(a, b) for a in firsts if _unasked(a) == context for b in contexts[context]]
        own = [(a, b) for a, b in every if common_settings(a) == common_settings(b)]
        yield from own or every


def _unasked(row: Row) -> Context:
    """Return the context of a row, by whatever classes and prompts its probes were read.

    Those of others are not compared with it, which is said of their seeds.
    """
    return row.context._replace(asked="")


def _compared(
    one: Row, other: Row, labels: Labels, machines: Machines, warn: Warn
) -> Compared | None:
    """Return what the seeds say that both rows share; None if there are none."""
    sample = one.results[0]
    attack = sample.attack
    if not attack.count:
        return None
    seconds = {seeds_of(result): result for result in other.results if result.seed is not None}
    used, left_out = [], defaultdict(list)
    names = (one.defense_label, other.defense_label)
    for first in one.results:
        second = seconds.get(seeds_of(first))
        why = _objection(first, second, names) if second else ""
        if second and why:
            left_out[why].append(seeds_text(first))
        elif second:
            used.append((first, second))
    name = labels.of("attack", sample)
    for why, seeds in left_out.items():
        plural = "s" if len(seeds) > 1 else ""
        at = f"{name} at {rate_text(sample.rate)}, seed{plural} {', '.join(seeds)}"
        warn(f"{one.defense_label} and {other.defense_label} under {at} are left out: {why}.")
    if not used:
        return None
    for told in (
        _other_threads(used, names),
        _other_processes(used, names),
        _other_machines(used, names, machines),
    ):
        if told:
            warn(f"Under {name} {told}: probes at an edge may differ by that alone.")
    return Compared(
        attack=name,
        rate=sample.rate,
        count=attack.count,
        model=labels.of("model", sample),
        data=labels.of("data", sample),
        first=one.defense_label,
        second=other.defense_label,
        seeds=tuple(first.seed for first, _ in used if first.seed is not None),
        success=compare([_paired(first, second) for first, second in used]),
        top1=_accuracy(used),
    )


def _objection(first: Result, second: Result, names: tuple[str, str]) -> str:
    """Return why two results cannot be compared trial by trial; empty if they can."""
    for result, name in zip((first, second), names, strict=True):
        if (metric := result.metrics.get(METRIC)) is None or metric.outcomes is None:
            return f"{name} has no outcomes of single probes; run it again with this version"
    if first.attack.ledger_sha256 is None:
        return "no ledger says whether they saw the same poisons"
    for part, meaning in _SAME:
        if part(first) != part(second):
            return meaning
    return ""


def _other_threads(used: Sequence[tuple[Result, Result]], names: tuple[str, str]) -> str:
    """Say with how many threads two defenses were trained where that differs; else nothing."""
    told = [
        {", ".join(map(str, threads)) for threads in side}
        for side in ([_threads(result) for result in side] for side in zip(*used, strict=True))
        if all(side)
    ]
    if len(told) < len(names) or told[0] == told[1]:
        return ""
    both = (f"{name} with {' or '.join(sorted(s))}" for name, s in zip(names, told, strict=True))
    return f"numbers of threads differ, {listed(both)}"


def _other_processes(used: Sequence[tuple[Result, Result]], names: tuple[str, str]) -> str:
    """Say by how many processes two defenses were trained where a pair's differ; else nothing."""
    sides = [[_processes(result) for result in side] for side in zip(*used, strict=True)]
    if sides[0] == sides[1]:
        return ""
    both = (f"{name} by {' or '.join(sorted({*s}))}" for name, s in zip(names, sides, strict=True))
    return f"numbers of processes differ, {listed(both)}"


def _other_machines(
    used: Sequence[tuple[Result, Result]], names: tuple[str, str], machines: Machines
) -> str:
    """Say on which kinds of machines two defenses were trained where a pair's differ."""
    if all(machines.kind_of(one) == machines.kind_of(other) for one, other in used):
        return ""
    both = (
        f"{name} on {' or '.join(sorted(set(map(_machine, side))))}"
        for name, side in zip(names, zip(*used, strict=True), strict=True)
    )
    return f"kinds of machines differ, {listed(both)}"


def _machine(result: Result) -> str:
    """Return what people call the machine that a result was trained on."""
    device = "" if result.train is None else result.train.device
    if result.train is not None and (several := machines_of_ways(result.train)):
        return visible(" and then ".join(several))
    if device != "cpu":
        return visible(device)
    hardware = result.environment.hardware
    gpus = f" beside {hardware.gpus}" if hardware.gpus else ""  # which are part of its kind
    return visible(f"{hardware.cpu or device}{gpus}")


def _processes(result: Result) -> str:
    """Return by how many processes a result was trained; of several in turn each."""
    if result.train is None:
        return "none"
    counts = dict.fromkeys(way.partition(" ")[0] for way in result.train.ways)
    return visible(" and then ".join(counts)) if counts else str(result.train.processes)


def _threads(result: Result) -> tuple[int, ...]:
    """Return the numbers of threads that a result was computed with; empty: not known."""
    return () if result.train is None else result.train.threads


def _paired(first: Result, second: Result) -> PairedCounts:
    metrics = [result.metrics[METRIC] for result in (first, second)]
    return PairedCounts.of(*(unpack(metric.outcomes, metric.n or 0) for metric in metrics))


def _accuracy(used: Sequence[tuple[Result, Result]]) -> tuple[float, float, float] | None:
    """Return the difference of top-1 accuracy over the seeds, unpaired; None if one has none."""
    shares: tuple[list[Proportion], list[Proportion]] = ([], [])
    for pair in used:
        for side, result in zip(shares, pair, strict=True):
            found = result.metrics.get("zeroshot_top1")
            if found is None or found.share is None:
                return None
            side.append(found.share)
    return unpaired_difference(*shares)
