"""No attack: the clean control that every attacked row is read against."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from clipbench.contracts import Corpus, Image, Mode, Poison, Probes, Scene


@dataclass(frozen=True)
class NoAttack:
    """Leave every pair as it is, and want no image misread."""

    @property
    def mode(self) -> Mode:
        """Nothing is added to the set, so its pairs keep their number."""
        return "replace"

    def num_targets(self, count: int) -> int:  # noqa: ARG002
        """Return 0: nothing is aimed at."""
        return 0

    def poison(self, scene: Scene, corpus: Corpus) -> Iterator[Poison]:  # noqa: ARG002
        """Yield nothing."""
        return iter(())

    def probes(self, scene: Scene) -> Probes:  # noqa: ARG002
        """Return no images: success of an attack that was not made is not a number."""
        nothing = np.zeros(0, dtype=np.int64)
        return Probes(images=(), labels=nothing, goals=nothing, clean_images=())

    def trigger(self) -> Callable[[Image], Image] | None:
        """Return None: there is no trigger."""
        return None


ATTACK = NoAttack
