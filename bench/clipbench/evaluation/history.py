"""What happened epoch by epoch, joined with the ledger after training is over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from msgspec import UNSET
from torch import nn

from clipbench.checkpoints.record import TrainingRecord
from clipbench.checkpoints.trace import Trace, read_trace
from clipbench.contracts import AnyProbes, EvaluationSet
from clipbench.evaluation.detection import detection_metrics
from clipbench.evaluation.encoder import Encoder
from clipbench.evaluation.evaluator import probe_metrics
from clipbench.models.openclip import Tokenizer, load_weights
from clipbench.poisoning.ledger import Ledger

Entry = dict[str, Any]


def history_of(
    record: TrainingRecord,
    ledger: Ledger | None,
    model: nn.Module,
    tokenizer: Tokenizer,
    evaluation: EvaluationSet,
    probes: AnyProbes | None,
    folder: Path,
) -> tuple[list[Entry], dict[str, Any]]:
    """Return an entry for each epoch, and the detection metrics of the last scores.

    Args:
        record: what training left.
        ledger: what was poisoned; None for clean data.
        model: a model of the run's kind; its weights are replaced.
        tokenizer: its tokenizer.
        evaluation: held-out data, for the classes.
        probes: what the attack wants misclassified.
        folder: the run's folder, with traces and the weights kept by epoch.
    """
    poisoned = np.zeros(record.num_pairs, dtype=bool)
    if ledger is not None:
        poisoned[ledger.rows["index"].to_numpy()] = True
    entries: list[Entry] = []
    detection: dict[str, object] = {}
    for epoch in range(1, record.epochs + 1):
        entry: Entry = {"epoch": epoch}
        phases = [item for item in record.history if item.epoch == epoch]
        entry["loss"] = {item.phase: item.loss for item in phases}
        entry["lr"] = phases[-1].lr if phases and phases[-1].lr is not UNSET else None
        trace = read_trace(folder / "train" / "trace" / f"{epoch - 1:04d}.npz")
        entry |= (found := _of_trace(trace, poisoned))
        detection = found.pop("detection", detection)
        entry.pop("detection", None)
        weights = folder / "train" / "epochs" / f"{epoch:04d}.pt"
        if probes is not None and len(probes) and weights.is_file():
            entry |= _success(weights, model, tokenizer, evaluation, probes)
        entries.append(entry)
    return entries, detection


def _of_trace(trace: Trace, poisoned: np.ndarray[Any, np.dtype[np.bool_]]) -> Entry:
    """Return sizes of the safe set and, where pairs were scored, how well the scores detect."""
    pairs, kept = trace.pairs, trace.cross_modal
    marked = poisoned[pairs]
    entry: Entry = {"pairs": len(pairs), "cross_modal_pairs": int(kept.sum())}
    is_scored = len(trace.scores) > 0
    if not is_scored and (kept.all() or not kept.any()):
        return entry
    entry["safe_set_size"] = int(kept.sum())
    if poisoned.any():
        entry["poisons_in_safe_set"] = int(kept[marked].sum())
        entry["poisons_in_epoch"] = int(marked.sum())
    if poisoned.any() and is_scored:
        found = detection_metrics(trace.scores, marked, kept)
        names = {"auroc": "score_auroc", "auprc": "score_auprc"}
        entry["detection"] = {names.get(name, name): value for name, value in found.items()}
        entry |= {new: found[old]["value"] for old, new in names.items() if old in found}
    return entry


def _success(
    weights: Path,
    model: nn.Module,
    tokenizer: Tokenizer,
    evaluation: EvaluationSet,
    probes: AnyProbes,
) -> Entry:
    load_weights(model, weights)
    found = probe_metrics(Encoder(model, tokenizer), evaluation, probes)
    success = {key: value for key, value in found["attack_success"].items() if key != "outcomes"}
    return {"attack_success": success}
