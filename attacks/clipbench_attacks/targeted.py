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
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Annotated, Any, NamedTuple

import numpy as np

from clipbench.contracts import UNSAID, Corpus, Ge, Image, Mode, Plugin, Poison, Probes, Scene
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
        doses: numbers of poisoned pairs of a target, e.g. ``1+2+4+8``: targets get them in turn, so
            that one training measures success at each. There are as many targets as make up the
            number of poisoned pairs, unless they are given. Default: as evenly as possible.
    """

    targets: Annotated[int, Ge(1)] | None = None
    mode: Mode = "replace"
    match: Match = "word"
    doses: tuple[Annotated[int, Ge(1)], ...] | None = field(default=None, metadata=UNSAID)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.doses is not None and len({*self.doses}) < max(1, len(self.doses)):
            raise BadSetting(
                "targeted.doses must be different numbers, e.g. 1+2+4. Got"
                f" {_joined(self.doses) or 'none'}."
            )

    def num_targets(self, count: int) -> int:
        """Return the number of target images.

        Raises:
            BadSetting: there are more targets than poisoned pairs, or the doses do not add up.
        """
        if self.doses is not None:
            return self._num_dosed(count, self.doses)
        targets = min(16, count) if self.targets is None else self.targets
        if targets > count:
            raise BadSetting(
                f"targeted: {targets} targets but {count} poisoned pairs, fewer than one per"
                f" target. Raise the rate, or set targets to at most {count}."
            )
        return targets

    def _num_dosed(self, count: int, doses: Sequence[int]) -> int:
        """Return how many targets `count` poisoned pairs are for, in doses."""
        once = sum(doses)
        if self.targets is not None:
            needed = sum(_in_turn(doses, self.targets))
            if count != needed:
                raise BadSetting(
                    f"targeted: {self.targets} targets in doses {_joined(doses)} take"
                    f" {needed} poisoned pairs, and there are {count}. Give --poisons {needed}, or"
                    " leave targets open."
                )
            return self.targets
        if count % once:
            below = count - count % once
            near = [f"{number}" for number in (below, below + once) if number]
            raise BadSetting(
                f"targeted: doses {_joined(doses)} take a multiple of {once} poisoned pairs, and"
                f" there are {count}. Give --poisons {' or '.join(near)}."
            )
        return count // once * len(doses)

    def shares(self, count: int) -> list[int]:
        """Return how many of `count` poisoned pairs each target gets, in the order of targets."""
        targets = self.num_targets(count)
        if self.doses is not None:
            return sorted(_in_turn(self.doses, targets), key=self.doses.index)
        share, left_over = divmod(count, max(targets, 1))
        return [share + (position < left_over) for position in range(targets)]

    def poison(self, scene: Scene, corpus: Corpus) -> Iterator[Poison]:
        """Yield each target's image with captions of its goal, target after target."""
        targets = self.choose_targets(scene)
        shares = self.shares(scene.count)

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
            **self._parts(scene),
        )

    def _parts(self, scene: Scene) -> dict[str, Any]:
        """Return what the probes say of doses; {}: there are none."""
        if self.doses is None:
            return {}
        each = Counter(self.shares(scene.count))
        return {"parts": {str(dose): n for dose, n in each.items()}, "parts_by": "dose"}

    def trigger(self) -> Callable[[Image], Image] | None:
        """Return None: target images are shown as they are."""
        return None

    def choose_targets(self, scene: Scene) -> list[Target]:
        """Draw the target images and their goals; the same for the same scene.

        Those of a dose follow one another. They were drawn in turn with those of the others, so
        that no dose has more of the images and goals that are drawn first.
        """
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
        drawn = [Target(*target) for target in zip(numbers, labels, goals, strict=False)]
        step = len(self.doses or (0,))
        return [target for first in range(step) for target in drawn[first::step]]


def _in_turn(doses: Sequence[int], targets: int) -> list[int]:
    """Return the dose of each of so many targets."""
    return list(islice(cycle(doses), targets))


def _joined(doses: Sequence[int]) -> str:
    return "+".join(map(str, doses))


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
