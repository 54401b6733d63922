"""Measures a checkpoint, as ``clipbench evaluate`` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clipbench.api.results import Evaluation
from clipbench.api.runs import specs_for
from clipbench.api.work import reporter_for
from clipbench.configuration.request import default_cache
from clipbench.plugins.objects import spec_for
from clipbench.plugins.spec import SpecLike
from clipbench.system.threads import share_processors

if TYPE_CHECKING:
    from clipbench.contracts import EvaluationSource, Metric


def evaluate(
    checkpoint: str | Path,
    model: str,
    *,
    data: SpecLike | Path | EvaluationSource | None = None,
    evals: Sequence[SpecLike | Path | EvaluationSource] = (),
    metrics: Sequence[SpecLike | Path | Metric] = (),
    ledger: str | Path | None = None,
    allow: Sequence[str] = (),
    device: str = "auto",
    cache: str | Path | None = None,
    progress: bool = True,
) -> Evaluation:
    """Measure a checkpoint of clipbench or open_clip.

    Args:
        checkpoint: weights, or a folder that holds them, such as ``result.folder / "model"``.
        model: open_clip model name or configuration file.
        data: training source whose held-out data are used where `evals` names none; None: that of
            the ledger, else ``shapes``.
        evals: evaluation sources.
        metrics: metrics beside those that every run has.
        ledger: ledger of the poisoned set that the model was trained on; measures the attack, too.
        allow: what the ledger may name beside what is installed, see ``clipbench evaluate --help``.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        cache: folder that remembers hashes of files; None: that of the command.
        progress: whether to report progress.

    Raises:
        BadInput: something that is named cannot be used.
    """
    share_processors()  # before torch is loaded
    from clipbench.parallel.bench import Bench  # noqa: PLC0415 - heavy
    from clipbench.pipeline.evaluate import Checkpoint, evaluate_checkpoint  # noqa: PLC0415

    with reporter_for(not progress) as reporter:
        asked = Checkpoint(
            Path(checkpoint),
            model,
            data=None if data is None else spec_for("dataset", data),
            evals=specs_for("dataset", evals),
            metrics=specs_for("metric", metrics),
            ledger=None if ledger is None else Path(ledger),
            allowed=allow,
        )
        home = default_cache() if cache is None else Path(cache)
        measured = evaluate_checkpoint(asked, Bench(home, reporter=reporter), device)
    return Evaluation(measured)
