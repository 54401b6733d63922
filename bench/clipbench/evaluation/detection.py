"""How well a defense's score tells poisoned from clean pairs.

Precision and recall stand beside ROC because poison is rare: Saito, Rehmsmeier. The
Precision-Recall Plot Is More Informative than the ROC Plot When Evaluating Binary Classifiers on
Imbalanced Datasets. PLOS ONE 10(3), 2015.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, roc_auc_score

from clipbench.errors import BadInput
from clipbench.evaluation.measured import Metric
from clipbench.evaluation.statistics import Proportion


def detection_metrics(
    scores: npt.NDArray[np.float32 | np.float64],
    poisoned: npt.NDArray[np.bool_],
    kept: npt.NDArray[np.bool_] | None = None,
) -> dict[str, Metric]:
    """Return how well low scores point at poison.

    Args:
        scores: ``(num_pairs,)``, higher means safer, such as the cosine of image and caption.
        poisoned: ``(num_pairs,)``, which pairs are poison.
        kept: ``(num_pairs,)``, which pairs the defense takes for safe; None: it does not say.

    Returns:
        ``auroc``, the chance that a poison has a lower score than a clean pair (ties count half),
        ``auprc``, the average precision of calling the lowest scores poison, and
        ``poison_prevalence``, what `auprc` is by chance; with `kept` also ``poison_kept`` and
        ``clean_kept``, the shares of poison and of clean pairs taken for safe. Empty when
        there is no poison or nothing else, for then nothing is told apart.

    Raises:
        BadInput: lengths differ or a score is not a number.
    """
    lengths = [len(marks) for marks in (scores, poisoned, kept) if marks is not None]
    if len(set(lengths)) != 1:
        raise BadInput(
            f"Detection needs one score and one mark for every pair, but their numbers are "
            f"{', '.join(map(str, lengths))}."
        )
    if missing := int(np.isnan(scores).sum()):
        raise BadInput(
            f"{missing} of {len(scores)} scores are not numbers; a defense must score every pair."
        )
    if not poisoned.any() or poisoned.all():
        return {}
    risk = -scores
    metrics = {
        "auroc": _number(roc_auc_score(poisoned, risk), len(scores)),
        "auprc": _number(average_precision_score(poisoned, risk), len(scores)),
        "poison_prevalence": Metric.of(Proportion(int(poisoned.sum()), len(poisoned))),
    }
    if kept is not None:
        for name, group in (("poison_kept", poisoned), ("clean_kept", ~poisoned)):
            metrics[name] = Metric.of(Proportion(int(kept[group].sum()), int(group.sum())))
    return metrics


def _number(value: float, num_pairs: int) -> Metric:
    # A sum of shares may end an ulp above 1, which no share of anything is.
    return Metric(value=min(1.0, float(value)), n=num_pairs)
