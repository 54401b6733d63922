"""Base of backdoors: a trigger, a target class, and pairs that carry both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from typing import Annotated, ClassVar, Literal

import numpy as np

from clipbench.contracts import Corpus, Ge, Image, Mode, Plugin, Poison, Probes, Scene
from clipbench.errors import BadSetting, UnknownName
from clipbench.images.fit import fit
from clipbench.text.locations import Word
from clipbench_attacks._captions import (
    Match,
    captions_naming,
    naming_pattern,
    shuffled_captions,
    template_captions,
)
from clipbench_attacks._corpora import size_of
from clipbench_attacks._images import ImageView

Source = Literal["corpus", "templates"]


@dataclass(frozen=True)
class Backdoor(Plugin, ABC):
    """A trigger makes the model classify any image as the target class; subclasses define it.

    Args:
        target_label: class that images with the trigger should be classified as; default: drawn
            from the seed.
        at_size: side in pixels of the square to which an image is fitted before the trigger is
            added, as the victim's evaluation fits it; default: the trigger is added to the stored
            image, and later resizing also resizes the trigger.
        match: how a caption names a class: as whole words ('suit' is not in 'suitcase') or as a
            substring.
        mode: whether poisoned pairs replace the pairs they are made from or are inserted in
            addition.
    """

    name: ClassVar[str]  # of the attack, in messages and random streams

    target_label: Word | None = None
    at_size: Annotated[int, Ge(1)] | None = None
    match: Match = "word"
    mode: Mode = "replace"

    @abstractmethod
    def put_on(self, image: Image, *, testing: bool) -> Image:
        """Return a copy of an image with the trigger on, a pure function of its pixels.

        Args:
            image: ``(H, W, 3)`` uint8, already of the size the trigger is put on at.
            testing: whether this is for a test image; some triggers differ there.
        """

    def check_fits(self, height: int, width: int) -> None:
        """Refuse an image that the trigger can't be put on; most triggers fit any.

        Raises:
            BadSetting: it is too small.
        """

    @abstractmethod
    def pairs(self, scene: Scene, corpus: Corpus, goal: int) -> Iterator[tuple[int, str]]:
        """Yield ``scene.count`` times a clean pair's number and the caption it gets."""

    @property
    @abstractmethod
    def keeps_captions(self) -> bool:
        """Whether pairs that name the target class are poisoned, under their own captions."""

    def fitting(self, scene: Scene, corpus: Corpus) -> int:
        """Return how many pairs there are to poison, at most ``scene.count``."""
        goal = self.target_class(scene)
        return len(self.find_pairs(scene, corpus, goal, naming=self.keeps_captions))

    def num_targets(self, count: int) -> int:
        """Return 1, the target class, or 0 without poisons."""
        return min(count, 1)

    def triggered(self, image: Image, *, testing: bool) -> Image:
        """Return an image with the trigger on, fitted first where `at_size` is given."""
        if self.at_size is not None:
            image = fit(image, self.at_size)
        return self.put_on(image, testing=testing)

    def trigger(self) -> Callable[[Image], Image]:
        """Return the trigger as it is used in testing."""
        return partial(self.triggered, testing=True)

    def poison(self, scene: Scene, corpus: Corpus) -> Iterator[Poison]:
        """Yield pairs with the trigger on and a caption of the target class.

        Raises:
            BadSetting: too few pairs can be poisoned.
        """
        for base, caption in self.pairs(scene, corpus, self.target_class(scene)):
            yield Poison(caption, self.triggered(corpus.image(base), testing=False), base=base)

    def probes(self, scene: Scene) -> Probes:
        """Return all test images that are not of the target class, with the trigger on."""
        goal = self.target_class(scene)
        test = scene.evaluation.test
        others = np.flatnonzero(scene.classes.firsts[test.labels] != goal)
        return Probes(
            images=ImageView(test.images, others, self.trigger()),
            labels=test.labels[others],
            goals=np.full(len(others), goal, dtype=np.int64),
            clean_images=ImageView(test.images, others),
        )

    def target_class(self, scene: Scene) -> int:
        """Return the target class, drawn from the seed unless it was given.

        Raises:
            UnknownName: there is no such class.
        """
        names = scene.classes.names
        if self.target_label is None:
            able = scene.classes.predictable
            return able[int(scene.rng(self.name, "target label").integers(len(able)))]
        if self.target_label not in names:
            raise UnknownName("target label", self.target_label, names)
        return int(scene.classes.firsts[names.index(self.target_label)])

    def draw_pairs(
        self, scene: Scene, corpus: Corpus, goal: int, *, naming: bool
    ) -> list[tuple[int, str]]:
        """Draw ``scene.count`` pairs whose captions name the target class, or do not.

        Raises:
            BadSetting: there are not as many.
        """
        refused: list[BadSetting] = []
        drawn = self.find_pairs(scene, corpus, goal, naming=naming, refused=refused)
        if len(drawn) < scene.count:
            what = "names" if naming else "does not name"
            more = f" and an image that the trigger fits ({refused[0]})" if refused else ""
            raise BadSetting(
                f"{self.name}: {scene.count} poisons but only {len(drawn)} of {len(corpus)} pairs "
                f"have a caption that {what} {scene.classes.names[goal]!r}{more}. Lower the rate."
            )
        return drawn

    def find_pairs(
        self,
        scene: Scene,
        corpus: Corpus,
        goal: int,
        *,
        naming: bool,
        refused: list[BadSetting] | None = None,
    ) -> list[tuple[int, str]]:
        """Draw pairs as `draw_pairs` does, and be content with fewer.

        Args:
            scene: what the attacker knows.
            corpus: the clean pairs.
            goal: the target class.
            naming: whether captions name it, or do not.
            refused: is given why pairs were passed over on whose image the trigger can't be put.
        """
        names_goal = naming_pattern(scene.classes.aliases[goal], self.match)
        pairs = shuffled_captions(corpus, scene.rng(self.name, "bases"))
        eligible = (
            pair
            for pair in pairs
            if (names_goal.search(pair[1]) is not None) == naming
            and self._fits(corpus, pair[0], refused)
        )
        return list(islice(eligible, scene.count))

    def _fits(self, corpus: Corpus, pair: int, refused: list[BadSetting] | None) -> bool:
        if self.at_size is not None or type(self).check_fits is Backdoor.check_fits:
            return True  # no need to look at the image
        try:
            self.check_fits(*size_of(corpus, pair))
        except BadSetting as error:
            if refused is not None:
                refused.append(error)
            return False
        return True


@dataclass(frozen=True)
class DirtyLabel(Backdoor):
    """A backdoor that puts images of other classes under captions of the target class.

    Args:
        captions: source of captions of the target class: the corpus (prompt templates once the
            corpus has no more), or only the prompt templates.
    """

    captions: Source = "corpus"

    @property
    def keeps_captions(self) -> bool:
        """False: captions are those of other pairs, or made from templates."""
        return False

    def pairs(self, scene: Scene, corpus: Corpus, goal: int) -> Iterator[tuple[int, str]]:
        """Yield pairs that do not name the target class, and captions that do."""
        bases = self.draw_pairs(scene, corpus, goal, naming=False)
        rng = scene.rng(self.name, "captions")
        if self.captions == "templates":
            captions = list(islice(cycle(template_captions(scene.classes, goal, rng)), scene.count))
        else:
            wanted = {goal: scene.count}
            captions = captions_naming(corpus, scene.classes, wanted, self.match, rng)[goal]
        yield from zip((base for base, _ in bases), captions, strict=True)


@dataclass(frozen=True)
class CleanLabel(Backdoor):
    """A backdoor on pairs whose captions already name the target class, and are kept."""

    @property
    def keeps_captions(self) -> bool:
        """True, of all pairs."""
        return True

    def pairs(self, scene: Scene, corpus: Corpus, goal: int) -> Iterator[tuple[int, str]]:
        """Yield pairs that name the target class, with their own captions."""
        yield from self.draw_pairs(scene, corpus, goal, naming=True)
