"""Interface of data sets, and what all plugins share: pairs, held-out sets, arrays.

Letters in shapes: ``B`` batch, ``V`` views, ``D`` feature size, ``N`` images, ``H W`` pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from clipbench.errors import BadSetting
from clipbench.text.words import composed

if TYPE_CHECKING:
    pass


Image = npt.NDArray[np.uint8]  # (H, W, 3), RGB, 0..255
IntArray = npt.NDArray[np.int64]
Mode = Literal["replace", "insert"]
Progress = Callable[[str, int, int], None]  # (what, done, total), called often, cheap


def no_progress(what: str, done: int, total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Pair:
    """One image with its caption, under a key unique in its set."""

    key: str
    image: Image
    caption: str


@dataclass(frozen=True)
class LabelledImages:
    """Images with class labels.

    Args:
        images: N images; an ``(N, H, W, 3)`` array, or any sequence that decodes on access, from
            several threads at once.
        labels: ``(N,)`` class indices.
    """

    images: Sequence[Image]
    labels: IntArray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Classes:
    """The classes of a zero-shot classifier, and the phrases by which captions name them.

    Args:
        names: one name per class; its position is the class index.
        templates: prompt templates with one ``{}`` slot for the name.
        aliases: for each class, all phrases by which a caption may name it, the name included.
    """

    names: tuple[str, ...]
    templates: tuple[str, ...]
    aliases: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def firsts(self) -> IntArray:
        """The first class of each class's name, ``(C,)``.

        Classes with the same name, such as ImageNet's two missiles, have the same prompts and
        cannot be told apart: only the first is ever predicted, and only it can be an attack's goal.
        To CLIP's tokenizer, names are the same that differ in capital letters, white space, or how
        Unicode composes a letter.
        """
        plain = [" ".join(composed(name).split()).lower() for name in self.names]
        first_of = {name: number for number, name in reversed(list(enumerate(plain)))}
        return np.array([first_of[name] for name in plain], dtype=np.int64)

    @property
    def predictable(self) -> list[int]:
        """The classes that a classifier can predict: the first of each name."""
        return sorted(set(self.firsts.tolist()))


@dataclass(frozen=True)
class Classification:
    """A zero-shot classification task.

    Args:
        classes: the classes.
        test: labelled test images.
        train: labelled images that a read-out may learn from, such as a linear probe; disjoint
            from test images and attack targets. None: no such images.
    """

    classes: Classes
    test: LabelledImages
    train: LabelledImages | None = None


@dataclass(frozen=True)
class Retrieval:
    """A retrieval task between images and captions.

    Args:
        images: the images; often the same object as the test images of a classification.
        captions: for each image, its captions (one or more).
    """

    images: Sequence[Image]
    captions: Sequence[Sequence[str]]


@dataclass(frozen=True)
class EvaluationSet:
    """Held-out data: a classification task, a retrieval task, or both.

    Args:
        name: name written into results.
        classification: classes and test images; None: no classes.
        retrieval: images and captions; None: no captions.
    """

    name: str
    classification: Classification | None = None
    retrieval: Retrieval | None = None

    @property
    def classes(self) -> Classes:
        """The classes.

        Raises:
            BadSetting: there are none.
        """
        return self._classification().classes

    def retrieved(self, who: str) -> Retrieval:
        """Return the retrieval task.

        Args:
            who: name of whatever needs it, for the message.

        Raises:
            BadSetting: there is none.
        """
        if self.retrieval is None:
            raise BadSetting(
                f"{who} needs test captions, and the evaluation set {self.name} has none; add one"
                " that does with --eval, e.g. --eval coco_retrieval:root=FOLDER."
            )
        return self.retrieval

    @property
    def test(self) -> LabelledImages:
        """The labelled test images.

        Raises:
            BadSetting: there are none.
        """
        return self._classification().test

    def _classification(self) -> Classification:
        if self.classification is None:
            raise BadSetting(
                f"The evaluation set {self.name} has no classes, which attack success needs;"
                " add one that does with --eval, e.g. --eval imagenet:root=FOLDER."
            )
        return self.classification


@dataclass(frozen=True)
class Recipe:
    """How a data set is attacked and trained on; nothing of a defense depends on the attack.

    Args:
        train: training settings by field name of `clipbench.configuration.settings.TrainSettings`.
        defenses: for each defense, its parameters and, under ``"train"``, its training settings.
        attacks: for each attack, its parameters, e.g. the size of a patch on small images.
    """

    train: Mapping[str, object] = field(default_factory=dict)
    defenses: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    attacks: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


class TrainingSource(Protocol):
    """A source of training pairs; a frozen dataclass of its parameters.

    A source whose captions are in a field of the pairs' JSON names the field in an attribute
    `caption_field`. For pairs in single files, see `clipbench.importing.loose.LooseSource`.
    """

    def with_pairs(self, minimum: int) -> TrainingSource:
        """Return this source with at least `minimum` pairs, if its size can be chosen.

        A source of fixed size returns itself, however small.
        """

    def num_pairs(self) -> int:
        """Return how many training pairs there are, quickly.

        Some of them may turn out to be unusable; runs count only usable pairs. 0: not known before
        `prepare`.
        """

    def prepare(self, cache: Path, progress: Progress = no_progress) -> str | Path:
        """Return the clean training shards, made under `cache` if necessary.

        A folder, or anything else that `clipbench.shards.reader.ShardSet.open` takes.
        """

    def synonyms(self) -> Mapping[str, Sequence[str]]:
        """Return synonyms of single lowercase words, for text augmentation; may be empty."""

    def recipe(self) -> Recipe:
        """Return how this source is trained on."""


@runtime_checkable
class HasPrepared(Protocol):
    """A training source that knows whether its shards exist already."""

    def prepared(self, cache: Path) -> str | Path | None:
        """Return what `prepare` would, if nothing has to be made; otherwise None."""


def is_prepared(source: object, cache: Path) -> str | Path | None:
    """Return the existing shards of a training source; None: unknown."""
    return source.prepared(cache) if isinstance(source, HasPrepared) else None


@runtime_checkable
class HasFiles(Protocol):
    """A source of held-out data that knows which files it reads.

    Their content identifies the data, wherever they are. For other sources, it is that of all files
    at the places that its parameters name.
    """

    def files(self) -> Iterable[tuple[str, Path]]:
        """Yield each file, with a name for its purpose that does not depend on its place."""


@runtime_checkable
class HasTrusted(Protocol):
    """A training source that has trusted pairs, none of which is in the set."""

    def trusted(self, size: int) -> TrainingSource:
        """Return a source of `size` pairs of the same kind, held out and never poisoned.

        Its `num_pairs` is asked before any work, and may refuse more than there are.
        """


class EvaluationSource(Protocol):
    """A source of held-out data; a frozen dataclass of its parameters."""

    def evaluation(self) -> EvaluationSet:
        """Return the held-out test set; disjoint from training pairs and attack targets."""

    def targets(self) -> LabelledImages:
        """Return held-out images an attacker may target; disjoint from all other splits.

        Raises:
            BadSetting: this source has no such images.
        """
