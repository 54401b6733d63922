"""Scoring the pairs of any set by what defenses make of them: which look suspicious?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from clipbench.boundary import datasets
from clipbench.configuration.config import RunConfig
from clipbench.configuration.identity import identify
from clipbench.custody.record import note_file, note_used
from clipbench.errors import BadSetting
from clipbench.evaluation.detection import detection_metrics
from clipbench.evaluation.measured import Metrics, metrics_json
from clipbench.files.json_files import write_json
from clipbench.loading.opened import check_contrast, check_trusted, usable
from clipbench.parallel.bench import Bench
from clipbench.pipeline.hold import held
from clipbench.pipeline.poison import tell_left_out
from clipbench.pipeline.suspects import write_page
from clipbench.planning.estimate import Estimate, estimate_training
from clipbench.planning.models import check_models, try_model
from clipbench.planning.plan import trusted
from clipbench.planning.tried import try_defense
from clipbench.planning.work import Work, work_for
from clipbench.plugins.faults import before_work
from clipbench.poisoning.ledger import read_ledger
from clipbench.results.result import environment
from clipbench.shards.hashes import content_of
from clipbench.shards.reader import ShardSet
from clipbench.system.durable import atomic_file, make_folder
from clipbench.text.visible import escaped
from clipbench.text.words import counted
from clipbench.training.session import score_on, scores_nothing

Scores = Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Detected:
    """What `detect` wrote.

    Args:
        table: Parquet file with one row per pair.
        page: page with the most suspicious pairs.
        metrics: by method, how well it points at poison; empty without a ledger.
    """

    table: Path
    page: Path
    metrics: Mapping[str, Metrics]


@dataclass(frozen=True)
class DetectionPlan:
    """What `detect` will do.

    Args:
        configs: a clean run for each method.
        where: the pairs, as `ShardSet.open` takes them.
        pairs: those that can be used.
        poisoned: ``(num_pairs,)``, which of them a ledger names; None: there is no ledger.
        works: what each method does.
    """

    configs: Sequence[RunConfig]
    where: str | Path
    pairs: ShardSet
    poisoned: npt.NDArray[np.bool_] | None
    works: Sequence[Work]

    def lines(self) -> list[str]:
        """Return the plan for people, a fact a line."""
        train = self.configs[0].train
        width = max(len(config.defense_name) for config in self.configs)
        methods = [
            f"  {config.defense_name:{width}}  {counted(work.epochs, 'epoch')}"
            + (f"; {told}" if (told := trusted(config)) else "")
            for config, work in zip(self.configs, self.works, strict=True)
        ]
        return [
            f"detect: {counted(len(self.pairs), 'pair')} of {self.pairs.source}; {train.model},"
            f" batch size {train.batch_size}, learning rate {train.lr:g}",
            *([f"  note: {note}"] if (note := train.warmup_note(len(self.pairs))) else []),
            *methods,
        ]

    def estimates(self, cache: Path) -> list[tuple[str, Callable[[], Estimate]]]:
        """Return what measures how long each method takes, by name; `cache` remembers speeds."""
        return [
            (config.defense_name, partial(estimate_training, config, self.pairs, work, cache))
            for config, work in zip(self.configs, self.works, strict=True)
        ]

    def check(self) -> None:
        """Find out whether the model can be made and has its weights, where no estimate has.

        Raises:
            BadSetting, MissingData, CorruptData: it can't, or hasn't.
        """
        try_model(self.configs[0])


def plan_detection(
    configs: Sequence[RunConfig],
    bench: Bench,
    *,
    shards: Path | None = None,
    ledger: Path | None = None,
) -> DetectionPlan:
    """Return what `detect` will do, so that what is wrong is said before hours of training.

    Args:
        configs: a clean run for each method, which is its defense; they differ in that alone.
        bench: for shards and indexes.
        shards: the pairs; None: those of the runs' data set.
        ledger: of a poisoned set, to measure the methods by.

    Raises:
        BadSetting: a method scores nothing, or the ledger is of another set.
        PluginFault: a method is sure to fail.
    """
    for config in configs:
        check_models(config)
        check_trusted(config)
        try_defense(config, config.defense.plugin)
    cache, reporter, source = bench.cache, bench.reporter, configs[0].data.plugin
    where = datasets.prepare(source, cache, reporter.progress) if shards is None else shards
    found = usable(where, configs[0], bench)
    tell_left_out(found, reporter)
    pairs = found.shards
    poisoned = None if ledger is None else _poisoned(ledger, pairs)
    check_contrast(pairs)
    content = content_of(where, cache / "index", reporter.progress)
    known = [identify(config, cache, reporter.progress, pairs=content) for config in configs]
    return DetectionPlan(known, where, pairs, poisoned, [_work(c, pairs) for c in known])


def _work(config: RunConfig, pairs: ShardSet) -> Work:
    """Return what a method does.

    Raises:
        BadSetting: it scores no pairs, or refuses its settings.
    """
    defense = config.defense.plugin
    with before_work():
        work = work_for(config, defense, len(pairs), until_scored=True)
    if not work.scorings:
        raise scores_nothing(config)
    return work


def detect(
    plan: DetectionPlan, out: Path, bench: Bench, *, drop: float = 0.1, shown: int = 50
) -> Detected:
    """Score every pair of a set by each method, and write a table and a page.

    Args:
        plan: methods and pairs.
        out: folder of ``scores.parquet``, ``suspicious.html`` and ``detection.json``.
        bench: for decoded images, indexes, and training runs that were stopped; the processes of
            the runs' device are joined here.
        drop: share of the pairs, those of lowest score, for which ``poison_kept`` is measured.
        shown: pairs on the page, for each method.
    """
    configs, pairs, poisoned = plan.configs, plan.pairs, plan.poisoned
    cache, reporter = bench.cache, bench.reporter
    bench = Bench.joined(configs[0].train.device, cache, reporter)
    processes = bench.processes
    known = content_of(plan.where, cache / "index", reporter.progress)
    for config in configs:
        identify(config, cache, reporter.progress, pairs=known, fresh=True)
    processes.told([config.contents for config in configs])
    scores: dict[str, npt.NDArray[np.float32]] = {}
    for config in configs:
        reporter.note(f"scoring {counted(len(pairs), 'pair')} by {config.defense_name}")
        name = hashlib.sha256(f"{config.sha256()} {pairs.pairs_sha256()}".encode()).hexdigest()
        found = _scored(plan.where, config, name[:16], bench)
        scores[_label(config, scores)] = found
    processes.part()
    metrics = {} if poisoned is None else _metrics(scores, poisoned, drop)
    table, page = out / "scores.parquet", out / "suspicious.html"
    make_folder(out)
    with atomic_file(table) as file:
        table_of(pairs, scores).to_parquet(file, index=False)
    write_page(page, pairs, scores, shown)
    content = {
        "pairs": len(pairs),
        "content_sha256": pairs.content_sha256(),
        "methods": [{**c.by_content()["defense"], "name": c.defense_name} for c in configs],
        "drop": drop,
        "metrics": {name: metrics_json(found) for name, found in metrics.items()},
        "configs": [config.hashed() for config in configs],
        "environment": environment(),
    }
    write_json(out / "detection.json", content)
    note_used("pairs", pairs.content_sha256())
    note_file(table)
    return Detected(table, page, metrics)


def follow_detection(configs: Sequence[RunConfig], shards: Path | None, bench: Bench) -> None:
    """Do what `detect` does, in a process that is not the first: that one plans, and writes.

    Args:
        configs: a clean run for each method.
        shards: the pairs; None: those of the runs' data set.
        bench: for decoded images, indexes, and training runs that were stopped.
    """
    cache, reporter = bench.cache, bench.reporter
    bench = Bench.joined(configs[0].train.device, cache, reporter)
    processes = bench.processes
    contents = processes.told([config.contents for config in configs])
    source = configs[0].data.plugin
    where = datasets.prepare(source, cache, reporter.progress) if shards is None else shards
    for config, known in zip(configs, contents, strict=True):
        _scored(where, replace(config, contents=known), "", bench)
    processes.part()


def _scored(
    where: str | Path, config: RunConfig, name: str, bench: Bench
) -> npt.NDArray[np.float32]:
    """Return a method's scores; the first process names the folder of the training."""
    folder = bench.cache / "scored" / bench.processes.told(name)
    with held(folder, bench):
        return score_on(where, config, folder, bench)


def _label(config: RunConfig, taken: Scores) -> str:
    """Return a method's name, numbered where two methods share it."""
    name = config.defense_name
    same = sum(label.partition(" ")[0] == name for label in taken)
    return name if not same else f"{name} {same + 1}"


def table_of(pairs: ShardSet, scores: Scores) -> pd.DataFrame:
    """Return one row per pair: number, key and shard, and for each method score and rank from 1.

    The lower a score, the more suspicious; pairs that were not scored have neither.
    """
    numbers = range(len(pairs))
    names = [escaped(shard.path.name) for shard in pairs.shards]
    columns: dict[str, object] = {
        "index": np.arange(len(pairs)),
        "key": [escaped(pairs.key(number)) for number in numbers],
        "shard": [names[pairs.shard_of(number)] for number in numbers],
    }
    for name, values in scores.items():
        columns[f"{name} score"] = values
        ranks = pd.Series(values).rank(method="first")
        columns[f"{name} rank"] = ranks.astype("Int64")
    return pd.DataFrame(columns)


def _poisoned(ledger: Path, pairs: ShardSet) -> npt.NDArray[np.bool_]:
    """Return which pairs a ledger names.

    Raises:
        BadSetting: it is of another set.
    """
    read = read_ledger(ledger)
    if read.content_sha256 != pairs.content_sha256():
        raise BadSetting(f"The ledger {ledger} is of other shards than {pairs.source}.")
    numbers, keys = read.rows["index"].tolist(), read.rows["key"].tolist()
    if read.num_pairs != len(pairs) or any(
        escaped(pairs.key(number)) != key for number, key in zip(numbers, keys, strict=True)
    ):
        raise BadSetting(
            f"The ledger {ledger} numbers {read.num_pairs:,} pairs, and of {pairs.source}"
            f" {len(pairs):,} can be used as they are read here, or others: its numbers would mark"
            " the wrong ones. Name the data set that was poisoned (--data, with its caption_field)"
            " and leave out the same pairs (--on-error)."
        )
    marked = np.zeros(len(pairs), dtype=bool)
    marked[numbers] = True
    return marked


def _metrics(scores: Scores, poisoned: npt.NDArray[np.bool_], drop: float) -> dict[str, Metrics]:
    found: dict[str, Metrics] = {}
    for name, values in scores.items():
        known = ~np.isnan(values)
        order = np.argsort(values[known], kind="stable")
        kept = np.ones(len(order), dtype=bool)
        kept[order[: round(drop * len(order))]] = False
        found[name] = detection_metrics(values[known], poisoned[known], kept)
    return found
