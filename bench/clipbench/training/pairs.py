"""Training pairs as batches of views: decoded images and token arrays, augmented on demand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from clipbench.rng import generator
from clipbench.training.augment import ImageAugmentation
from clipbench.training.compact import CompactVocabulary
from clipbench.training.text import CaptionTable

IntArray = npt.NDArray[np.int64]


class ImageStore(Protocol):
    """Random access to the decoded images of a set."""

    def __len__(self) -> int: ...

    def gather(self, indices: IntArray) -> npt.NDArray[np.uint8]:
        """Return images, ``(B, S, S, 3)``."""


@dataclass(frozen=True)
class Batch:
    """This process's rows of one global batch.

    Args:
        images: ``(V, B_own, 3, S, S)`` uint8 or float in [0, 1], not yet normalised.
        tokens: ``(V, B_own, L)`` int64.
        num_rows: B, rows of the global batch.
    """

    images: Tensor
    tokens: Tensor
    num_rows: int


@dataclass(frozen=True)
class BatchRequest:
    """What a batch is made of.

    Args:
        pairs: the global batch, ``(B,)``.
        rows: the rows this process makes.
        views: views of each pair.
        augment: whether views are augmented.
        scope: names the random stream of the augmentation.
    """

    pairs: IntArray
    rows: slice
    views: int
    augment: bool
    scope: tuple[str | int, ...]


class TrainingPairs:
    """The pairs of a set, ready to be trained on.

    Args:
        images: their decoded images.
        captions: their captions.
        vocabulary: maps tokens to rows of the model's embedding.
        image_augmentation: strengths of the image augmentation.
        text_alpha: strength of the text augmentation.
        seed: the run's seed.
    """

    def __init__(
        self,
        images: ImageStore,
        captions: CaptionTable,
        vocabulary: CompactVocabulary,
        image_augmentation: ImageAugmentation,
        text_alpha: float,
        seed: int,
    ) -> None:
        assert len(images) == len(captions)
        self._images = images
        self._captions = captions
        self._vocabulary = vocabulary
        self._image_augmentation = image_augmentation
        self._text_alpha = text_alpha
        self._seed = seed

    def __len__(self) -> int:
        return len(self._captions)

    def full_state(self, model: nn.Module) -> dict[str, Tensor]:
        """Return the weights of a model trained on these pairs, with its whole token table."""
        return self._vocabulary.full_state(model)

    def make(self, request: BatchRequest) -> Batch:
        """Return one batch; a function of the request and the seed alone.

        Random numbers are drawn for the whole global batch and then cut to the own rows, so that
        views do not depend on how many processes share the batch.
        """
        own = request.pairs[request.rows]
        raw = torch.from_numpy(self._images.gather(own)).permute(0, 3, 1, 2)
        if not request.augment:
            tokens = self._captions.tokens(own)
            rows = torch.from_numpy(self._vocabulary.compact(tokens))
            return Batch(
                raw[None].expand(request.views, *raw.shape),
                rows[None].expand(request.views, *rows.shape),
                len(request.pairs),
            )
        pixels = raw.float() / 255
        images, texts = [], []
        for view in range(request.views):
            rng = generator(self._seed, "view", *request.scope, view)
            draws = self._image_augmentation.draw(len(request.pairs), rng)
            images.append(self._image_augmentation.apply(pixels, draws[request.rows]))
            tokens = self._captions.augmented(request.pairs, self._text_alpha, rng)
            texts.append(torch.from_numpy(self._vocabulary.compact(tokens[request.rows])))
        return Batch(torch.stack(images), torch.stack(texts), len(request.pairs))

    def stream(self, requests: Sequence[BatchRequest], workers: int) -> Iterator[Batch]:
        """Yield the batches of requests in order, made ahead by `workers` threads if any."""
        if workers == 0:
            yield from map(self.make, requests)
            return
        with ThreadPoolExecutor(workers) as executor:
            ahead = [executor.submit(self.make, r) for r in requests[: 2 * workers]]
            for number in range(len(requests)):
                following = number + 2 * workers
                batch = ahead.pop(0).result()
                if following < len(requests):
                    ahead.append(executor.submit(self.make, requests[following]))
                yield batch
