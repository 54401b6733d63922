"""Results in the formats of other programs."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

from clipbench.evaluation.measured import Evaluation
from clipbench.results.files import write_atomic
from clipbench.results.model import Result, records

# CLIP_benchmark names a retrieval task after what is retrieved: images are retrieved by text.
_CLASSIFICATION = {
    "acc1": "zeroshot_top1",
    "acc5": "zeroshot_top5",
    "mean_per_class_recall": "mean_per_class_recall",
}
_RETRIEVAL = {
    **{f"image_retrieval_recall@{k}": f"text_to_image_r{k}" for k in (1, 5, 10)},
    **{f"text_retrieval_recall@{k}": f"image_to_text_r{k}" for k in (1, 5, 10)},
}
_TASKS = {"zeroshot_classification": _CLASSIFICATION, "zeroshot_retrieval": _RETRIEVAL}


class Row(TypedDict):
    """What CLIP_benchmark writes of a model on a data set."""

    dataset: str
    model: str
    pretrained: str
    task: str
    metrics: dict[str, float]
    language: str


def to_clip_benchmark(result: Result) -> list[Row]:
    """Return the clean accuracies of a result as CLIP_benchmark's evaluation command writes them.

    One object a task and evaluation set that was measured, in the order of the result's sets, with
    the metrics that were measured; ``clip_benchmark build`` puts such files into its table. What
    CLIP_benchmark calls ``pretrained``, the name of the weights, tells attack, rate, defense, seed
    and id of the run. The language is taken to be English, as it is of every prompt template here.
    """
    rows: list[Row] = []
    primary = Evaluation(result.data.evaluation.name, result.metrics)
    sets = result.evaluations or [primary]  # older results have no list
    for item, (task, names) in itertools.product(sets, _TASKS.items()):
        metrics = {
            theirs: item.metrics[ours].value
            for theirs, ours in names.items()
            if ours in item.metrics
        }
        if metrics:
            rows.append(
                {
                    "dataset": item.name,
                    "model": result.model.name,
                    "pretrained": _weights(result),
                    "task": task,
                    "metrics": metrics,
                    "language": "en",
                }
            )
    return rows


def write_clip_benchmark(results: Iterable[Result], folder: Path) -> list[Path]:
    """Write the rows of `to_clip_benchmark`, a file each, for ``clip_benchmark build FOLDER/*``.

    Returns:
        The paths written.

    Raises:
        ClipbenchError: if the file system refuses.
    """
    paths = []
    for result in results:
        for number, row in enumerate(to_clip_benchmark(result)):
            # Id and number make the name unique; the rest is for people, and may be cut.
            words = [row["dataset"], row["model"], result.defense.name]
            readable = "_".join(re.sub(r"[^0-9A-Za-z.-]+", "-", word)[:40] for word in words)
            path = folder / f"{result.id}-{number}_{readable}_{row['task']}.json"
            paths.append(write_atomic(path, f"{json.dumps(row, indent=2)}\n".encode()))
    return paths


def results_json(results: Iterable[Result]) -> str:
    """Return results as one JSON list."""
    return f"{json.dumps(records(results), indent=2, allow_nan=False)}\n"


def _weights(result: Result) -> str:
    attack = result.attack
    rate = f"-{attack.rate:g}" if attack.count and attack.rate is not None else ""
    seed = "" if result.seed is None else f"-seed{result.seed}"
    if result.poison_seed is not None:
        seed += f"-poisonseed{result.poison_seed}"
    return f"clipbench-{attack.name}{rate}-{result.defense.name}{seed}-{result.id}"
