"""Which held-out images are decoded before a run begins, so that none ends it after the training.

A damaged one would be found when the model is measured. Without it the set is another one, and so
is the run: its training would be done again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from clipbench.configuration.config import RunConfig
from clipbench.configuration.heldout import HeldOut
from clipbench.configuration.places import Slot, places_of
from clipbench.contracts import EvaluationSet, Image, IntArray, LearnsFromTraining
from clipbench.images.lazy import LazyImages
from clipbench.plugins.faults import is_ours
from clipbench.plugins.part import Part

MOST_THREADS = 16  # that look at once


class Look(NamedTuple):
    """Images of one set that are decoded before a run begins.

    Args:
        number: of the evaluation source that has them; None: the training source holds them out.
        what: what they are, for people.
        images: sequences of them, each once.
        choice: which they are where they are not all, as a hash.
    """

    number: int | None
    what: str
    images: Sequence[Sequence[Image]]
    choice: str = ""

    def __len__(self) -> int:
        return sum(map(len, self.images))


def looks(config: RunConfig, held_out: HeldOut) -> Iterator[Look]:
    """Yield what a run looks at before it begins: test images, and those that a metric learns from.

    Only files can be damaged: nothing is yielded of sets that are drawn. What clipbench's own
    training sources hold out was decoded when it was imported.

    Args:
        config: the run.
        held_out: its evaluation sources.
    """
    sources: dict[int | None, Part[Any]] = dict(enumerate(config.evals)) or {None: config.data}
    if None in sources and is_ours(config.data.cls):
        return
    files = {number for number, part in sources.items() if places_of(Slot("", part))}
    if not files:
        return
    for number, item in zip(sources, held_out.sets, strict=True):
        if number in files:
            yield Look(number, "test images", _tests(item))
            yield from _learned_from(config, number, item)


def _tests(item: EvaluationSet) -> list[Sequence[Image]]:
    """Return the test images of a set: a sequence that both of its tasks have, once."""
    classified = [] if item.classification is None else [item.classification.test.images]
    retrieved = [] if item.retrieval is None else [item.retrieval.images]
    return [*{id(images): images for images in classified + retrieved}.values()]


def learned_from(config: RunConfig, item: EvaluationSet) -> IntArray:
    """Return the numbers of the training images of a set that metrics of a run learn from."""
    if item.classification is None or item.classification.train is None:
        return np.zeros(0, dtype=np.int64)
    plugins = [part.plugin for part in config.metrics]
    chosen = [
        plugin.training_numbers(item, config.seed)
        for plugin in plugins
        if isinstance(plugin, LearnsFromTraining)
    ]
    return np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *chosen]))


def _learned_from(config: RunConfig, number: int | None, item: EvaluationSet) -> Iterator[Look]:
    numbers = learned_from(config, item)
    if item.classification is None or item.classification.train is None or not len(numbers):
        return
    images = item.classification.train.images
    choice = hashlib.sha256(numbers.astype("<i8").tobytes()).hexdigest()
    some = LazyImages(numbers.tolist(), images.__getitem__)
    yield Look(number, "images that metrics learn from", [some], choice)
