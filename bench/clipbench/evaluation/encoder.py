"""One checkpoint's features, each computed once and shared by all metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypedDict

import torch
from torch import Tensor, nn

from clipbench.contracts import AnyProbes, Classes, EvaluationSet, Image, Progress, no_progress
from clipbench.evaluation.zeroshot import zeroshot_classifier
from clipbench.models.features import image_features, text_features
from clipbench.models.openclip import Tokenizer


class _How(TypedDict):
    """How everything is encoded: what all functions of features take by these names."""

    device: torch.device | str | None
    batch_size: int
    progress: Progress


class Encoder:
    """A model with what it has encoded so far; its weights must not change while this is used.

    Args:
        model: an open_clip model; its mode is restored after each call.
        tokenizer: the model's tokenizer.
        device: where to encode; the model is moved there. Default: where the model is.
        batch_size: images or texts encoded at once; no count depends on it (see `features`).
        progress: called after each batch.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Tokenizer,
        *,
        device: torch.device | str | None = None,
        batch_size: int = 512,
        progress: Progress = no_progress,
    ) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._how = _How(device=device, batch_size=batch_size, progress=progress)
        # By identity; the images are held too, or another sequence might get the same identity.
        self._images: dict[int, tuple[Sequence[Image], Tensor]] = {}
        self._texts: dict[tuple[str, ...], Tensor] = {}
        self._classifiers: dict[Classes, Tensor] = {}

    def images(self, images: Sequence[Image]) -> Tensor:
        """Return unit features ``(N, D)``; the same sequence object is encoded once."""
        if id(images) not in self._images:
            self._images[id(images)] = (images, image_features(self._model, images, **self._how))
        return self._images[id(images)][1]

    def texts(self, texts: Sequence[str]) -> Tensor:
        """Return unit features ``(N, D)``; the same list of texts is encoded once."""
        key = tuple(texts)
        if key not in self._texts:
            self._texts[key] = text_features(self._model, self._tokenizer, key, **self._how)
        return self._texts[key]

    def classifier(self, classes: Classes) -> Tensor:
        """Return the zero-shot classifier ``(D, C)``; that of the same classes is made once."""
        if classes not in self._classifiers:
            made = zeroshot_classifier(self._model, self._tokenizer, classes, **self._how)
            self._classifiers[classes] = made
        return self._classifiers[classes]


@dataclass(frozen=True)
class SetAndFeatures:
    """What a metric is given, see `clipbench.contracts.Measured`.

    Tensors are copies, for the features are shared with other metrics.

    Args:
        evaluation: the evaluation set.
        probes: what an attack wants misclassified on it.
        seed: the run's seed.
        encoder: gives the features.
    """

    evaluation: EvaluationSet
    probes: AnyProbes | None
    seed: int
    encoder: Encoder = field(repr=False)

    def image_features(self, images: Sequence[Image]) -> Tensor:
        """Return unit features ``(N, D)`` of images."""
        return self.encoder.images(images).clone()

    def text_features(self, texts: Sequence[str]) -> Tensor:
        """Return unit features ``(N, D)`` of texts."""
        return self.encoder.texts(texts).clone()

    def classifier(self) -> Tensor:
        """Return the zero-shot classifier ``(D, C)`` of the set's classes."""
        return self.encoder.classifier(self.evaluation.classes).clone()
