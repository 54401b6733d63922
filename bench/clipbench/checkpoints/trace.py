"""What an epoch trained on and how it scored: written while training, read by the evaluator.

Training knows nothing of poison, so it tells of every pair; the evaluator looks the poisons up.
Which pairs an epoch has is a function of the seed, so that what decides them is written down, and
not their numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from clipbench.contracts import Phase
from clipbench.errors import CorruptData
from clipbench.loading.order import EpochOrder
from clipbench.system.disk import unreadable
from clipbench.system.durable import atomic_file, make_folder
from clipbench.tensors.arrays import read_arrays

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Trace:
    """One epoch.

    Args:
        pairs: ``(N,)`` the epoch's pairs.
        cross_modal: ``(N,)`` bool, which of them a loss that ties image to caption was given.
        scores: ``(N,)`` float32 cosine similarity of each pair; empty: they were not asked for.
    """

    pairs: IntArray
    cross_modal: npt.NDArray[np.bool_]
    scores: npt.NDArray[np.float32]


def write_trace(
    path: Path, order: EpochOrder, phases: Sequence[Phase], similarity: Tensor | None
) -> None:
    """Write down an epoch that is about to be trained.

    Args:
        path: the file.
        order: what decides the epoch's pairs.
        phases: the epoch's.
        similarity: ``(pairs_per_epoch,)`` scores of the pairs; None: they were not asked for.
    """
    cross = np.zeros(order.pairs_per_epoch, dtype=bool)
    for phase in phases:
        if phase.cross_modal:
            cross |= True if phase.keep is None else phase.keep.numpy()
    make_folder(path.parent)
    scores = np.empty(0, np.float32) if similarity is None else similarity.numpy()
    with atomic_file(path) as file:
        # As they are: scores do not get smaller, and all processes wait for this one.
        np.savez(file, cross_modal=np.packbits(cross), scores=scores, order=np.array(order))


def read_trace(path: Path) -> Trace:
    """Return what training wrote down about an epoch.

    Raises:
        CorruptData: it is missing or damaged.
        ClipbenchError: it can't be read now, which says nothing of what it holds.
    """
    kinds = {"cross_modal": "u", "scores": "f"}
    try:
        try:
            found = read_arrays(path, {**kinds, "order": "i"})
            pairs = _order(found["order"].astype(np.int64), 8 * len(found["cross_modal"])).pairs()
        except ValueError:  # damaged, or of an earlier version
            found = read_arrays(path, {**kinds, "pairs": "i"})
            pairs = found["pairs"].astype(np.int64, copy=False)
        cross = np.unpackbits(found["cross_modal"].astype(np.uint8))[: len(pairs)].astype(bool)
        if len(cross) != len(pairs) or len(found["scores"]) not in {0, len(pairs)}:
            raise ValueError("its parts are of different lengths")
        return Trace(pairs, cross, found["scores"].astype(np.float32, copy=False))
    except (FileNotFoundError, TypeError, ValueError) as error:
        raise CorruptData(
            f"{path.resolve()} is missing or damaged ({type(error).__name__}). Delete"
            f" {path.parents[1].resolve()} and start the run again; the training starts over."
        ) from error
    except (OSError, MemoryError) as error:
        raise unreadable(path, error) from error


def _order(numbers: IntArray, most: int) -> EpochOrder:
    """Return what decides an epoch's pairs, as it was written down.

    Raises:
        ValueError: it is none, or of more pairs than the rest of the file tells of.
    """
    order = EpochOrder(*map(int, numbers))
    if not 0 <= order.pairs_per_epoch <= min(order.num_pairs, most):
        raise ValueError("it is of more pairs than there are")
    if min(order) < 0 or order.first > order.epoch:
        raise ValueError("it is of no epoch")
    return order
