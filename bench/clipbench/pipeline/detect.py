"""Scoring the pairs of any set by what defences make of them: which look suspicious?"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from clipbench import registry
from clipbench.config import RunConfig
from clipbench.contracts import TrainingFacts, TrainingSource, trusted_size
from clipbench.errors import BadSetting
from clipbench.evaluation.detection import detection_metrics
from clipbench.leaderboard.result import environment
from clipbench.pipeline.hold import held
from clipbench.pipeline.poison import tell_left_out
from clipbench.pipeline.suspects import write_page
from clipbench.pipeline.work import IMAGINARY, work_of
from clipbench.progress import Reporter
from clipbench.shards.files import atomic_file, make_folder, write_json
from clipbench.shards.ledger import read_ledger
from clipbench.shards.reader import ShardSet
from clipbench.shards.usable import caption_field_of, open_usable
from clipbench.training.distributed import join_processes
from clipbench.training.session import score_on, scores_nothing

Scores = Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Detected:
    """What `detect` wrote.

    Args:
        table: Parquet file with a row a pair.
        page: page with the most suspicious pairs.
        metrics: by method, how well it points at poison; empty without a ledger.
    """

    table: Path
    page: Path
    metrics: Mapping[str, Mapping[str, Any]]


def detect(
    configs: Sequence[RunConfig],
    out: Path,
    *,
    cache: Path,
    reporter: Reporter,
    shards: Path | None = None,
    ledger: Path | None = None,
    drop: float = 0.1,
    shown: int = 50,
) -> Detected:
    """Score every pair of a set by each method, and write a table and a page.

    Args:
        configs: a clean run for each method, which is its defence; they differ in that alone.
        out: folder of ``scores.parquet``, ``suspicious.html`` and ``detection.json``.
        cache: for shards, decoded images, indexes, and trainings that were stopped.
        reporter: told about progress.
        shards: the pairs; None: those of the runs' data set.
        ledger: of a poisoned set, to measure the methods by.
        drop: share of the pairs, those of lowest score, for which ``poison_kept`` is measured.
        shown: pairs on the page, for each method.

    Raises:
        BadSetting: a method scores nothing, or the ledger is of another set.
    """
    first = configs[0]
    source: TrainingSource = registry.build("dataset", first.data)
    where = source.prepare(cache, reporter.progress) if shards is None else shards
    usable = open_usable(
        where,
        cache,
        caption_field=caption_field_of(source),
        on_error=first.on_error,
        progress=reporter.progress,
    )
    tell_left_out(usable, reporter)
    pairs = usable.shards
    poisoned = None if ledger is None else _poisoned(ledger, pairs)
    for config in configs:
        _check_method(config, len(pairs))
    processes = join_processes(first.train.device)
    scores: dict[str, npt.NDArray[np.float32]] = {}
    for config in configs:
        train = config.train
        reporter.note(
            f"scoring {len(pairs):,} pairs by {config.defense_name}: {train.model}, epochs"
            f" {train.epochs}, batch size {train.batch_size}, learning rate {train.lr:g}"
        )
        name = hashlib.sha256(f"{config.sha256()} {pairs.content_sha256()}".encode()).hexdigest()
        folder = cache / "scored" / name[:16]
        with held(folder, processes, reporter):
            found = score_on(where, config, folder, cache, processes, reporter)
        scores[_label(config, scores)] = found
    metrics = {} if poisoned is None else _metrics(scores, poisoned, drop)
    table, page = out / "scores.parquet", out / "suspicious.html"
    if not processes.is_first:
        return Detected(table, page, metrics)
    make_folder(out)
    with atomic_file(table) as file:
        table_of(pairs, scores).to_parquet(file, index=False)
    write_page(page, pairs, scores, shown)
    content = {
        "pairs": len(pairs),
        "content_sha256": pairs.content_sha256(),
        "methods": [{"name": c.defense_name, **c.defense_parameters} for c in configs],
        "drop": drop,
        "metrics": metrics,
        "configs": [config.to_json() for config in configs],
        "environment": environment(),
    }
    write_json(out / "detection.json", content)
    return Detected(table, page, metrics)


def _check_method(config: RunConfig, num_pairs: int) -> None:
    """Plan a method on an imaginary set: what is wrong with it is said before hours of training.

    Raises:
        BadSetting: it scores no pairs, or refuses its settings.
    """
    defense = registry.build("defense", config.defense)
    per_epoch = min(config.train.pairs_per_epoch or num_pairs, num_pairs, IMAGINARY)
    facts = TrainingFacts(
        num_pairs=per_epoch,
        pairs_per_epoch=per_epoch,
        epochs=config.train.epochs,
        batch_size=config.train.batch_size,
        feature_size=16,
        device=torch.device("cpu"),
        seed=0,
        trusted_pairs=min(trusted_size(defense), IMAGINARY),
    )
    if not work_of(defense, facts).scorings:
        raise scores_nothing(config)


def _label(config: RunConfig, taken: Scores) -> str:
    """Return a method's name, numbered where two methods share it."""
    name = config.defense_name
    same = sum(label.partition(" ")[0] == name for label in taken)
    return name if not same else f"{name} {same + 1}"


def table_of(pairs: ShardSet, scores: Scores) -> pd.DataFrame:
    """Return a row a pair: its number, key and shard, and for each method score and rank from 1.

    The lower a score, the more suspicious; pairs that were not scored have neither.
    """
    numbers = range(len(pairs))
    columns: dict[str, Any] = {
        "index": np.arange(len(pairs)),
        "key": [pairs.key(number) for number in numbers],
        "shard": [pairs.shards[pairs.shard_of(number)].path.name for number in numbers],
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
    marked = np.zeros(len(pairs), dtype=bool)
    marked[read.rows["index"].to_numpy()] = True
    return marked


def _metrics(
    scores: Scores, poisoned: npt.NDArray[np.bool_], drop: float
) -> dict[str, dict[str, Any]]:
    found = {}
    for name, values in scores.items():
        known = ~np.isnan(values)
        order = np.argsort(values[known], kind="stable")
        kept = np.ones(len(order), dtype=bool)
        kept[order[: round(drop * len(order))]] = False
        found[name] = detection_metrics(values[known], poisoned[known], kept)
    return found
