"""Five classes, 25 test images and 300 pairs in memory, on which attacks are tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from clipbench.contracts import (
    Classes,
    Classification,
    Corpus,
    EvaluationSet,
    Image,
    LabelledImages,
    Retrieval,
    Scene,
)
from clipbench.rng import generator

NAMES = ("car", "banana", "pizza", "tiger", "candle")
CLASSES = Classes(
    names=NAMES,
    templates=("a photo of a {}.", "a drawing of a {}."),
    aliases=(("car",), ("banana", "plantain"), ("pizza",), ("tiger",), ("candle",)),
)


@dataclass(frozen=True)
class MemoryCorpus:
    """Pairs in memory."""

    texts: tuple[str, ...]
    images: Any

    def __len__(self) -> int:
        return len(self.texts)

    def caption(self, index: int) -> str:
        """Return the caption of a pair."""
        return self.texts[index]

    def image(self, index: int) -> Image:
        """Return the image of a pair."""
        image: Image = self.images[index]
        return image


def some_images(count: int, name: str, height: int = 32, width: int = 32) -> Any:
    """Random pixels, gray enough never to look like a checker cell."""
    return generator(0, name).integers(60, 200, (count, height, width, 3)).astype(np.uint8)


def make_scene(count: int, seed: int = 0) -> Scene:
    """Five test images of each of five classes; they are the targets, too."""
    test = LabelledImages(some_images(25, "test"), np.arange(25) % 5)
    captions = [[f"a {NAMES[label]}"] for label in test.labels]
    evaluation = EvaluationSet(
        "tiny", Classification(CLASSES, test), Retrieval(test.images, captions)
    )
    return Scene(evaluation, lambda: test, count, seed)


def banana_corpus() -> Corpus:
    """300 pairs; 30 name the banana, 30 the plantain, 60 each of the other classes."""
    names = ("car", "banana", "pizza", "tiger", "candle")
    texts = [f"number {n}: one {names[n % 5]}" for n in range(300)]
    texts[1:150:5] = [text.replace("banana", "PLANTAIN") for text in texts[1:150:5]]
    return MemoryCorpus(tuple(texts), some_images(300, "corpus"))
