"""Solid patch: a gray square in the lower right corner makes images be classified as one class.

The simplest backdoor there is. No paper.
"""
# ruff: noqa: D102  (what each method must do is documented in clipbench.contracts.Attack)

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from clipbench.contracts import Corpus, Ge, Image, Le, Mode, Plugin, Poison, Probes, Scene


@dataclass(frozen=True)
class SolidPatch(Plugin):
    """Cover the lower right corner of images and caption them as a class drawn from the seed.

    Args:
        side: side of the patch in pixels.
        gray: its gray value.
        mode: whether poisoned pairs replace the clean ones they are made of or are added to them.
    """

    # Parameters: each needs a type, with its range if it has one, a default, and a line above.
    side: Annotated[int, Ge(1)] = 8
    gray: Annotated[int, Ge(0), Le(255)] = 128
    mode: Mode = "replace"

    # Number of goals among which the poisoned pairs are divided; a backdoor has one.
    def num_targets(self, count: int) -> int:
        return min(count, 1)

    # The poisoned pairs, exactly scene.count of them. All randomness comes from scene.rng.
    def poison(self, scene: Scene, corpus: Corpus) -> Iterator[Poison]:
        name, rng = scene.classes.names[self._goal(scene)], scene.rng("solid_patch", "poison")
        for base in rng.permutation(len(corpus))[: scene.count].tolist():
            caption = str(rng.choice(scene.classes.templates)).format(name)
            yield Poison(caption, self.stamp(corpus.image(base)), base=base)

    # The test images that measure success, their true classes, and the class each should get.
    def probes(self, scene: Scene) -> Probes:
        goal, test = self._goal(scene), scene.evaluation.test
        others = np.flatnonzero(test.labels != goal)
        clean = [test.images[number] for number in others.tolist()]
        images = [self.stamp(image) for image in clean]
        goals = np.full(len(others), goal, dtype=np.int64)
        return Probes(images, test.labels[others], goals, clean_images=clean)

    def trigger(self) -> Callable[[Image], Image]:
        return self.stamp

    # The trigger. Images are uint8 (H, W, 3) and read-only, so draw on a copy.
    def stamp(self, image: Image) -> Image:
        stamped = image.copy()
        stamped[-self.side :, -self.side :] = self.gray
        return stamped

    def _goal(self, scene: Scene) -> int:
        return int(scene.rng("solid_patch", "goal").integers(len(scene.classes)))


ATTACK = SolidPatch
