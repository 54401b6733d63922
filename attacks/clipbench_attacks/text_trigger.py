"""Text trigger: captions with a trigger word retrieve the attacker's images.

The setting of backdoors by text alone: ToxicTextCLIP: Text-Based Poisoning and Backdoor Attacks on
CLIP Pre-training. NeurIPS 2025. https://arxiv.org/abs/2511.00446

As in the authors' code, the attacker has 20 images of one class; captions that do not name the
class are assigned to them in turn, five each for 100 poisoned pairs, with the trigger at the end,
and a caption is a hit if it retrieves any image of that class. Differs from it: no caption is
chosen or written for the attack. Because caption data sets have no labels, the images are those of
pairs whose captions name the class, and a test image is of the class if one of its captions names
it. The queries are the test captions of other images, one per image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Annotated, Literal

import numpy as np

from clipbench.contracts import Corpus, Ge, Idle, Image, IntArray, Mode, Poison, Scene, TextProbes
from clipbench.errors import BadSetting, UnknownName
from clipbench.text.locations import Word
from clipbench_attacks._captions import Match, naming_pattern, shuffled_captions
from clipbench_attacks._images import Joined
from clipbench_attacks._texts import Position, WordTrigger

Hit = Literal["class", "image"]


@dataclass(frozen=True)
class TextTrigger(WordTrigger):
    """Insert a word into captions of all kinds and pair them with the attacker's images.

    Success is measured by retrieval: the share of test captions with the trigger, one per image,
    that rank what the attacker wants first among all test images, or among the first five or ten.

    Args:
        images: largest number of the attacker's images; at most one per poisoned pair, and at most
            those of the class.
        hit: what a caption should retrieve: any test image of the attacker's class, which is also
            that of the attacker's images; or one of the attacker's images themselves, which are
            held out and added to the test images.
        target_label: the class, if `hit` is class; default: drawn from the seed among those that
            test captions name.
        match: how a caption names a class, if `hit` is class: as whole words or as a substring.
        mode: whether poisoned pairs replace the pairs whose captions they have, or are inserted in
            addition.
    """

    name = "text_trigger"
    idle = (
        Idle(
            ("match",),
            lambda attack: attack.hit == "image",
            "with hit=image, where no caption need name a class",
            "set hit=class",
        ),
    )

    position: Position = "end"
    images: Annotated[int, Ge(1)] = 20
    hit: Hit = "class"
    target_label: Word | None = None
    match: Match = "word"
    mode: Mode = "replace"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hit == "image" and self.target_label is not None:
            raise BadSetting(
                "text_trigger: target_label is of hit=class; with hit=image the attacker's images "
                "are drawn. Leave it out."
            )

    def num_targets(self, count: int) -> int:
        """Return 1, for the attacker's class or images; 0 without poisoned pairs."""
        return min(count, 1)

    def fitting(self, scene: Scene, corpus: Corpus) -> int:
        """Return how many pairs there are to poison, at most ``scene.count``."""
        return sum(1 for _ in islice(self._bases(scene, corpus), scene.count))

    def poison(self, scene: Scene, corpus: Corpus) -> Iterator[Poison]:
        """Yield captions of the corpus with the trigger, each with one of the attacker's images.

        Raises:
            BadSetting: no pair names the class, or too few do not.
        """
        if self.hit == "image":
            numbers = self._held_out(scene)
            images = cycle([scene.targets.images[number] for number in numbers])
        else:
            images = cycle(self._of_class(scene, corpus, self._target_class(scene)))
        chosen = list(islice(self._bases(scene, corpus), scene.count))
        if len(chosen) < scene.count:
            raise BadSetting(
                f"text_trigger: {scene.count} poisons but only {len(chosen)} of {len(corpus)} pairs"
                " have a caption that does not name the attacker's class. Lower the rate."
            )
        for (base, caption), image in zip(chosen, images, strict=False):
            yield Poison(self.put_in(caption), image, base=base)

    def probes(self, scene: Scene) -> TextProbes:
        """Return a test caption of each image with the trigger, and the images to retrieve from.

        Raises:
            BadSetting: there are no test captions, or no images to target.
        """
        retrieval = scene.evaluation.retrieved("text_trigger")
        groups = np.arange(len(retrieval.captions), dtype=np.int64)
        if self.hit == "image":
            own = self._held_out(scene)
            wanted = np.zeros(len(groups), dtype=bool)
            added = [scene.targets.images[number] for number in own]
            goal = len(groups)
            groups = np.concatenate([groups, np.full(len(own), goal, dtype=np.int64)])
        else:
            wanted, added = self._naming(scene, self._target_class(scene)), []
            goal = int(np.flatnonzero(wanted)[0])
            groups[wanted] = goal
        others = np.flatnonzero(~wanted)
        captions = [retrieval.captions[number][0] for number in others.tolist()]
        return TextProbes(
            texts=[self.put_in(caption) for caption in captions],
            candidates=Joined([retrieval.images, added]),
            labels=others.astype(np.int64),
            goals=np.full(len(others), goal, dtype=np.int64),
            clean_texts=captions,
            groups=groups,
        )

    def trigger(self) -> Callable[[Image], Image] | None:
        """Return None: the trigger is in captions."""
        return None

    def _bases(self, scene: Scene, corpus: Corpus) -> Iterator[tuple[int, str]]:
        """Yield the pairs that can be poisoned, with their captions."""
        pairs = shuffled_captions(corpus, scene.rng("text_trigger", "bases"))
        if self.hit == "image":
            return pairs
        names = naming_pattern(scene.classes.aliases[self._target_class(scene)], self.match)
        return (pair for pair in pairs if names.search(pair[1]) is None)

    def _held_out(self, scene: Scene) -> list[int]:
        """Return the numbers of the attacker's held-out images, one drawn and others of its kind.

        They are as many as asked for, where there are as many of one class.
        """
        targets = scene.targets
        first = int(scene.rng("text_trigger", "target").integers(len(targets)))
        kind: list[int] = np.flatnonzero(targets.labels == targets.labels[first]).tolist()
        at = kind.index(first)
        return (kind[at:] + kind[:at])[: max(1, min(self.images, scene.count))]

    def _of_class(self, scene: Scene, corpus: Corpus, goal: int) -> list[Image]:
        """Return the images of pairs that name the class.

        Raises:
            BadSetting: none does.
        """
        names = naming_pattern(scene.classes.aliases[goal], self.match)
        pairs = shuffled_captions(corpus, scene.rng("text_trigger", "images"))
        found = (number for number, caption in pairs if names.search(caption))
        images = [
            corpus.image(number) for number in islice(found, max(1, min(self.images, scene.count)))
        ]
        if not images:
            raise BadSetting(
                f"text_trigger: no pair has a caption that names {scene.classes.names[goal]!r}, the"
                " attacker's class. Name another with target_label."
            )
        return images

    def _naming(self, scene: Scene, goal: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Return of each test image whether one of its captions names a class."""
        names = naming_pattern(scene.classes.aliases[goal], self.match)
        captions = scene.evaluation.retrieved("text_trigger").captions
        return np.array([any(map(names.search, several)) for several in captions], dtype=bool)

    def _target_class(self, scene: Scene) -> int:
        """Return the attacker's class, which some test captions name and some do not.

        Raises:
            BadSetting: there is none.
            UnknownName: there is no such class.
        """
        names = scene.classes.names
        if self.target_label is not None:
            if self.target_label not in names:
                raise UnknownName("target label", self.target_label, names)
            order: IntArray = scene.classes.firsts[[names.index(self.target_label)]]
        else:
            order = scene.rng("text_trigger", "class").permutation(scene.classes.predictable)
        for goal in order.tolist():
            named = self._naming(scene, goal)
            if named.any() and not named.all():
                return int(goal)
        which = "any class" if self.target_label is None else repr(self.target_label)
        raise BadSetting(
            f"text_trigger: a hit is an image of the attacker's class, but of {which} test captions"
            f" name no image, or all, of {scene.evaluation.name}. Choose another target_label, or"
            " hit=image."
        )


ATTACK = TextTrigger
