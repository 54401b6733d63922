"""No attack: the clean control of every attacked row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from clipbench.contracts import Corpus, Image, Mode, Poison, Probes, Scene


@dataclass(frozen=True)
class NoAttack:
    """Leave every pair as it is; no test image is attacked."""

    @property
    def mode(self) -> Mode:
        """Replace nothing: the set keeps its pairs."""
        return "replace"

    def num_targets(self, count: int) -> int:  # noqa: ARG002
        """Return 0: there is no target."""
        return 0

    def poison(self, scene: Scene, corpus: Corpus) -> Iterator[Poison]:  # noqa: ARG002
        """Yield nothing."""
        return iter(())

    def probes(self, scene: Scene) -> Probes:  # noqa: ARG002
        """Return no probes: without an attack there is no success rate."""
        nothing = np.zeros(0, dtype=np.int64)
        return Probes(images=(), labels=nothing, goals=nothing, clean_images=())

    def trigger(self) -> Callable[[Image], Image] | None:
        """Return None: there is no trigger."""
        return None


ATTACK = NoAttack
