from __future__ import annotations

import numpy as np

from clipbench.contracts import (
    Attack,
    Classes,
    Classification,
    EvaluationSet,
    Image,
    LabelledImages,
    Scene,
)
from clipbench_attacks.none import ATTACK


class EmptyCorpus:
    """A corpus without pairs."""

    def __len__(self) -> int:
        return 0

    def caption(self, index: int) -> str:
        """Return the caption of a pair."""
        raise IndexError(index)

    def image(self, index: int) -> Image:
        """Return the image of a pair."""
        raise IndexError(index)


def test_the_clean_control_changes_nothing_and_aims_at_nothing() -> None:
    """No attack yields no poison and no probe, whatever the count."""
    images = LabelledImages(list(np.zeros((2, 8, 8, 3), np.uint8)), np.array([0, 1]))
    classes = Classes(("a", "b"), ("{}",), (("a",), ("b",)))
    evaluation = EvaluationSet("tiny", Classification(classes, images))
    scene = Scene(evaluation, lambda: images, count=0, seed=0)
    attack: Attack = ATTACK()

    assert list(attack.poison(scene, EmptyCorpus())) == []
    probes = attack.probes(scene)
    assert len(probes) == len(probes.images) == len(probes.goals) == 0
    assert (attack.num_targets(0), attack.num_targets(100)) == (0, 0)
    assert attack.trigger() is None
    assert attack.mode == "replace"
