"""The leaderboard: results of many runs as one row a combination, with seeds put together.

A share is pooled: all successes of all seeds over all trials, with one interval, which is wider
than Wilson's where seeds vary more than chance. Where the spread over seeds says more (clean
accuracy, retrieval) its mean and sample standard deviation stand beside. What was not measured is
None, never zero, and never enters a mean.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pandas as pd

from clipbench.evaluation.clustered import clustered_interval
from clipbench.evaluation.measured import PROPORTIONS, SCALARS
from clipbench.evaluation.statistics import mean_and_spread, pool
from clipbench.leaderboard.by_part import by_part, is_pooled
from clipbench.leaderboard.eligibility import counts_of, eligibility
from clipbench.leaderboard.export import results_json
from clipbench.leaderboard.footing import (
    AUGMENTED,
    BARE,
    Machines,
    fair,
    given,
    other_machines,
)
from clipbench.leaderboard.render import to_csv, to_latex, to_markdown
from clipbench.leaderboard.rows import (
    Row,
    baseline,
    group,
    order,
    relative_cost,
    told_apart,
)
from clipbench.leaderboard.text_table import to_text
from clipbench.results.files import write_atomic
from clipbench.results.labels import Defaults, Labels, canonical
from clipbench.results.model import Result
from clipbench.results.store import newest
from clipbench.text.visible import unmistakable, visible

__all__ = ["leaderboard", "to_csv", "to_latex", "to_markdown", "to_text", "write_all"]

_POOLED = ("", "_k", "_n", "_low", "_high")
_SEEDED = ("_mean", "_sd", "_seeds")
_TOLD = ("attack", "rate", "count", "defense", "model", "data")  # what a matrix finds a cell by
_HELD_AGAINST = ("judge_runs", "cost_runs")
_OF_ELIGIBILITY = ("eligible", "undefended", "judged_by", "eligible_none", "eligible_clip")


def leaderboard(
    results: Iterable[Result], *, eligible_at: float = 0.5, defaults: Defaults | None = None
) -> pd.DataFrame:
    """Return the leaderboard: a row for attack x rate x defense x model x data, seeds aggregated.

    For a metric M that is a share, column ``M`` is k/n pooled over seeds, with ``M_k``, ``M_n``
    and the 95% interval ``M_low``, ``M_high``: Wilson's at one seed, `clustered_interval` at
    several. ``M_mean``, ``M_sd`` and ``M_seeds`` are mean, sample standard deviation, and number of
    the seeds that have it; of any metric. Fractions are in [0, 1]. ``seconds`` is the median over
    seeds, ``cost`` the ratio to defense ``none`` on the same attack, rate, model and data, machine
    by machine (`rows.relative_cost`), ``peak_memory_bytes`` the maximum. ``runs`` are the ids of
    the results that a row rests on, one a seed, with blanks between.

    ``eligible`` says whether the attack worked at all: "yes" where, of the same attack, rate,
    model, precision and data, the 95% interval of its success is at or above `eligible_at`, and
    apart from chance and from its clean control, see `eligibility`. A defense cannot be credited
    with stopping an attack that fails by itself, nor with what augmentation does: it is judged by
    defense ``clip``, of the augmentation that all have but ``none``, where that was run.
    ``judged_by`` says by which, ``eligible_none`` and ``eligible_clip`` what each says, and
    ``other_machine`` whether the row's control or what it is judged by is of another kind of
    machine than the row. ``judge_runs`` and ``cost_runs`` are the ids of the results that it is
    held against.

    An attack in parts, triggers or doses, has a row for each, see `by_part`. ``epochs``, ``passes``
    and ``trusted_pairs`` are what the training was given, see `footing.given`.

    Runs that differ in any setting that is not incidental are rows of their own, and the label of
    the defense names the setting. Of two runs that differ in incidental settings alone, the newer
    counts. A plugin's metric of several versions has columns for each, see `rows.told_apart`.

    Args:
        results: results as `store.load_results` returns them, in any order.
        eligible_at: smallest undefended attack success of an eligible row, a fraction.
        defaults: ``(kind, name) -> default parameters`` of a plugin of kind "attack", "defense" or
            "data", or None; parameters at their default are not shown in labels.
    """
    unique = told_apart(by_part(newest(results)))
    labels = Labels(unique, defaults)
    rows = group(unique, labels)
    metrics = _metric_columns(_metric_names(unique))
    judges: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in rows:
        judges[row.defense, row.context].append(row)
    controls = {result.id: result for result in unique if not result.attack.count}
    machines = Machines(unique)
    records = []
    for row in sorted(rows, key=order):
        bare, augmented = (judges.get((name, row.context), []) for name in (BARE, AUGMENTED))
        reference = baseline(row, bare)
        record = _identity(row, labels) | _measured(row, metrics) | _cost(row, reference)
        references = {BARE: reference, AUGMENTED: fair(row, augmented, bare)}
        record |= _eligible(row, references, eligible_at, controls, machines)
        records.append(record | given(row))
    _number_alike(records)
    columns = _columns(metrics)
    cells = [[record.get(column) for column in columns] for record in records]
    return pd.DataFrame(cells, columns=columns, dtype=object)  # object: else None becomes NaN


def of_runs(frame: pd.DataFrame, runs: Container[str] | None) -> pd.DataFrame:
    """Return the rows of a leaderboard that rest on the results of these ids; None: all."""
    if runs is None:
        return frame
    return frame[[told.partition(" ")[0] in runs for told in frame["runs"]]]


def write_all(
    frame: pd.DataFrame, results: Iterable[Result], folder: Path, name: str = "leaderboard"
) -> list[Path]:
    """Write a leaderboard as Markdown, CSV and LaTeX, and the results it rests on as JSON.

    Each file is written whole or not at all; the same input gives the same bytes.

    Returns:
        The paths written.

    Raises:
        ClipbenchError: if the file system refuses.
    """
    texts = {
        "md": to_markdown(frame),
        "csv": to_csv(frame),
        "tex": to_latex(frame),
        "json": results_json(newest(results)),
    }
    return [write_atomic(folder / f"{name}.{end}", text.encode()) for end, text in texts.items()]


def _identity(row: Row, labels: Labels) -> dict[str, object]:
    first = row.results[0]
    attack, defense, data = first.attack, first.defense, first.data
    return {
        "attack": labels.of("attack", first),
        "rate": attack.rate or 0.0,
        "count": attack.count,
        "targets": attack.targets,
        "defense": row.defense_label,
        "model": labels.of("model", first),
        "data": labels.of("data", first),
        "pairs": data.pairs,
        "seeds": len(row.results),
        "attack_name": unmistakable(attack.name),
        "attack_parameters": canonical(attack.parameters or {}),
        "defense_name": unmistakable(defense.name),
        "defense_parameters": canonical(defense.parameters),
        "data_parameters": canonical(data.parameters),
        "runs": _ids(row.results),
    }


def _number_alike(records: Iterable[dict[str, object]]) -> None:
    """Number defenses of rows that no label tells apart, of which a matrix would show one alone.

    Such rows differ in what labels shorten, as the end of a hash, which a stranger can choose.
    """
    seen: Counter[tuple[object, ...]] = Counter()
    for record in records:
        key = tuple(record[column] for column in _TOLD)
        seen[key] += 1
        if seen[key] > 1:
            record["defense"] = f"{record['defense']} #{seen[key]}"


def _metric_names(results: Iterable[Result]) -> dict[str, bool]:
    """Return the metrics of the table, and whether each is a share of counted trials."""
    names = dict.fromkeys(PROPORTIONS, True) | dict.fromkeys(SCALARS, False)
    found: dict[str, bool] = {}
    for result in results:
        for name, metric in result.metrics.items():
            found[name] = found.get(name, False) or metric.k is not None
    return names | {name: found[name] for name in sorted(found.keys() - names.keys())}


@dataclass(frozen=True)
class _Columns:
    """Where a metric stands.

    Args:
        name: its first column, and the beginning of the names of the others.
        counted: whether it is a share of counted trials.
    """

    name: str
    counted: bool

    @property
    def all(self) -> list[str]:
        """Their names."""
        return [f"{self.name}{end}" for end in (_POOLED if self.counted else ()) + _SEEDED]


def _metric_columns(names: Mapping[str, bool]) -> dict[str, _Columns]:
    """Return the columns of each metric; a plugin's must not take the place of another's.

    `a` of mean `a_mean` and a share `a_mean` would, and so may names that are made printable. The
    later of the two, in the order of `names`, is numbered.
    """
    found: dict[str, _Columns] = {}
    taken: set[str] = set()
    for name, counted in names.items():
        ours = name in PROPORTIONS or name in SCALARS
        columns = _Columns(name if ours else f"metrics.{visible(name)}", counted)
        number = 1
        while taken.intersection(columns.all):
            number += 1
            columns = _Columns(f"metrics.{visible(name)}#{number}", counted)
        taken.update(columns.all)
        found[name] = columns
    return found


def _columns(metrics: Mapping[str, _Columns]) -> list[str]:
    identity = ["attack", "rate", "count", "targets", "defense", "model", "data", "pairs", "seeds"]
    measured = [column for columns in metrics.values() for column in columns.all]
    training = ["exposures_mean", "exposures_seeds", "seconds", "seconds_seeds", "cost"]
    training += ["epochs", "passes", "trusted_pairs"]
    parts = ("attack", "defense", "data")
    plugins = ["attack_name", "defense_name", *(f"{part}_parameters" for part in parts)]
    return [
        *identity,
        *_OF_ELIGIBILITY,
        "other_machine",
        *measured,
        *training,
        "peak_memory_bytes",
        *plugins,
        *_HELD_AGAINST,
        "runs",
    ]


def _measured(row: Row, metrics: Mapping[str, _Columns]) -> dict[str, object]:
    record: dict[str, object] = {}
    for name, columns in metrics.items():
        column = columns.name
        present = [result.metrics[name] for result in row.results if name in result.metrics]
        record |= _spread(column, [metric.value for metric in present])
        shares = counts_of(present) if columns.counted else []
        if shares:
            pooled, (low, high) = pool(shares), clustered_interval(shares)
            record |= {column: pooled.value, f"{column}_k": pooled.k, f"{column}_n": pooled.n}
            record |= {f"{column}_low": low, f"{column}_high": high}
    exposures = [result.exposures.mean for result in row.results if result.exposures]
    spread = _spread("exposures", exposures)
    return record | {key: spread[key] for key in ("exposures_mean", "exposures_seeds")}


def _spread(name: str, values: Sequence[float]) -> dict[str, object]:
    mean, spread = mean_and_spread(values) if values else (None, None)
    return {f"{name}_mean": mean, f"{name}_sd": spread, f"{name}_seeds": len(values)}


def _cost(row: Row, reference: Sequence[Result]) -> dict[str, object]:
    trained = [result.train for result in row.results if result.train is not None]
    memory = [train.peak_memory_bytes for train in trained]
    cost, beside = relative_cost(row.results, reference)
    return {
        "cost_runs": _ids(beside),
        "seconds": median(train.seconds for train in trained) if trained else None,
        "seconds_seeds": len(trained),
        "cost": cost,
        "peak_memory_bytes": max((size for size in memory if size is not None), default=None),
    }


def _ids(results: Iterable[Result]) -> str:
    return " ".join(result.id for result in results)


def _eligible(
    row: Row,
    references: Mapping[str, Sequence[Result]],
    eligible_at: float,
    controls: Mapping[str, Result],
    machines: Machines,
) -> dict[str, object]:
    """Return what an attack did under none and under clip, and which of them judges the row.

    Augmentation is what ``clip`` itself does, so that it is judged by ``none``.
    """
    if row.context.attack[0] == "none":
        return dict.fromkeys((*_OF_ELIGIBILITY, "other_machine", "judge_runs"))
    words = {BARE: "undefended", AUGMENTED: "under clip"}
    found = {
        name: eligibility(row.results, references[name], eligible_at, called=words[name])
        for name in words
    }
    by_clip = row.defense not in (BARE, AUGMENTED) and references[AUGMENTED]
    judge = AUGMENTED if by_clip else BARE
    verdict = found[judge].verdict
    if any(map(is_pooled, row.results)):
        verdict = "unknown (not measured per trigger)"
    return {
        "eligible": verdict,
        "undefended": found[BARE].undefended,
        "judged_by": judge if references[judge] else None,
        "judge_runs": _ids(references[judge]),
        "eligible_none": found[BARE].verdict,
        "eligible_clip": found[AUGMENTED].verdict if references[AUGMENTED] else None,
        "other_machine": " ".join(other_machines(row, references[judge], controls, machines))
        or None,
    }
