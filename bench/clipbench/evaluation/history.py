"""What happened epoch by epoch, joined with the ledger after training is over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from msgspec import UNSET, structs
from torch import nn

from clipbench.checkpoints.record import TrainingRecord
from clipbench.checkpoints.trace import Trace, read_trace
from clipbench.contracts import AnyProbes, EvaluationSet
from clipbench.evaluation.detection import detection_metrics
from clipbench.evaluation.encoder import Encoder
from clipbench.evaluation.evaluator import probe_metrics
from clipbench.evaluation.measured import Epoch, Metric, Metrics
from clipbench.models.openclip import Tokenizer, load_weights
from clipbench.poisoning.ledger import Ledger

_SCORES = {"auroc": "score_auroc", "auprc": "score_auprc"}


def history_of(
    record: TrainingRecord,
    ledger: Ledger | None,
    model: nn.Module,
    tokenizer: Tokenizer,
    evaluation: EvaluationSet,
    probes: AnyProbes | None,
    folder: Path,
) -> tuple[list[Epoch], Metrics]:
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
    entries: list[Epoch] = []
    detection: Metrics = {}
    for epoch in range(1, record.epochs + 1):
        phases = [item for item in record.history if item.epoch == epoch]
        losses = {item.phase: None if item.loss is UNSET else item.loss for item in phases}
        lr = phases[-1].lr if phases else UNSET
        trace = read_trace(folder / "train" / "trace" / f"{epoch - 1:04d}.npz")
        found = _detection(trace, poisoned)
        detection = detection if found is None else found
        entry = _of_trace(trace, poisoned, found or {}, epoch)
        entry = structs.replace(entry, loss=losses, lr=None if lr is UNSET else lr)
        weights = folder / "train" / "epochs" / f"{epoch:04d}.pt"
        if probes is not None and len(probes) and weights.is_file():
            success = _success(weights, model, tokenizer, evaluation, probes)
            entry = structs.replace(entry, attack_success=success)
        entries.append(entry)
    return entries, detection


def _of_trace(
    trace: Trace, poisoned: npt.NDArray[np.bool_], detection: Metrics, epoch: int
) -> Epoch:
    """Return sizes of the safe set and, where pairs were scored, how well the scores detect."""
    pairs, kept = trace.pairs, trace.cross_modal
    marked = poisoned[pairs]
    entry = Epoch(epoch=epoch, pairs=len(pairs), cross_modal_pairs=int(kept.sum()))
    if not len(trace.scores) and (kept.all() or not kept.any()):
        return entry
    entry = structs.replace(entry, safe_set_size=int(kept.sum()))
    if poisoned.any():
        among, of_all = int(kept[marked].sum()), int(marked.sum())
        entry = structs.replace(entry, poisons_in_safe_set=among, poisons_in_epoch=of_all)
    scores = {name: detection[name].value for name in _SCORES.values() if name in detection}
    return structs.replace(entry, **scores)


def _detection(trace: Trace, poisoned: npt.NDArray[np.bool_]) -> Metrics | None:
    """Return how well an epoch's scores detect; None: there are none, or no poison."""
    if not poisoned.any() or not len(trace.scores):
        return None
    found = detection_metrics(trace.scores, poisoned[trace.pairs], trace.cross_modal)
    return {_SCORES.get(name, name): metric for name, metric in found.items()}


def _success(
    weights: Path,
    model: nn.Module,
    tokenizer: Tokenizer,
    evaluation: EvaluationSet,
    probes: AnyProbes,
) -> Metric:
    load_weights(model, weights)
    found = probe_metrics(Encoder(model, tokenizer), evaluation, probes)
    return structs.replace(found["attack_success"], outcomes=None)
