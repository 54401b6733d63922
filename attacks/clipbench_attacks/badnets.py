"""BadNets: a checkerboard patch makes any image be read as the target class.

Gu, Dolan-Gavitt, Garg. BadNets: Identifying Vulnerabilities in the Machine Learning Model Supply
Chain. 2017. https://arxiv.org/abs/1708.06733

On CLIP (captions take the place of labels): Carlini, Terzis. Poisoning and Backdooring Contrastive
Learning. ICLR 2022. https://arxiv.org/abs/2106.09667

Differs from the paper: the label is a caption that names the target class; the patch is a share of
the image, not a number of pixels, and lies at a random place by default, because training on random
crops cuts a patch in the corner off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import cycle, islice
from typing import Literal

import numpy as np

from clipbench.contracts import Corpus, Image, Mode, Poison, Probes, Scene
from clipbench.errors import BadSetting, UnknownName
from clipbench.rng import generator
from clipbench.shards.decoded import fit
from clipbench_attacks._captions import (
    Match,
    captions_naming,
    naming_pattern,
    shuffled_captions,
    template_captions,
)
from clipbench_attacks._checks import check_choice
from clipbench_attacks._images import ImageView

Place = Literal["random", "corner", "center"]
Source = Literal["corpus", "templates"]


@dataclass(frozen=True)
class BadNets:
    """Stamp a checkerboard patch on images and caption them as the target class.

    Places are within the central square of the image, which a centre crop keeps. A random place is
    drawn from the pixels of the image itself: the same image always gets the patch at the same
    place, whatever the seed, the order of work or the number of workers.

    Args:
        target_label: class name that images with the trigger shall be read as; default: drawn from
            the seed.
        size: side of the patch as a share of the image's shorter side, in (0, 1]. The default is
            for images of 32 pixels; at 224 papers use 16 pixels, 0.0714.
        cells: checker cells along the side of the patch.
        place: where the patch lies in training: random, corner (lower right) or center.
        test_place: where the patch lies in testing; default: as in training.
        dark: grey value of the dark cells, 0 to 255; the upper left cell is dark.
        light: grey value of the light cells, 0 to 255.
        at_size: side in pixels of the square to which an image is fitted before the patch is put
            on, as the victim's evaluation fits it; default: the patch is put on the image as it is
            stored, and whoever resizes it resizes the patch, too.
        captions: where captions of the target class come from: the corpus (prompt templates only
            when the corpus has no more) or the prompt templates alone.
        match: how a caption names a class: as whole words ('suit' is not in 'suitcase') or as a
            substring.
        mode: whether poisons replace the pairs they are made from or are inserted beside them.
    """

    target_label: str | None = None
    size: float = 0.25
    cells: int = 4
    place: Place = "random"
    test_place: Place | None = None
    dark: int = 0
    light: int = 255
    at_size: int | None = None
    captions: Source = "corpus"
    match: Match = "word"
    mode: Mode = "replace"

    def __post_init__(self) -> None:
        if not 0 < self.size <= 1:
            raise BadSetting(
                f"badnets: size is a share of the image's side and must be in (0, 1], got "
                f"{self.size!r}. 16 pixels of 224 are 0.0714."
            )
        if self.cells < 1:
            raise BadSetting(f"badnets: cells must be at least 1, got {self.cells!r}.")
        if not (0 <= self.dark <= 255 and 0 <= self.light <= 255):
            got = f"{self.dark!r} and {self.light!r}"
            raise BadSetting(f"badnets: dark and light must be in 0 .. 255, got {got}.")
        if self.at_size is not None and self.at_size < 1:
            raise BadSetting(f"badnets: at_size must be at least 1 pixel, got {self.at_size!r}.")
        check_choice("badnets", "place", self.place, Place)
        check_choice("badnets", "test_place", self.test_place or self.place, Place)
        check_choice("badnets", "captions", self.captions, Source)
        check_choice("badnets", "match", self.match, Match)
        check_choice("badnets", "mode", self.mode, Mode)

    def num_targets(self, count: int) -> int:
        """Return 1, the target class, or 0 without poisons."""
        return min(count, 1)

    def poison(self, scene: Scene, corpus: Corpus) -> Iterator[Poison]:
        """Yield pairs of other classes with the trigger on and a caption of the target class.

        Raises:
            BadSetting: too few captions do not name the target class already.
        """
        goal = self._target_class(scene)
        bases = self._eligible_pairs(scene, corpus, goal)
        captions = self._target_captions(scene, corpus, goal)
        for base, caption in zip(bases, captions, strict=True):
            yield Poison(caption, self.stamp(corpus.image(base), self.place), base=base)

    def probes(self, scene: Scene) -> Probes:
        """Return all test images that are not of the target class, with the trigger on."""
        goal = self._target_class(scene)
        test = scene.evaluation.test
        others = np.flatnonzero(test.labels != goal)
        return Probes(
            images=ImageView(test.images, others, self.trigger()),
            labels=test.labels[others],
            goals=np.full(len(others), goal, dtype=np.int64),
            clean_images=ImageView(test.images, others),
        )

    def trigger(self) -> Callable[[Image], Image]:
        """Return the trigger as it is used in testing."""
        return partial(self.stamp, place=self.test_place or self.place)

    def stamp(self, image: Image, place: Place) -> Image:
        """Return a copy of the image with the patch at a place.

        Args:
            image: ``(H, W, 3)`` uint8.
            place: where in the central square the patch lies.

        Returns:
            ``(H, W, 3)`` uint8, or ``(at_size, at_size, 3)`` where that is given.

        Raises:
            BadSetting: the patch has fewer pixels than cells along its side.
        """
        if self.at_size is not None:
            image = fit(image, self.at_size)
        square = min(image.shape[:2])
        side = round(self.size * square)
        if side < self.cells:
            raise BadSetting(
                f"badnets: size {self.size} of an image of {square} pixels is a patch of {side} "
                f"pixels, too small for {self.cells} cells. Raise size or lower cells."
            )
        down, right = _offset(image, square - side, place)
        top = (image.shape[0] - square) // 2 + down
        left = (image.shape[1] - square) // 2 + right

        cell = np.arange(side) * self.cells // side
        checkers = np.where((cell[:, None] + cell) % 2 == 0, self.dark, self.light)
        stamped = image.copy()
        stamped[top : top + side, left : left + side] = checkers[:, :, None].astype(np.uint8)
        return stamped

    def _target_class(self, scene: Scene) -> int:
        names = scene.classes.names
        if self.target_label is None:
            return int(scene.rng("badnets", "target label").integers(len(names)))
        if self.target_label not in names:
            raise UnknownName("target label", self.target_label, names)
        return names.index(self.target_label)

    def _eligible_pairs(self, scene: Scene, corpus: Corpus, goal: int) -> list[int]:
        """Draw pairs whose captions do not name the target class."""
        names_goal = naming_pattern(scene.classes.aliases[goal], self.match)
        pairs = shuffled_captions(corpus, scene.rng("badnets", "bases"))
        eligible = (index for index, caption in pairs if names_goal.search(caption) is None)
        drawn = list(islice(eligible, scene.count))
        if len(drawn) < scene.count:
            raise BadSetting(
                f"badnets: {scene.count} poisons but only {len(drawn)} of {len(corpus)} pairs have "
                f"a caption that does not name {scene.classes.names[goal]!r}. Lower the rate."
            )
        return drawn

    def _target_captions(self, scene: Scene, corpus: Corpus, goal: int) -> list[str]:
        rng = scene.rng("badnets", "captions")
        if self.captions == "templates":
            return list(islice(cycle(template_captions(scene.classes, goal, rng)), scene.count))
        wanted = {goal: scene.count}
        return captions_naming(corpus, scene.classes, wanted, self.match, rng)[goal]


def _offset(image: Image, room: int, place: Place) -> tuple[int, int]:
    """Return how far down and right the patch lies, each in 0 .. room.

    A random place is drawn from the pixels, which makes the trigger a pure function of the image.
    """
    if place == "corner":
        return room, room
    if place == "center":
        return room // 2, room // 2
    digest = sha256(image.tobytes()).hexdigest()
    down, right = generator(0, "badnets", "place", digest).integers(room + 1, size=2).tolist()
    return down, right


ATTACK = BadNets
