"""SafeCLIP with every pair taken for safe: what its schedule does without its split.

The file has SafeCLIP's name, so that it gets its recipe.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clipbench.contracts import DefenseRun, TrainingFacts
from clipbench_defenses.safeclip import SafeCLIP, SafeCLIPRun


@dataclass(frozen=True)
class AllSafe(SafeCLIP):
    """Train as SafeCLIP does, across modalities on all pairs."""

    def start(self, facts: TrainingFacts) -> DefenseRun:
        """Return the control at work in one training."""
        return AllSafeRun(self, facts)


class AllSafeRun(SafeCLIPRun):
    """SafeCLIP at work, but for the split."""

    def _split(self, similarity: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        return np.ones(len(similarity), dtype=bool)


DEFENSE = AllSafe
