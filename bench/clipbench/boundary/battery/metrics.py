"""What every metric owes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.nn import functional as F

from clipbench.boundary.battery.checks import (
    SIZE,
    Check,
    checked,
    is_frozen,
)
from clipbench.boundary.metrics import measure
from clipbench.contracts import (
    AnyProbes,
    EvaluationSet,
    Image,
    Measured,
    Metric,
)
from clipbench.errors import BadSetting, BrokenContract, PluginFault
from clipbench.plugins.faults import Call, is_ours
from clipbench.rng import generator


class _Imagined:
    """Held-out data with random features, see `clipbench.contracts.Measured`."""

    def __init__(self, evaluation: EvaluationSet, probes: AnyProbes | None) -> None:
        self.evaluation, self.probes, self.seed = evaluation, probes, 0

    def image_features(self, images: Sequence[Image]) -> torch.Tensor:
        return self._drawn(len(images), "images")

    def text_features(self, texts: Sequence[str]) -> torch.Tensor:
        return self._drawn(len(texts), "texts")

    def classifier(self) -> torch.Tensor:
        return self._drawn(len(self.evaluation.classes), "classes").T

    def _drawn(self, count: int, what: str) -> torch.Tensor:
        drawn = generator(0, "imaginary features", what).standard_normal((count, SIZE))
        return F.normalize(torch.from_numpy(drawn.astype(np.float32)), dim=1)


def of_metric(metric: Metric, evaluation: EvaluationSet) -> Iterator[Check]:
    """Try a metric on random features of a held-out set."""
    given: Measured = _Imagined(evaluation, None)
    yield checked("is a frozen dataclass", lambda: is_frozen("metric", metric))
    yield checked("measures numbers by name", lambda: measure(metric, given))
    yield checked("measures the same twice", lambda: _same_values(metric, given))


def _same_values(metric: Metric, given: Measured) -> None:
    one, two = (measure(metric, given) for _ in range(2))
    if dict(one) != dict(two):
        raise Call("metric", metric, "measure").broken(
            "asked twice, it measures other numbers; draw random numbers from measured.seed."
        )


def before_measuring(metric: Metric, sets: Sequence[EvaluationSet]) -> None:
    """Refuse a metric from outside that is sure to fail, before there is a model to measure.

    Raises:
        BrokenContract: it broke one.
    """
    if is_ours(metric):
        return
    for evaluation in sets:
        try:
            measure(metric, _Imagined(evaluation, None))
        except BrokenContract:
            raise
        except (PluginFault, BadSetting):
            continue  # such as for want of probes
