"""What happened epoch by epoch, joined with the ledger after training is over."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import nn

from clipbench.contracts import Classes, EvaluationSet, Probes
from clipbench.errors import CorruptData
from clipbench.evaluation.detection import detection_metrics
from clipbench.evaluation.evaluator import attack_metrics
from clipbench.evaluation.zeroshot import zeroshot_classifier
from clipbench.models import Tokenizer, create_model, load_weights
from clipbench.shards.ledger import Ledger
from clipbench.training.distributed import Processes
from clipbench.training.session import TrainingRecord

Entry = dict[str, Any]


def history_of(
    record: TrainingRecord,
    ledger: Ledger | None,
    model: nn.Module,
    tokenizer: Tokenizer,
    evaluation: EvaluationSet,
    probes: Probes | None,
    folder: Path,
) -> tuple[list[Entry], dict[str, Any]]:
    """Return an entry for each epoch, and the detection metrics of the last scores.

    Args:
        record: what training left.
        ledger: what was poisoned; None for clean data.
        model: a model of the run's kind; its weights are replaced.
        tokenizer: its tokenizer.
        evaluation: held-out data, for the classes.
        probes: what the attack wants misread.
        folder: the run's folder, with traces and the weights kept by epoch.
    """
    poisoned = np.zeros(record.num_pairs, dtype=bool)
    if ledger is not None:
        poisoned[ledger.rows["index"].to_numpy()] = True
    entries: list[Entry] = []
    detection: dict[str, Any] = {}
    for epoch in range(1, record.epochs + 1):
        entry: Entry = {"epoch": epoch}
        phases = [item for item in record.history if item["epoch"] == epoch]
        entry["loss"] = {item["phase"]: item["loss"] for item in phases}
        entry["lr"] = phases[-1].get("lr") if phases else None
        trace = _read_trace(folder / "train" / "trace" / f"{epoch - 1:04d}.npz")
        entry |= (found := _of_trace(trace, poisoned))
        detection = found.pop("detection", detection)
        entry.pop("detection", None)
        weights = folder / "train" / "epochs" / f"{epoch:04d}.pt"
        if probes is not None and len(probes) and weights.is_file():
            entry |= _success(weights, model, tokenizer, evaluation, probes)
        entries.append(entry)
    return entries, detection


def _read_trace(path: Path) -> dict[str, Any]:
    """Return what training wrote down about an epoch.

    Raises:
        CorruptData: it is missing or damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as trace:
            return {name: trace[name] for name in ("pairs", "cross_modal", "scores")}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        raise CorruptData(
            f"{path.resolve()} is missing or damaged ({type(error).__name__}). Delete"
            f" {path.parents[1].resolve()} and start the run again; the training starts anew."
        ) from error


def _of_trace(trace: Any, poisoned: np.ndarray[Any, np.dtype[np.bool_]]) -> Entry:
    """Return sizes of the safe set and, where pairs were scored, how well the scores detect."""
    pairs = trace["pairs"]
    kept = np.unpackbits(trace["cross_modal"])[: len(pairs)].astype(bool)
    marked = poisoned[pairs]
    entry: Entry = {"pairs": len(pairs), "cross_modal_pairs": int(kept.sum())}
    if len(trace["scores"]) == 0:
        return entry
    entry["safe_set_size"] = int(kept.sum())
    if poisoned.any():
        entry["poisons_in_safe_set"] = int(kept[marked].sum())
        entry["poisons_in_epoch"] = int(marked.sum())
        found = detection_metrics(trace["scores"], marked, kept)
        names = {"auroc": "score_auroc", "auprc": "score_auprc"}
        entry["detection"] = {names.get(name, name): value for name, value in found.items()}
        entry |= {new: found[old]["value"] for old, new in names.items() if old in found}
    return entry


def _success(
    weights: Path,
    model: nn.Module,
    tokenizer: Tokenizer,
    evaluation: EvaluationSet,
    probes: Probes,
) -> Entry:
    state = torch.load(weights, map_location="cpu", weights_only=True)["model"]
    model.load_state_dict(state)
    classifier = zeroshot_classifier(model, tokenizer, evaluation.classes)
    return {"attack_success": attack_metrics(model, classifier, probes)["attack_success"]}


def control_metrics(
    weights: Path,
    model_name: str,
    probes: Probes | None,
    classes: Classes,
    processes: Processes,
) -> dict[str, Any]:
    """Return ``attack_success_control``: the attack's success on a model trained on clean data."""
    if probes is None or not len(probes):
        return {}
    model, tokenizer = create_model(model_name, 0)
    load_weights(model, weights)
    model = model.to(processes.device)
    classifier = zeroshot_classifier(model, tokenizer, classes)
    metrics = attack_metrics(model, classifier, probes)
    return {"attack_success_control": metrics["attack_success"]}
