"""Interface of attacks, and the objects they are handed.

Letters in shapes: ``B`` batch, ``V`` views, ``D`` feature size, ``N`` images, ``H W`` pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from clipbench.contracts.data import Classes, EvaluationSet, Image, IntArray, LabelledImages, Mode
from clipbench.rng import generator

if TYPE_CHECKING:
    pass


class Corpus(Protocol):
    """Random access to the clean training pairs, for attacks; nothing is kept in memory."""

    def __len__(self) -> int: ...

    def caption(self, index: int) -> str:
        """Return the caption of pair `index`."""

    def image(self, index: int) -> Image:
        """Return the decoded image of pair `index`."""


@dataclass(frozen=True)
class Scene:
    """What an attacker knows besides the corpus; the same when poisoning and when testing.

    Args:
        evaluation: the victim's test set (classes and images).
        held_out: returns the held-out images an attacker may target; called only if needed.
        count: number of poisoned pairs.
        seed: the run's seed; attacks draw random numbers only through `rng`.
    """

    evaluation: EvaluationSet
    held_out: Callable[[], LabelledImages]
    count: int
    seed: int

    @property
    def targets(self) -> LabelledImages:
        """Held-out images an attacker may target.

        Raises:
            BadSetting: the evaluation source has no such images.
        """
        return self.held_out()

    @property
    def classes(self) -> Classes:
        """The classes of the victim's zero-shot classifier."""
        return self.evaluation.classes

    def rng(self, *scope: str | int) -> np.random.Generator:
        """Return the random generator of one named stream of this attack."""
        return generator(self.seed, "attack", *scope)


@dataclass(frozen=True)
class Poison:
    """One poisoned pair.

    Args:
        caption: its caption.
        image: its image.
        base: number of the clean pair it is made from, and which it replaces in mode ``replace``.
            None: a pair drawn from the run's seed.
        target: number of the attack's target, 0 .. targets - 1.
        role: purpose of the pair, e.g. ``"poison"``; written to the ledger.
    """

    caption: str
    image: Image
    base: int | None = None
    target: int = 0
    role: str = "poison"


@dataclass(frozen=True)
class Probes:
    """Test images the attacker wants misclassified, and as which classes.

    Args:
        images: M images; may be created on access.
        labels: ``(M,)`` true classes.
        goals: ``(M,)`` classes the attacker wants predicted; never equal to the label.
        clean_images: the same images without the attack's trigger, for illustrations.
        prompt: how the attacker changes a prompt template, keeping its slot for the class name;
            None: the victim's templates.
        variants: additional probes by name, such as those with part of the trigger; their success
            is reported as ``NAME_attack_success``.
        parts: for an attack with several triggers, the number of probes of each, by name, in the
            order of the probes; tables then have a row per trigger. Empty: one trigger.
        parts_by: what a part is, if no trigger: ``dose``, where targets get different numbers of
            poisoned pairs.
    """

    images: Sequence[Image]
    labels: IntArray
    goals: IntArray
    clean_images: Sequence[Image] | None = None
    prompt: Callable[[str], str] | None = None
    variants: Mapping[str, Probes] = field(default_factory=dict)
    parts: Mapping[str, int] = field(default_factory=dict)
    parts_by: str = "trigger"

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class TextProbes:
    """Test captions for which the attacker wants the wrong image retrieved.

    Args:
        texts: M captions, with the attack's trigger.
        candidates: C images, among which the one most similar to a caption is retrieved.
        labels: ``(M,)`` index of the caption's own candidate.
        goals: ``(M,)`` index of the candidate the attacker wants; never equal to the label.
        clean_texts: the same captions without the trigger.
        groups: ``(C,)`` group numbers; candidates of the same group count as one, so retrieving any
            of them counts as retrieving the label or goal among them. None: no groups.
    """

    texts: Sequence[str]
    candidates: Sequence[Image]
    labels: IntArray
    goals: IntArray
    clean_texts: Sequence[str] | None = None
    groups: IntArray | None = None

    def __len__(self) -> int:
        return len(self.labels)


AnyProbes = Probes | TextProbes


class Attack(Protocol):
    """Makes poisoned pairs, and the test inputs that should be misclassified.

    A frozen dataclass whose fields are its parameters, checked in ``__post_init__``.
    """

    @property
    def mode(self) -> Mode:
        """Whether poisoned pairs replace clean pairs or are inserted in addition."""

    def num_targets(self, count: int) -> int:
        """Return the number of targets over which `count` poisoned pairs are spread."""

    def poison(self, scene: Scene, corpus: Corpus) -> Iterator[Poison]:
        """Yield exactly ``scene.count`` poisoned pairs; the same for the same scene and corpus."""

    def probes(self, scene: Scene) -> AnyProbes:
        """Return the test inputs to be misclassified; the same for the same scene."""

    def trigger(self) -> Callable[[Image], Image] | None:
        """Return the trigger as a pure function of a uint8 image; None: no trigger."""


@runtime_checkable
class Crafted(Protocol):
    """An attack that learns from the corpus first, such as one with an optimized trigger."""

    def crafted(self, scene: Scene, corpus: Corpus) -> Attack:
        """Return this attack with what it learned in its parameters, so that it can be rebuilt.

        `Attack.poison`, `Attack.probes` and `Attack.trigger` are called on the returned attack; on
        the original, only the number of probes is used.
        """
