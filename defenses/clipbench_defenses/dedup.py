"""De-duplication: keep a few pairs of each group of images that look the same.

Which do, the perceptual hash pHash says: see `clipbench.toolkit.lookalikes`.

Not from a paper on poisoning. Crawled sets are often de-duplicated before training, which removes
the copies of an attack that repeats one image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from clipbench.contracts import DefenseRun, EpochPairs, Ge, Le, Phase, Plugin, TrainingFacts
from clipbench.rng import generator
from clipbench.toolkit.lookalikes import MOST_APART, alike, hashes_of
from clipbench_defenses._plain import loss


@dataclass(frozen=True)
class Dedup(Plugin):
    """Keep at most some pairs of each group of images that look the same.

    Args:
        copies: pairs to keep of each group, drawn from the seed; 0: none of a group of several.
        distance: largest difference of two hashes that count as the same, 0 to 3 of 64 bits. An
            image that is saved again differs by 0 or 2.
    """

    copies: Annotated[int, Ge(0)] = 1
    distance: Annotated[int, Ge(0), Le(MOST_APART)] = 3

    def start(self, facts: TrainingFacts) -> DefenseRun:
        """Return the de-duplication for one training run."""
        return DedupRun(self, facts.seed)


class DedupRun:
    """De-duplication during one training run; it looks at all images before the first epoch."""

    def __init__(self, config: Dedup, seed: int) -> None:
        self._config, self._seed = config, seed
        self._keep: Tensor | None = None

    def phases(self, epoch: int, pairs: EpochPairs) -> Iterator[Phase]:  # noqa: ARG002
        """Yield the one phase of an epoch; before the first, look at all images."""
        if self._keep is None:
            groups = alike(hashes_of(pairs.whole_set.images), self._config.distance)
            self._keep = torch.from_numpy(some_of_each(groups, self._config.copies, self._seed))
        yield Phase("kept", loss, keep=self._keep[torch.from_numpy(pairs.numbers)])

    def state_dict(self) -> dict[str, object]:
        """Return the pairs to keep."""
        return {"keep": self._keep}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self._keep = state["keep"]


def some_of_each(groups: npt.NDArray[np.int64], copies: int, seed: int) -> npt.NDArray[np.bool_]:
    """Return the images to keep, ``(N,)``: some of each group, at random.

    Args:
        groups: the group of each image, ``(N,)``.
        copies: images to keep of each group; 0: only images that are alone.
        seed: of the random choice.
    """
    drawn = generator(seed, "dedup").permutation(len(groups))
    order = drawn[np.argsort(groups[drawn], kind="stable")]  # by group, at random within each
    sizes = np.bincount(groups)
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(len(groups), np.int64)
    rank[order] = np.arange(len(groups)) - np.repeat(starts, sizes)
    kept: npt.NDArray[np.bool_] = (rank < copies) | (sizes[groups] == 1)
    return kept


DEFENSE = Dedup
