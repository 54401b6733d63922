"""Worst class: zero-shot accuracy on the class that is classified worst.

A mean over classes hides what an attack or a defense does to one of them. No paper.
"""
# ruff: noqa: D102  (what each method must do is documented in clipbench.contracts.Metric)

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from clipbench.contracts import Ge, Measured, Plugin
from clipbench.evaluation.statistics import Proportion


@dataclass(frozen=True)
class WorstClass(Plugin):
    """Measure the lowest accuracy of any class.

    Args:
        images: fewest test images of a class that counts.
    """

    # Parameters: each needs a type, with its range if it has one, a default, and a line above.
    images: Annotated[int, Ge(1)] = 1

    # Numbers by name: a Proportion for a share of a count, else a float. Random numbers, if any,
    # come from measured.seed; measured.probes are those of the attack, if there is one.
    def measure(self, measured: Measured) -> Mapping[str, Proportion | float]:
        task = measured.evaluation.classification
        if task is None:  # images and captions only: nothing to measure
            return {}
        labels, classes = task.test.labels, len(task.classes)
        scores = measured.image_features(task.test.images) @ measured.classifier()
        correct = scores.argmax(1).numpy() == labels
        total = np.bincount(labels, minlength=classes)
        hits = np.bincount(labels, weights=correct, minlength=classes)
        counted = np.flatnonzero(total >= self.images)
        if not len(counted):
            return {}
        worst = counted[np.argmin(hits[counted] / total[counted])]
        return {"worst_class_top1": Proportion(int(hits[worst]), int(total[worst]))}


METRIC = WorstClass
