"""Data as plugins get it: arrays that refuse to be written, and hashes that tell if they were."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TypeVar, cast, overload

import numpy as np
import numpy.typing as npt

from clipbench.contracts import (
    AnyProbes,
    Classification,
    Corpus,
    EvaluationSet,
    Image,
    IntArray,
    LabelledImages,
    Probes,
    Scene,
    TextProbes,
)
from clipbench.plugins.faults import Call

_HASHED_BYTES = 1 << 28  # of an array; of a larger one, rows all over it
_LOOKED_AT = 64  # images, of a sequence that makes them on access
Array = TypeVar("Array", bound=npt.NDArray[np.generic])


def array(values: Array) -> Array:
    """Return a view of an array that can't be written to."""
    if not values.flags.writeable:
        return values
    view = values.view()
    view.flags.writeable = False
    return view


class ReadOnlyImages(Sequence[Image]):
    """A sequence of images each of which can't be written to.

    Args:
        images: any sequence of them.
    """

    def __init__(self, images: Sequence[Image]) -> None:
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    @property
    def in_memory(self) -> bool:
        """Whether all of them are held; else they are made on access, and cost time."""
        return isinstance(self._images, (list, tuple))

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> ReadOnlyImages: ...
    def __getitem__(self, index: int | slice) -> Image | ReadOnlyImages:
        if isinstance(index, slice):
            return ReadOnlyImages(self._images[index])
        image = self._images[index]
        return array(image) if isinstance(image, np.ndarray) else image


def images(sequence: Sequence[Image]) -> Sequence[Image]:
    """Return images that can't be written to: an array stays one, which is read by slices."""
    whole: object = sequence
    if isinstance(whole, np.ndarray):
        return cast("Sequence[Image]", array(whole))  # an array of images is a sequence of them
    return sequence if isinstance(sequence, ReadOnlyImages) else ReadOnlyImages(sequence)


def labelled(given: LabelledImages) -> LabelledImages:
    """Return labelled images of which neither images nor labels can be written to."""
    return LabelledImages(images(given.images), array(given.labels))


def evaluation_set(given: EvaluationSet) -> EvaluationSet:
    """Return a set that can't be written to; a sequence that two tasks share, they still share."""
    task, retrieval = given.classification, given.retrieval
    if task is not None:
        train = None if task.train is None else labelled(task.train)
        task = Classification(task.classes, labelled(task.test), train)
    if retrieval is not None:
        own = given.classification
        shared = task is not None and own is not None and own.test.images is retrieval.images
        shown = task.test.images if task is not None and shared else images(retrieval.images)
        retrieval = replace(retrieval, images=shown)
    return replace(given, classification=task, retrieval=retrieval)


def scene(given: Scene) -> Scene:
    """Return a scene whose images, labels and targets can't be written to."""
    return replace(
        given,
        evaluation=evaluation_set(given.evaluation),
        held_out=lambda: labelled(given.held_out()),
    )


class ReadOnlyCorpus:
    """The clean pairs as an attack gets them: captions and images, and nothing else.

    Args:
        corpus: the pairs.
    """

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus

    def __len__(self) -> int:
        return len(self._corpus)

    def caption(self, index: int) -> str:
        """Return the caption of pair `index`."""
        return self._corpus.caption(index)

    def image(self, index: int) -> Image:
        """Return the decoded image of pair `index`; it can't be written to."""
        return array(self._corpus.image(index))

    def image_shape(self, index: int) -> tuple[int, int]:
        """Return height and width of the image of pair `index`, undecoded where the corpus can."""
        known = getattr(self._corpus, "image_shape", None)
        height, width = known(index) if known else self._corpus.image(index).shape[:2]
        return height, width

    @cached_property
    def captions(self) -> Callable[[Sequence[int]], list[str]]:
        """Return the captions of many pairs, faster than one by one where the corpus can."""
        many: Callable[[Sequence[int]], list[str]] | None
        many = getattr(self._corpus, "captions", None)
        return many or (lambda indices: [self._corpus.caption(index) for index in indices])


def corpus(given: Corpus) -> ReadOnlyCorpus:
    """Return a corpus whose images can't be written to."""
    return given if isinstance(given, ReadOnlyCorpus) else ReadOnlyCorpus(given)


def probes(given: AnyProbes) -> AnyProbes:
    """Return probes of which nothing can be written to."""
    labels, goals = array(given.labels), array(given.goals)
    if isinstance(given, TextProbes):
        groups = None if given.groups is None else array(given.groups)
        shown = images(given.candidates)
        return replace(given, candidates=shown, groups=groups, labels=labels, goals=goals)
    variants = {}
    for name, variant in given.variants.items():
        found = probes(variant)
        assert isinstance(found, Probes)
        variants[name] = found
    clean = None if given.clean_images is None else images(given.clean_images)
    shown = images(given.images)
    return replace(
        given,
        images=shown,
        clean_images=clean,
        variants=variants,
        labels=labels,
        goals=goals,
    )


class Seal:
    """Hashes of what a plugin is handed; nothing relies on flags alone, which code may lift.

    Args:
        things: arrays, or sequences of images, by what people call them.
    """

    def __init__(self, things: Mapping[str, Sequence[Image] | Image | IntArray]) -> None:
        self._things = things
        self._before = {name: _hash(thing) for name, thing in things.items()}

    @classmethod
    def of(cls, given: Scene) -> Seal:
        """Return the seal of a scene's test images and labels."""
        task = given.evaluation.classification
        retrieval = given.evaluation.retrieval
        things: dict[str, Sequence[Image] | Image | IntArray] = {}
        if task is not None:
            things |= {"test images": task.test.images, "test labels": task.test.labels}
        if retrieval is not None and (task is None or retrieval.images is not task.test.images):
            things["test images of the retrieval task"] = retrieval.images
        return cls(things)

    def check(self, call: Call) -> None:
        """Refuse what a plugin changed.

        Raises:
            BrokenContract: something is not what it was.
        """
        changed = [n for n, thing in self._things.items() if _hash(thing) != self._before[n]]
        if changed:
            raise call.broken(
                f"it changed the {' and the '.join(changed)} it was handed; draw on a copy:"
                " image.copy()."
            )


def _hash(thing: Sequence[Image] | Image | IntArray) -> bytes:
    digest = hashlib.blake2b()
    if isinstance(thing, np.ndarray):
        step = max(1, -(-thing.nbytes // _HASHED_BYTES))
        digest.update(np.ascontiguousarray(thing[::step]).data)
        return digest.digest()
    made = isinstance(thing, ReadOnlyImages) and not thing.in_memory
    step = max(1, -(-len(thing) // _LOOKED_AT)) if made else 1
    for number in range(0, len(thing), step):
        digest.update(np.ascontiguousarray(thing[number]).data)
    return digest.digest()
