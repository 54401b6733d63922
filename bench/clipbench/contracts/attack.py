"""What an attack owes the bench, and what it gets from it.

Letters of shapes: ``B`` batch, ``V`` views, ``D`` feature size, ``N`` images, ``H W`` pixels.
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
    """Random access to the clean training pairs, for attacks; nothing is held in memory."""

    def __len__(self) -> int: ...

    def caption(self, index: int) -> str:
        """Return the caption of pair `index`."""

    def image(self, index: int) -> Image:
        """Return the decoded image of pair `index`."""


@dataclass(frozen=True)
class Scene:
    """What an attacker knows besides the corpus, the same for poisoning and for testing.

    Args:
        evaluation: the victim's test set (classes and images).
        held_out: returns the held-out images an attacker may target; asked only if it does.
        count: number of poisoned pairs.
        seed: the run's seed; attacks draw through `rng` only.
    """

    evaluation: EvaluationSet
    held_out: Callable[[], LabelledImages]
    count: int
    seed: int

    @property
    def targets(self) -> LabelledImages:
        """Held-out images an attacker may target.

        Raises:
            BadSetting: the evaluation source holds none out.
        """
        return self.held_out()

    @property
    def classes(self) -> Classes:
        """The classes of the victim's zero-shot classifier."""
        return self.evaluation.classes

    def rng(self, *scope: str | int) -> np.random.Generator:
        """Return the generator of one named stream of this attack."""
        return generator(self.seed, "attack", *scope)


@dataclass(frozen=True)
class Poison:
    """One poisoned pair.

    Args:
        caption: its caption.
        image: its image.
        base: number of the clean pair it was made from and, in mode ``replace``, takes the place
            of. None: any pair's place, drawn by the machinery from the run's seed.
        target: which of the attack's targets it serves, 0 .. targets - 1.
        role: what it is for, e.g. ``"poison"``; written to the ledger.
    """

    caption: str
    image: Image
    base: int | None = None
    target: int = 0
    role: str = "poison"


@dataclass(frozen=True)
class Probes:
    """Test images the attacker wants misread, and as what.

    Args:
        images: M images; may be made on access.
        labels: ``(M,)`` true classes.
        goals: ``(M,)`` classes the attacker wants read; never equal to the label.
        clean_images: the same images as they are without the attack's trigger, for pictures.
        prompt: what the attacker makes of the prompt templates, of which it leaves the slot for
            the class; None: they are the victim's.
        variants: other probes by name, such as those with a part of the trigger, whose success is
            told as ``NAME_attack_success``.
        parts: of an attack with several triggers, how many probes each has, by its name, in the
            order of the probes; tables then tell of each trigger by itself. Empty: they are one.
    """

    images: Sequence[Image]
    labels: IntArray
    goals: IntArray
    clean_images: Sequence[Image] | None = None
    prompt: Callable[[str], str] | None = None
    variants: Mapping[str, Probes] = field(default_factory=dict)
    parts: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class TextProbes:
    """Test captions for which the attacker wants another image found than their own.

    Args:
        texts: M captions, with the attack's trigger.
        candidates: C images among which the most similar to a caption is looked for.
        labels: ``(M,)`` which candidate is the caption's own.
        goals: ``(M,)`` which one the attacker wants found; never equal to the label.
        clean_texts: the same captions without the trigger.
        groups: ``(C,)`` which candidates count as one, those of one number: to find any of them is
            to find the label or the goal among them. None: each counts for itself.
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
    """Says which pairs are poisoned and how, and which test images shall be misread.

    A frozen dataclass whose fields are its parameters, checked in ``__post_init__``.
    """

    @property
    def mode(self) -> Mode:
        """Whether poisons replace clean pairs or are inserted beside them."""

    def num_targets(self, count: int) -> int:
        """Return over how many targets `count` poisons are spread."""

    def poison(self, scene: Scene, corpus: Corpus) -> Iterator[Poison]:
        """Yield exactly ``scene.count`` poisons; the same for the same scene and corpus."""

    def probes(self, scene: Scene) -> AnyProbes:
        """Return what shall be misread in testing; the same for the same scene."""

    def trigger(self) -> Callable[[Image], Image] | None:
        """Return the trigger as a pure function of a uint8 image, or None if there is none."""


@runtime_checkable
class Crafted(Protocol):
    """An attack that learns from the corpus first, such as one with an optimized trigger."""

    def crafted(self, scene: Scene, corpus: Corpus) -> Attack:
        """Return this attack with what it learned in its parameters, from which it can be rebuilt.

        `Attack.poison`, `Attack.probes` and `Attack.trigger` are asked of what is returned; of the
        attack before, only how many probes there are.
        """
