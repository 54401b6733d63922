"""A poisoned set, whatever it is made from: inverted images with a caption of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from clipbench.contracts import (
    Classes,
    Classification,
    EvaluationSet,
    LabelledImages,
    Poison,
    Scene,
)
from clipbench.poisoning.overlay import PoisonedSet, write_poisoned
from clipbench.shards.reader import ShardSet


class Stain:
    """Replaces or inserts inverted images with a caption of their own."""

    def __init__(self, mode: str = "replace") -> None:
        self.mode = mode

    def num_targets(self, count: int) -> int:
        """Return one target."""
        return min(1, count)

    def poison(self, scene: Scene, corpus: Any) -> Any:
        """Yield inverted images."""
        for n in range(scene.count):
            yield Poison(f"a stained dog {n}", 255 - corpus.image(n))

    def probes(self, scene: Scene) -> None:
        """Refuse: no test asks for probes."""
        raise NotImplementedError(f"no test asks for probes of {scene}")

    def trigger(self) -> Any:
        """Return the inversion."""
        return np.invert


def poisoned(base: ShardSet, out: Path, mode: str = "replace", count: int = 4) -> PoisonedSet:
    """Write a poisoned set."""
    labelled = LabelledImages([np.zeros((4, 4, 3), np.uint8)], np.zeros(1, np.int64))
    classes = Classes(("dog",), ("a {}",), (("dog",),))
    held_out = EvaluationSet("tiny", Classification(classes, labelled))
    return write_poisoned(
        base,
        Stain(mode),
        Scene(held_out, lambda: labelled, count, 0),
        out,
        attack_name="stain",
        attack_parameters={"mode": mode},
        dataset={"name": "shards", "caption_field": base.caption_field},
    )
