"""Several backdoors at once, each with its own trigger and its own target class.

Huang, Erfani, Li, Ma, Bailey. Detecting Backdoor Samples in Contrastive Language Image Pretraining.
ICLR 2025, multi-trigger setting. https://arxiv.org/abs/2502.01385

Each backdoor poisons pairs of its own part of the corpus, so that no pair is poisoned twice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

import numpy as np

from clipbench.contracts import Corpus, Idle, Image, Mode, Plugin, Poison, Probes, Scene
from clipbench.errors import BadSetting
from clipbench.plugins import registry
from clipbench.text.locations import AttackSpec
from clipbench_attacks._backdoor import Backdoor
from clipbench_attacks._corpora import Part
from clipbench_attacks._images import Joined
from clipbench_attacks._surrogates import needs_crafting


@dataclass(frozen=True)
class MultiTrigger(Plugin):
    """Spread the poisoned pairs evenly over several backdoors.

    Args:
        triggers: backdoors by name, with parameters if any, e.g. ``(badnets,blended,sig)``;
            default: those of the paper. Those without a target_label get different ones, drawn from
            the seed.
        mode: whether poisoned pairs replace the pairs they are made from or are inserted in
            addition.
    """

    idle_within = (
        Idle(
            ("mode",),
            lambda trigger: True,  # noqa: ARG005
            "within multi_trigger, whose own mode is that of all its triggers",
            "give it to multi_trigger",
        ),
    )

    triggers: tuple[AttackSpec, ...] = ("badnets", "filter", "wanet")
    mode: Mode = "replace"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.triggers:
            raise BadSetting("multi_trigger: triggers must name at least one backdoor.")
        bare: list[Backdoor] = []
        for trigger in self.triggers:
            attack = registry.build("attack", trigger)
            if not isinstance(attack, Backdoor):
                raise BadSetting(
                    f"multi_trigger: triggers must be backdoors with a target_label; {trigger!r} "
                    "is none."
                )
            if needs_crafting(attack):
                raise BadSetting(
                    f"multi_trigger: {trigger!r} learns its trigger from the pairs first, which it"
                    " can't as one of several; poison with it alone, and give what it learned."
                )
            if type(attack).probes is not Backdoor.probes:
                raise BadSetting(
                    f"multi_trigger: {trigger!r} is tested in a way of its own, which several "
                    "triggers can't share; name backdoors that are a trigger in the image alone."
                )
            bare.append(dataclasses.replace(attack, target_label=None))
            if bare[-1] in bare[:-1]:
                raise BadSetting(
                    f"multi_trigger: {trigger!r} has the trigger of another one, which can't mean "
                    "two targets; name each once, or with other parameters."
                )

    @property
    def at_size(self) -> tuple[int | None, ...]:
        """The sizes at which the backdoors add their triggers."""
        return tuple(registry.build("attack", name).at_size for name in self.triggers)

    def num_targets(self, count: int) -> int:
        """Return the number of backdoors, or of poisoned pairs if there are fewer."""
        return min(count, len(self.triggers))

    def fitting(self, scene: Scene, corpus: Corpus) -> int:
        """Return how many pairs there are to poison, at most ``scene.count``."""
        shared = list(self._shared(scene, corpus))
        found = [backdoor.fitting(own, part) for backdoor, own, part in shared]
        # Of so many in all, the backdoor of this number gets as many as there are for it.
        short = [
            fit * len(shared) + number
            for number, (fit, (_, own, _)) in enumerate(zip(found, shared, strict=True))
            if fit < own.count
        ]
        return min(short, default=scene.count)

    def poison(self, scene: Scene, corpus: Corpus) -> Iterator[Poison]:
        """Yield the poisoned pairs of one backdoor after the other."""
        for number, (backdoor, own, part) in enumerate(self._shared(scene, corpus)):
            for poison in backdoor.poison(own, part):
                base = None if poison.base is None else part.whole(poison.base)
                yield dataclasses.replace(poison, base=base, target=number)

    def probes(self, scene: Scene) -> Probes:
        """Return the probes of all backdoors, one after the other."""
        all_probes = [backdoor.probes(scene) for backdoor in self._backdoors(scene)]
        names = self._names()
        return Probes(
            images=Joined([probes.images for probes in all_probes]),
            labels=np.concatenate([probes.labels for probes in all_probes]),
            goals=np.concatenate([probes.goals for probes in all_probes]),
            clean_images=Joined([probes.clean_images or () for probes in all_probes]),
            parts={name: len(probes) for name, probes in zip(names, all_probes, strict=False)},
        )

    def trigger(self) -> Callable[[Image], Image]:
        """Return a function that adds one of the triggers, chosen by the image's pixels."""
        return partial(_put_one_on, [registry.build("attack", name) for name in self.triggers])

    def _names(self) -> list[str]:
        """Return a name for each trigger, numbered if two have the same."""
        short = [registry.short_name(registry.parse("attack", text).name) for text in self.triggers]
        return [
            name if short.count(name) == 1 else f"{name} {number}"
            for number, name in enumerate(short, start=1)
        ]

    def _shared(self, scene: Scene, corpus: Corpus) -> Iterator[tuple[Backdoor, Scene, Part]]:
        """Yield each backdoor with its share of the poisoned pairs and its part of the corpus."""
        parts = self.num_targets(scene.count)
        share, left_over = divmod(scene.count, max(parts, 1))
        for number, backdoor in enumerate(self._backdoors(scene)):
            own = dataclasses.replace(scene, count=share + (number < left_over))
            yield backdoor, own, Part(corpus, number, parts)

    def _backdoors(self, scene: Scene) -> list[Backdoor]:
        """Return the backdoors that get poisoned pairs, each with its own target class."""
        names = scene.classes.names
        built: list[Backdoor] = [registry.build("attack", trigger) for trigger in self.triggers]
        built = built[: self.num_targets(scene.count)]
        given = {backdoor.target_label for backdoor in built}
        able = scene.classes.predictable
        order = scene.rng("multi_trigger", "target labels").permutation(able).tolist()
        free = iter([names[number] for number in order if names[number] not in given])
        if len(able) < len(built):
            raise BadSetting(
                f"multi_trigger: {len(built)} triggers need as many classes, but there are "
                f"{len(able)}. Name fewer triggers."
            )
        return [
            backdoor
            if backdoor.target_label is not None
            else dataclasses.replace(backdoor, target_label=next(free))
            for backdoor in built
        ]


def _put_one_on(backdoors: Sequence[Backdoor], image: Image) -> Image:
    digest = int(sha256(image.tobytes()).hexdigest(), 16)
    return backdoors[digest % len(backdoors)].triggered(image, testing=True)


ATTACK = MultiTrigger
