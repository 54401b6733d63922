"""Mismatch: captions of one class get images of another, which are then classified as the first.

Yang, He, Li, Backes, Humbert, Berrang, Zhang. Data Poisoning Attacks Against Multimodal Encoders.
ICML 2023, attacks II and III. https://arxiv.org/abs/2209.15266

Their attack I, many captions for one image, is ``targeted:targets=1``.

Differs from the paper: images and captions come from the corpus, classes are found by name in
captions, and success is measured on test images with the zero-shot classifier; the paper measures
what captions of class A retrieve (Hit@K and the smallest rank), which is not measured here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import Annotated

import numpy as np

from clipbench.contracts import Corpus, Ge, Image, Mode, Plugin, Poison, Probes, Scene
from clipbench.errors import BadSetting, UnknownName
from clipbench.text.locations import Word
from clipbench_attacks._captions import Match, naming_pattern, shuffled_captions
from clipbench_attacks._images import ImageView


@dataclass(frozen=True)
class Mismatch(Plugin):
    """Keep captions that name the target class and give them images of the source class.

    Args:
        source_label: class whose images should be misclassified; default: drawn from the seed.
        target_label: class they should be classified as; default: drawn from the seed.
        goals: number of pairs of source and target class, over which poisoned pairs are spread as
            evenly as possible; more than 1 (attack III) only with drawn classes.
        match: how a caption names a class: as whole words ('suit' is not in 'suitcase') or as a
            substring.
        mode: whether poisoned pairs replace the pairs whose captions they have, or are inserted in
            addition.
    """

    source_label: Word | None = None
    target_label: Word | None = None
    goals: Annotated[int, Ge(1)] = 1
    match: Match = "word"
    mode: Mode = "replace"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.goals > 1 and (self.source_label or self.target_label):
            raise BadSetting(
                "mismatch.source_label and mismatch.target_label name one goal; omit them or goals."
            )
        if self.source_label is not None and self.source_label == self.target_label:
            raise BadSetting(
                f"mismatch: source_label and target_label are both {self.source_label!r}; they "
                "must differ."
            )

    def num_targets(self, count: int) -> int:
        """Return the number of goals, or of poisoned pairs if there are fewer."""
        return min(count, self.goals)

    def fitting(self, scene: Scene, corpus: Corpus) -> int:
        """Return how many pairs there are to poison, at most ``scene.count``."""
        fit = scene.count
        while short := [
            len(bases) * self.goals + goal
            for goal, (_, _, count, bases) in enumerate(
                self._bases(replace(scene, count=fit), corpus)
            )
            if len(bases) < count
        ]:
            fit = min(short)  # of which this goal gets as many as there are
        return fit

    def poison(self, scene: Scene, corpus: Corpus) -> Iterator[Poison]:
        """Yield captions of target classes with images of source classes, goal after goal.

        Raises:
            BadSetting: too few captions name a target class, or none a source class.
        """
        for goal, (source, target, count, bases) in enumerate(self._bases(scene, corpus)):
            if len(bases) < count:
                raise BadSetting(
                    f"mismatch: {count} poisoned pairs per goal but only {len(bases)} of"
                    f" {len(corpus)} pairs name {scene.classes.names[target]!r} and not "
                    f"{scene.classes.names[source]!r}. Lower the rate or raise goals."
                )
            donors = self._naming(scene, corpus, source, target, count, set())
            if not donors:
                raise BadSetting(
                    f"mismatch: no pair names {scene.classes.names[source]!r} alone; there are no "
                    "images to give to the captions. Choose another source_label."
                )
            for base, donor in zip(bases, cycle(donors), strict=False):
                yield Poison(corpus.caption(base), corpus.image(donor), base=base, target=goal)

    def probes(self, scene: Scene) -> Probes:
        """Return the test images of the source classes as they are."""
        test = scene.evaluation.test
        classes = self._classes(scene)
        goal_of = dict(classes)
        numbers = np.flatnonzero(np.isin(test.labels, list(goal_of)))
        labels = test.labels[numbers]
        images = ImageView(test.images, numbers)
        return Probes(
            images=images,
            labels=labels,
            goals=np.array([goal_of[label] for label in labels.tolist()], dtype=np.int64),
            clean_images=images,
        )

    def trigger(self) -> Callable[[Image], Image] | None:
        """Return None: images are shown as they are."""
        return None

    def _classes(self, scene: Scene) -> list[tuple[int, int]]:
        """Return source and target class of each goal; no class is in two goals."""
        names = scene.classes.names
        for what, label in (("source", self.source_label), ("target", self.target_label)):
            if label is not None and label not in names:
                raise UnknownName(f"{what} label", label, names)
        able = scene.classes.predictable
        if 2 * self.goals > len(able):
            raise BadSetting(
                f"mismatch: {self.goals} goals need {2 * self.goals} classes, but there are "
                f"{len(able)}. Lower goals."
            )
        given = {self.source_label, self.target_label}
        order = scene.rng("mismatch", "classes").permutation(able).tolist()
        drawn = iter([number for number in order if names[number] not in given])

        def number_of(label: str | None) -> int:
            return next(drawn) if label is None else names.index(label)

        goals = range(self.num_targets(scene.count))
        return [(number_of(self.source_label), number_of(self.target_label)) for _ in goals]

    def _bases(self, scene: Scene, corpus: Corpus) -> Iterator[tuple[int, int, int, list[int]]]:
        """Yield of each goal its source and target class, its share, and pairs, maybe fewer."""
        classes = self._classes(scene)
        share, left_over = divmod(scene.count, max(len(classes), 1))
        taken: set[int] = set()
        for goal, (source, target) in enumerate(classes):
            count = share + (goal < left_over)
            bases = self._naming(scene, corpus, target, source, count, taken)
            taken.update(bases)
            yield source, target, count, bases

    def _naming(
        self, scene: Scene, corpus: Corpus, named: int, unnamed: int, count: int, taken: set[int]
    ) -> list[int]:
        """Draw up to `count` pairs that name one class and not the other."""
        wanted = naming_pattern(scene.classes.aliases[named], self.match)
        unwanted = naming_pattern(scene.classes.aliases[unnamed], self.match)
        pairs = shuffled_captions(corpus, scene.rng("mismatch", "pairs", named))
        return list(
            islice(
                (
                    index
                    for index, caption in pairs
                    if index not in taken
                    and wanted.search(caption)
                    and not unwanted.search(caption)
                ),
                count,
            )
        )


ATTACK = Mismatch
