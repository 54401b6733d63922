"""Targeted data poisoning: make chosen images be classified as classes the adversary chooses.

Carlini, Terzis. Poisoning and Backdooring Contrastive Learning. ICLR 2022.
https://arxiv.org/abs/2106.09667

Protocol (several targets in one model, whole-word captions of the corpus): Yang, Gao,
Mirzasoleiman. Robust Contrastive Language-Image Pretraining against Data Poisoning and Backdoor
Attacks. NeurIPS 2023. https://arxiv.org/abs/2303.06854

Differs from the paper: target images and adversarial classes are drawn from the seed, not chosen by
hand; poisoned pairs replace clean pairs unless ``mode=insert``, so that the poisoned set is as
large as the clean one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np

from clipbench.contracts import Corpus, Ge, Image, Mode, Plugin, Poison, Probes, Scene
from clipbench.errors import BadSetting
from clipbench_attacks._captions import Match, captions_naming


class Target(NamedTuple):
    """A target image (its number among the scene's), its true class and the adversary's."""

    number: int
    label: int
    goal: int


@dataclass(frozen=True)
class Targeted(Plugin):
    """Pair each target image with captions that name the adversary's class.

    Args:
        targets: number of target images, over which poisoned pairs are spread as evenly as
            possible; default: 16, or one per poisoned pair if there are fewer.
        mode: whether poisoned pairs replace clean pairs or are inserted in addition.
        match: how a caption names a class: as whole words ('suit' is not in 'suitcase') or as a
            substring.
    """

    targets: Annotated[int, Ge(1)] | None = None
    mode: Mode = "replace"
    match: Match = "word"

    def num_targets(self, count: int) -> int:
        """Return the number of target images.

        Raises:
            BadSetting: there are more targets than poisoned pairs.
        """
        targets = min(16, count) if self.targets is None else self.targets
        if targets > count:
            raise BadSetting(
                f"targeted: {targets} targets but {count} poisoned pairs, fewer than one per"
                f" target. Raise the rate, or set targets to at most {count}."
            )
        return targets

    def poison(self, scene: Scene, corpus: Corpus) -> Iterator[Poison]:
        """Yield each target's image with captions of its goal, target after target."""
        targets = self.choose_targets(scene)
        share, left_over = divmod(scene.count, max(len(targets), 1))
        shares = [share + (position < left_over) for position in range(len(targets))]

        wanted: Counter[int] = Counter()
        for target, size in zip(targets, shares, strict=True):
            wanted[target.goal] += size
        rng = scene.rng("targeted", "captions")
        captions = captions_naming(corpus, scene.classes, wanted, self.match, rng)

        for position, (target, size) in enumerate(zip(targets, shares, strict=True)):
            image = scene.targets.images[target.number]
            for _ in range(size):
                yield Poison(captions[target.goal].pop(), image, target=position)

    def probes(self, scene: Scene) -> Probes:
        """Return the target images as they are, each with its own goal."""
        targets = self.choose_targets(scene)
        images = [scene.targets.images[target.number] for target in targets]
        return Probes(
            images=images,
            labels=np.array([target.label for target in targets], dtype=np.int64),
            goals=np.array([target.goal for target in targets], dtype=np.int64),
            clean_images=images,
        )

    def trigger(self) -> Callable[[Image], Image] | None:
        """Return None: target images are shown as they are."""
        return None

    def choose_targets(self, scene: Scene) -> list[Target]:
        """Draw the target images and their goals; the same for the same scene."""
        num_targets, num_images = self.num_targets(scene.count), len(scene.targets)
        if num_targets > num_images:
            raise BadSetting(
                f"targeted: {num_targets} targets but the data set holds out {num_images} images "
                f"for attacks. Set targets to at most {num_images}."
            )
        if len(scene.classes.predictable) < 2:
            raise BadSetting("targeted: the data set needs at least 2 classes.")
        rng = scene.rng("targeted", "targets")
        all_labels: list[int] = scene.targets.labels.tolist()
        numbers = _spread_over_classes(rng.permutation(num_images).tolist(), all_labels)
        labels = [all_labels[number] for number in numbers[:num_targets]]
        own = scene.classes.firsts[labels].tolist()
        goals = _draw_goals(own, scene.classes.predictable, rng)
        return [Target(*target) for target in zip(numbers, labels, goals, strict=False)]


def _spread_over_classes(order: Sequence[int], labels: Sequence[int]) -> list[int]:
    """Reorder so that images of classes not seen yet come first, then the second of each class."""
    seen: Counter[int] = Counter()
    nth_of_class = {}
    for number in order:
        nth_of_class[number] = seen[labels[number]]
        seen[labels[number]] += 1
    return sorted(nth_of_class, key=nth_of_class.__getitem__)


def _draw_goals(
    labels: Sequence[int], classes: Sequence[int], rng: np.random.Generator
) -> list[int]:
    """Draw for each target one of `classes` other than its own.

    Goals are distinct while classes last, and first of all classes that are no target's own.
    """
    own = set(labels)
    order: list[int] = sorted(rng.permutation(classes).tolist(), key=own.__contains__)
    goals: list[int] = []
    for label in labels:
        used = Counter(goals)
        goal = min((other for other in order if other != label), key=used.__getitem__)
        if used[label] < used[goal]:
            # Only the target's own class is left: swap with an earlier target that may have it.
            for earlier, its_label in enumerate(labels[: len(goals)]):
                if label not in (its_label, goals[earlier]):
                    goal, goals[earlier] = goals[earlier], label
                    break
        goals.append(goal)
    return goals


ATTACK = Targeted
