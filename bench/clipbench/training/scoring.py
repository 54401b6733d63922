"""Scores of a whole set from the features of its pairs, which no process holds as a whole.

A score that looks at some pairs at once, a block, has its blocks dealt out: each process keeps the
features of its own in a file, in the order in which they are read, and nobody reads a row that is
not his. A score that looks at all pairs at once is computed by the first process alone.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from clipbench.contracts import Score
from clipbench.errors import ClipbenchError
from clipbench.loading.pairs import TrainingPairs
from clipbench.plugins.faults import kind_of
from clipbench.system.disk import is_full, no_space
from clipbench.system.durable import make_folder
from clipbench.training.learner import Learner

# Bytes of features from which on they are kept in half precision: below, scores are those of
# features as the model gave them, to the bit.
FULL_UP_TO = 1 << 30


@dataclass(frozen=True)
class Scoring:
    """What pairs are scored with.

    Args:
        learner: the model as it stands.
        pairs: the set.
        epoch: names random streams.
        folder: on whose disk features may lie while they are scored.
    """

    learner: Learner
    pairs: TrainingPairs
    epoch: int
    folder: Path = Path()

    def features(self, *, unit: bool) -> Iterator[tuple[slice, Tensor]]:
        """Yield the features of all pairs in batches, see `Learner.each_features`.

        Raises:
            ClipbenchError: some are not finite: no score of a plugin could tell these pairs apart.
        """
        for at, rows in self.learner.each_features(self.pairs, self.epoch, unit=unit):
            if not torch.isfinite(rows).all():
                raise ClipbenchError(
                    "Features of the scoring model are not finite, so that pairs have no score: its"
                    " training diverged, or was too short for the averages of its batch norms."
                    " Lower --lr, or train it for more epochs."
                )
            yield at, rows


def whole_scores(scoring: Scoring, score: Score, *, unit: bool) -> Tensor:
    """Return the score of all pairs at once, ``(N,)`` float32.

    Args:
        scoring: the model and the set.
        score: gets the features of all images and captions, ``(N, D)`` each.
        unit: whether those are brought to unit length.

    Raises:
        ValueError: `score` returns something else.
    """
    learner, size = scoring.learner, len(scoring.pairs)
    processes, width = learner.processes, learner.feature_size()
    images, texts = (torch.zeros(size if processes.is_first else 0, width) for _ in range(2))
    for at, rows in scoring.features(unit=unit):
        if processes.is_first:
            images[at], texts[at] = rows[:, :width], rows[:, width:]
    scores = _checked(score(images, texts), size) if processes.is_first else torch.zeros(size)
    return processes.sum_when_ready(scores)


def block_scores(scoring: Scoring, score: Score, blocks: Sequence[Tensor], *, unit: bool) -> Tensor:
    """Return the score of all pairs, block by block, ``(N,)`` float32.

    Args:
        scoring: the model and the set.
        score: gets the features of a block's images and captions, ``(B, D)`` each.
        blocks: the members of each, ``(B,)`` int64; every pair is in one.
        unit: whether features are brought to unit length.

    Raises:
        ValueError: `score` returns something else, or a pair is in no block.
        ClipbenchError: features do not fit the disk, or half precision.
    """
    learner, size = scoring.learner, len(scoring.pairs)
    processes, width = learner.processes, learner.feature_size()
    if not (torch.bincount(torch.cat(list(blocks)), minlength=size) == 1).all():
        raise ValueError(f"each of the {size} pairs of the set must be in one block")
    is_small = 2 * 4 * width * size <= FULL_UP_TO
    mine = blocks[processes.rank :: processes.count]
    scores = torch.zeros(size)
    dtype = torch.float32 if is_small else torch.float16
    with closing(FeatureFile(scoring.folder, mine, size, width, dtype)) as file:
        for at, rows in scoring.features(unit=unit):
            file.put(at.start, rows)
        first = 0
        for members in mine:
            found = score(*file.get(first, len(members)))
            scores[members] = _checked(found, len(members))
            first += len(members)
    return processes.sum_when_ready(scores)


def _checked(found: object, size: int) -> Tensor:
    """Return what a score gave, on the CPU.

    Of values that are no numbers a filter would keep every one, for they are the last in order.

    Raises:
        ValueError: it is no finite value for each pair.
    """
    if not isinstance(found, Tensor) or found.shape != (size,):
        raise ValueError(
            f"a score must be a tensor of shape ({size},), one value for each"
            f" pair of the set. Got {kind_of(found)}."
        )
    values = found.detach().cpu().float()
    if odd := int((~values.isfinite()).sum()):
        first = values[~values.isfinite()][0].item()
        raise ValueError(
            f"a score must be a finite number. {odd:,} of {size:,} are not, such as {first}."
        )
    return values


class FeatureFile:
    """Features of some pairs in an unnamed file, one row per pair, in reading order.

    It is read and written by position: pages of a mapped file would count as this process's memory.
    In half precision features are kept as what they differ by from the mean of the first ones: a
    model's features lie far from zero, compared with how far they lie from each other.

    Args:
        folder: where it lies; where there is none, among the system's temporary files.
        members: the pairs, block by block.
        num_pairs: N, pairs of the set.
        width: D, of a feature.
        dtype: that features are kept in.
    """

    def __init__(
        self,
        folder: Path,
        members: Sequence[Tensor],
        num_pairs: int,
        width: int,
        dtype: torch.dtype,
    ) -> None:
        make_folder(folder)  # another machine's may not be there; a temporary one is often small
        self._folder = folder
        self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115
        self._dtype, self._width = dtype, width
        self._row = 2 * width * dtype.itemsize
        self._center: Tensor | None = None
        self._places: npt.NDArray[np.int64] = np.full(num_pairs, -1, np.int64)
        if members:
            order = torch.cat(list(members)).numpy()
            self._places[order] = np.arange(len(order))

    def put(self, first: int, rows: Tensor) -> None:
        """Keep the features of pairs first, first + 1, ..., as far as they are among the members.

        Args:
            first: number of the first pair.
            rows: features of images and captions side by side, ``(B, 2 D)`` on the CPU.

        Raises:
            ClipbenchError: the disk is full, or a value is too large for the type.
        """
        if self._dtype != torch.float32:
            if self._center is None:
                self._center = rows.mean(dim=0)
            rows = (rows - self._center).to(self._dtype)
            if not torch.isfinite(rows).all():
                raise ClipbenchError(
                    "Features of the scoring model are not finite, or too large for half precision,"
                    " in which those of so many pairs are kept; take features=unit."
                )
        data = memoryview(rows.to(self._dtype).contiguous().numpy().tobytes())
        for number, place in enumerate(self._places[first : first + len(rows)].tolist()):
            if place >= 0:
                self._write(data[number * self._row : (number + 1) * self._row], place * self._row)

    def _write(self, data: memoryview, at: int) -> None:
        try:
            while data:
                written = os.pwrite(self._file.fileno(), data, at)
                data, at = data[written:], at + written
        except OSError as error:
            if is_full(error):
                total = int((self._places >= 0).sum()) * self._row
                raise no_space(self._folder / "features", total) from error
            raise

    def get(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """Return features of images and captions, ``(count, D)`` float32 each.

        Args:
            first: place of the first pair among the members.
            count: how many.
        """
        content = bytearray(count * self._row)
        view, at = memoryview(content), first * self._row
        while view:
            read = os.preadv(self._file.fileno(), [view], at)
            if not read:
                raise EOFError("features that nobody kept are asked for")
            view, at = view[read:], at + read
        rows = torch.frombuffer(content, dtype=self._dtype).view(count, -1).float()
        if self._center is not None:
            rows += self._center
        return rows[:, : self._width].contiguous(), rows[:, self._width :].contiguous()

    def close(self) -> None:
        """Give the disk back."""
        self._file.close()
