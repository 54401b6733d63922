"""Plugins as a newcomer writes them: the documents' examples, each with one mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from clipbench.contracts import Corpus, Image, Scene, TrainingFacts
from clipbench.plugins import registry
from clipbench_datasets.shapes import Shapes

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
DATA = Shapes(size=40, test_size=100, targets_size=100)
FACTS = TrainingFacts(8, 8, 2, 4, 4, torch.device("cpu"), seed=5)


class Drawn:
    """A few drawn pairs, in memory; whoever draws on an image draws on all later ones."""

    def __init__(self) -> None:
        self.images, _, self._captions = DATA.arrays("train", 0, 40)

    def __len__(self) -> int:
        return len(self._captions)

    def caption(self, index: int) -> str:
        """Return a caption."""
        return self._captions[index]

    def image(self, index: int) -> Image:
        """Return an image."""
        image: Image = self.images[index]
        return image


def scene(count: int = 3) -> Scene:
    """Return what an attacker knows; of arrays that could be written to."""
    return Scene(DATA.evaluation(), DATA.targets, count, seed=3)


def corpus() -> Corpus:
    """Return clean pairs."""
    return Drawn()


def with_mistake(example: str, right: str, wrong: str, folder: Path) -> Any:
    """Return the plugin of an example in which `wrong` stands for `right`."""
    text = (EXAMPLES / f"{example}.py").read_text(encoding="utf-8")
    assert text.count(right) >= 1, f"{example} has no {right!r}"
    file = folder / "mine.py"
    file.write_text(text.replace(right, wrong), encoding="utf-8")
    return registry.build("attack" if "ATTACK" in text else "defense", str(file))


def line_of(folder: Path, words: str) -> int:
    """Return the number of the first line of the plugin that has some words."""
    lines = (folder / "mine.py").read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if words in line)


def pixels(given: Scene) -> bytes:
    """Return all test images of a scene."""
    return np.asarray(given.evaluation.test.images).tobytes()
