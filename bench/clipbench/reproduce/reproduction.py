"""A result held against the same run made again."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from clipbench.evaluation.measured import Metric
from clipbench.files.typed import Json
from clipbench.results.model import Result
from clipbench.text.words import listed

Verdict = Literal["equal", "inside", "OUTSIDE", "DIFFERS", "not judged"]
_NOT_TOLD = "not recorded"
_CAUSES = {  # what rounding depends on, and where a result says it
    "threads": ("train", "threads"),
    "processes": ("train", "processes"),
    "device": ("train", "device"),
    "precision": ("train", "precision"),
    "processor": ("environment", "hardware.cpu"),
    "torch": ("environment", "torch"),
    "numpy": ("environment", "numpy"),
}
_CUTOFF = re.compile(r"_(top|r)\d+(_control)?$")
_IN_LEDGER = ("clipbench", "numpy", "pillow", "pyarrow")  # versions that a ledger records


@dataclass(frozen=True)
class Comparison:
    """One thing that a result says, and what the run made again says.

    Args:
        name: what it is.
        recorded: what the result says, for people.
        found: what was found.
        verdict: equal, to the bit; inside the recorded interval; or neither. Not judged: a number
            without an interval, or a hash that cannot be the same with other versions.
    """

    name: str
    recorded: str
    found: str
    verdict: Verdict

    @property
    def passed(self) -> bool:
        """Whether the run made again bears the result out."""
        return self.verdict not in ("OUTSIDE", "DIFFERS")


def compare(old: Result, new: Result) -> list[Comparison]:
    """Return the content of the pairs, the ledger, the test set and all metrics, held together.

    A counted share passes within the 95% Wilson interval recorded with it. Other numbers have no
    interval and are shown alone.

    Args:
        old: the recorded result.
        new: the result of the same configuration.
    """
    pairs = _hashes("pairs", old.data.content_sha256, new.data.content_sha256)
    found = [pairs]
    if old.attack.count:
        found.append(_ledgers(old, new))
    tests = [result.data.evaluation for result in (old, new)]
    verdict: Verdict = "equal" if tests[0] == tests[1] else "DIFFERS"
    found.append(Comparison("test set", tests[0].name, tests[1].name, verdict))
    return [*found, *_all_metrics(old, new)]


def causes(old: Result, new: Result) -> list[tuple[str, str, str]]:
    """Return what the numbers of two runs of one configuration may differ by.

    Rounding depends on these, and a training run that rounds otherwise ends elsewhere; other code
    of a plugin's package may do anything.

    Args:
        old: the recorded result.
        new: the result of the same configuration.

    Returns:
        What was not the same, and what it was in each.
    """
    found = []
    for name, (part, key) in _CAUSES.items():
        one, other = (_at(result.record.get(part), key) for result in (old, new))
        if one != other:
            found.append((name, one, other))
    if (one := _ways(old)) != (other := _ways(new)):
        found.append(("trained", one, other))
    used, now = _codes(old), _codes(new)
    for name, sha256 in used.items():
        if now.get(name) != sha256:
            found.append((name, sha256[:16], now.get(name, _NOT_TOLD)[:16]))
    return found


def _ways(result: Result) -> str:
    """Return by how many processes and on what a training that went on otherwise was done."""
    several = () if result.train is None else result.train.ways
    return f"by {listed([*several])}, one after the other" if several else "in one way"


def _codes(result: Result) -> dict[str, str]:
    """Return the hashes of the packages that made a result, and of those that measured it."""
    found = {f"code of {name}": sha256 for name, sha256 in result.environment.packages.items()}
    for metric in result.metric_plugins:
        for name, sha256 in metric.packages.items():
            found[f"code of {name} for {metric.name}"] = sha256
    return found


def _at(part: Json, key: str) -> str:
    """Return a value of a result for people, a key with a dot that of an inner object."""
    for name in key.split("."):
        part = part.get(name) if isinstance(part, Mapping) else None
    if isinstance(part, list):
        return listed(map(str, part)) or _NOT_TOLD
    return _NOT_TOLD if part is None else str(part)


def _all_metrics(old: Result, new: Result) -> Iterator[Comparison]:
    """Yield the comparisons of the main metrics, and of evaluation sets where there are several.

    Sets are those of the run's configuration, in its order; older results can name two alike.
    """
    for name, metric in old.metrics.items():
        yield _metrics(name, metric, new.metrics.get(name))
    entries = old.evaluations if len(old.evaluations) > 1 else ()
    for entry, again in itertools.zip_longest(entries, new.evaluations[: len(entries)]):
        for name, metric in entry.metrics.items():
            other = None if again is None else again.metrics.get(name)
            yield _metrics(f"{entry.name}: {name}", metric, other)


def _ledgers(old: Result, new: Result) -> Comparison:
    """Return how the ledgers compare; with other versions in them they cannot be the same."""
    row = _hashes("ledger", old.attack.ledger_sha256, new.attack.ledger_sha256)
    used, now = old.environment, new.environment
    same = all(getattr(used, name) == getattr(now, name) for name in _IN_LEDGER)
    is_content_same = old.data.content_sha256 == new.data.content_sha256
    if row.passed or same or not is_content_same:
        return row
    found = f"{row.found} (names other versions; the pairs are the same)"
    return Comparison(row.name, row.recorded, found, "not judged")


def _hashes(name: str, old: str | None, new: str | None) -> Comparison:
    shown = [(value or "none")[:16] for value in (old, new)]
    return Comparison(name, shown[0], shown[1], "equal" if old == new else "DIFFERS")


def _metrics(name: str, old: Metric, new: Metric | None) -> Comparison:
    """Return how a metric compares with the same one of the run made again."""
    if new is None:
        # Earlier versions measured the first five of five classes, among which every class is.
        is_cutoff = _CUTOFF.search(name) is not None and old.value == 1
        verdict: Verdict = "not judged" if is_cutoff else "DIFFERS"
        return Comparison(name, _shown(old), "not measured", verdict)
    return Comparison(name, _shown(old), _shown(new), _verdict(old, new))


def _verdict(old: Metric, new: Metric) -> Verdict:
    if old == new:
        return "equal"
    if (share := old.share) is None:
        return "not judged"
    if share.n != new.n:
        return "DIFFERS"
    return "inside" if share.low <= new.value <= share.high else "OUTSIDE"


def _shown(metric: Metric) -> str:
    if (share := metric.share) is None:
        return f"{metric.value:.6g}"
    bounds = f"[{100 * share.low:.1f}, {100 * share.high:.1f}]"
    return f"{share.k}/{share.n} {100 * share.value:.1f}% {bounds}"
