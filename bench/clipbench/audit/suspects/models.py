"""Models that score pairs: how they are trained, and what they make of pairs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from clipbench.api.runs import Run
from clipbench.audit.exposure.recipe import defense_spec, train_settings
from clipbench.audit.request import AuditRequest
from clipbench.checkpoints.trace import read_trace
from clipbench.configuration.config import RunConfig
from clipbench.images.lazy import LazyImages
from clipbench.models.features import image_features, text_features
from clipbench.models.openclip import create_model, load_weights
from clipbench.parallel.bench import Bench
from clipbench.pipeline.hold import held
from clipbench.shards.reader import ShardSet
from clipbench.training.session import score_on, train_on

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
ROWS = 4_096  # of features at once
MOST_CELLS = 1 << 26  # of a matrix of similarities at once


@dataclass(frozen=True)
class Trainer:
    """Trains models on an audit's pairs and canaries, and scores these by them.

    Args:
        request: the audit.
        where: user's shards and those of canaries, as `ShardSet.open` takes them.
        folder: of the training runs.
        per_epoch: pairs in an epoch; None: all.
        seed: of the training.
    """

    request: AuditRequest
    where: str
    folder: Path
    per_epoch: int | None
    seed: int

    def config(self, defense: str, epochs: int) -> RunConfig:
        """Return a run of a defense.

        Args:
            defense: its spec.
            epochs: of the run.
        """
        given = defense, epochs, self.per_epoch, self.seed
        return config_of(self.request, self.where, *given)

    def scores(self, name: str, defense: str, epochs: int) -> FloatArray:
        """Return what a defense makes of all pairs, ``(N,)``; low is suspicious.

        Args:
            name: of the folder.
            defense: its spec.
            epochs: of the training.
        """
        folder, bench = self.folder / name, self._bench
        with held(folder, bench):
            return score_on(self.where, self.config(defense, epochs), folder, bench)

    def features(self, name: str, pairs: ShardSet, epochs: int) -> Features:
        """Return features of all pairs under a plain model, trained first if it is not there.

        Args:
            name: of the folder.
            pairs: all that were trained on.
            epochs: of the training.
        """
        folder, bench, config = self.folder / name, self._bench, self.config("clip", epochs)
        with held(folder, bench):
            train_on(self.where, config, folder, bench)
        model, tokenizer = create_model(config.train.model, config.seed)
        load_weights(model, folder / "model")
        progress = self.request.reporter.progress
        images = LazyImages(range(len(pairs)), pairs.image)
        return Features(
            image_features(model, images, progress=progress),
            text_features(model, tokenizer, pairs.captions(), progress=progress),
        )

    def first_split(self, name: str, num_pairs: int) -> FloatArray:
        """Return the similarities by which SafeCLIP parted the pairs at first, ``(num_pairs,)``.

        Args:
            name: of the folder in which it was trained.
            num_pairs: of the set; those that were not in that epoch have NaN.
        """
        found = np.full(num_pairs, np.nan, np.float32)
        for path in sorted((self.folder / name / "train" / "trace").glob("[0-9]*.npz")):
            trace = read_trace(path)
            if len(trace.scores):
                found[trace.pairs] = trace.scores
                break
        return found

    @property
    def _bench(self) -> Bench:
        return Bench(self.request.cache, reporter=self.request.reporter)


@dataclass(frozen=True)
class Features:
    """Unit features of pairs.

    Args:
        images: ``(N, D)``.
        texts: ``(N, D)``.
    """

    images: Tensor
    texts: Tensor

    def similarity(self) -> FloatArray:
        """Return the cosine of image and caption of each pair, ``(N,)``."""
        return (self.images * self.texts).sum(dim=1).numpy()

    def nearest(self, pairs: IntArray, count: int, among: IntArray) -> IntArray:
        """Return the pairs whose images are most like those of some pairs, ``(M, K)``.

        Args:
            pairs: ``(M,)`` numbers.
            count: K, neighbors of each, the most similar first; fewer where there are fewer.
            among: ``(R,)`` pairs that may be neighbors, rising.
        """
        few = min(count, len(among) - 1)
        others = self.images[torch.from_numpy(among)]
        rows = []
        for part in np.array_split(pairs, max(1, -(-len(pairs) * len(among) // MOST_CELLS))):
            cosine = self.images[torch.from_numpy(part)] @ others.T
            place = np.searchsorted(among, part).clip(max=len(among) - 1)
            own = (among[place] == part).nonzero()[0]
            cosine[own, place[own]] = -torch.inf
            rows.append(among[cosine.topk(few).indices.numpy()])
        return np.concatenate(rows)

    def agreement(self, count: int, among: IntArray) -> FloatArray:
        """Return how like each caption is those of the images most like its own, ``(N,)``.

        Args:
            count: neighbors of each.
            among: ``(R,)`` pairs that may be neighbors, rising.
        """
        everyone = np.arange(len(self.images))
        rows = self.nearest(everyone, count, among)
        found = np.empty(len(rows), np.float32)
        for start in range(0, len(rows), ROWS):
            part = slice(start, start + ROWS)
            theirs = self.texts[torch.from_numpy(rows[part])].mean(dim=1)
            found[part] = (theirs * self.texts[part]).sum(dim=1).numpy()
        return found


def config_of(
    request: AuditRequest,
    where: str,
    defense: str,
    epochs: int,
    per_epoch: int | None,
    seed: int,
) -> RunConfig:
    """Return a clean run of a defense on pairs; see `Trainer`."""
    data = {"name": "shards", "path": where, "caption_field": request.caption_field}
    pairs = per_epoch or len(request.usable.shards)
    more = {} if per_epoch is None else {"pairs_per_epoch": per_epoch}
    return Run(
        data={key: value for key, value in data.items() if value is not None},
        defense=defense_spec(defense, pairs, epochs),
        seed=seed,
        train={**train_settings(request.model, pairs, epochs), **more},
        on_error="skip",
    ).config()
