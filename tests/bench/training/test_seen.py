"""What a defence asks about pairs is computed once, and is what it asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from tiny_training import tiny_trainer

from clipbench.training.seen import SeenPairs
from clipbench_defenses.clip import AugmentedClip


def test_plain_and_augmented_similarities_are_told_apart(tmp_path: Path) -> None:
    """Whichever was asked for first, each is what it is when it is asked for alone.

    Each is computed once, and whoever is handed it may write into it.
    """
    trainer = tiny_trainer(tmp_path, AugmentedClip())

    def seen() -> SeenPairs:
        return SeenPairs(trainer.learner, trainer._pairs, 0, np.arange(96), None)

    both = seen()
    augmented, plain = both.similarity(augment=True), both.similarity()
    computed = dict(both.values)
    both.similarity(augment=True).zero_()
    assert torch.equal(both.similarity(augment=True), augmented)
    assert all(both.values[name] is value for name, value in computed.items())
    assert not torch.equal(augmented, plain)
    assert torch.equal(augmented, seen().similarity(augment=True))
    assert torch.equal(plain, seen().similarity())
