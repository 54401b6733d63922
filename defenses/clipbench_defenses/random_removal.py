"""Random removal: drop random pairs and train on the rest; the control of every filter.

Not from a paper. A filter must do better than dropping the same number of pairs at random.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import torch

from clipbench.contracts import (
    DefenseRun,
    EpochPairs,
    Gt,
    Lt,
    Phase,
    Plugin,
    StatelessRun,
    TrainingFacts,
)
from clipbench.rng import generator
from clipbench_defenses._plain import loss


@dataclass(frozen=True)
class RandomRemoval(Plugin):
    """Drop pairs at random, the same ones in every epoch.

    Args:
        drop: share of all pairs to drop.
    """

    drop: Annotated[float, Gt(0), Lt(1)] = 0.1

    def start(self, facts: TrainingFacts) -> DefenseRun:
        """Return the removal for one training run."""
        return RandomRemovalRun(self.drop, facts)


class RandomRemovalRun(StatelessRun):
    """Random removal during one training run; the seed determines what is dropped."""

    def __init__(self, drop: float, facts: TrainingFacts) -> None:
        super().__init__()
        self._keep = torch.ones(facts.num_pairs, dtype=torch.bool)
        order = generator(facts.seed, "random removal").permutation(facts.num_pairs)
        self._keep[order[: round(drop * facts.num_pairs)]] = False

    def phases(self, epoch: int, pairs: EpochPairs) -> Iterator[Phase]:  # noqa: ARG002
        """Yield the one phase of an epoch."""
        yield Phase("kept", loss, keep=self._keep[torch.from_numpy(pairs.numbers)])


DEFENSE = RandomRemoval
