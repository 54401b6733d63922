"""Calls into a data set: held-out data is checked, and fixed from then on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from clipbench.boundary import readonly
from clipbench.boundary.attacks import check_image
from clipbench.contracts import (
    EvaluationSet,
    EvaluationSource,
    HasTrusted,
    LabelledImages,
    Progress,
    Recipe,
    TrainingSource,
)
from clipbench.plugins.faults import Call, kind_of


def evaluation(source: EvaluationSource) -> EvaluationSet:
    """Return the held-out test set of a source, of which nothing can be written to.

    Raises:
        BrokenContract: it is none, or labels and images are not one for each.
    """
    call = Call("dataset", source, "evaluation")
    with call:
        found: object = source.evaluation()
    if not isinstance(found, EvaluationSet):
        raise call.broken(f"it must return an EvaluationSet. Got {kind_of(found)}.")
    task, retrieval = found.classification, found.retrieval
    if task is not None:
        for labelled in filter(None, (task.test, task.train)):
            _check_labelled(call, labelled, len(task.classes))
    if retrieval is not None and len(retrieval.images) != len(retrieval.captions):
        raise call.broken(
            f"its {len(retrieval.images):,} images of the retrieval task have captions for"
            f" {len(retrieval.captions):,}."
        )
    return readonly.evaluation_set(found)


def targets(source: EvaluationSource) -> LabelledImages:
    """Return the images of a source that an attacker may target; nothing can be written to.

    Raises:
        BrokenContract: they are none, or labels and images are not one for each.
    """
    call = Call("dataset", source, "targets")
    with call:
        found: object = source.targets()
    return readonly.labelled(_check_labelled(call, found, None))


def _check_labelled(call: Call, found: object, classes: int | None) -> LabelledImages:
    if not isinstance(found, LabelledImages):
        raise call.broken(f"it must return LabelledImages. Got {kind_of(found)}.")
    labels: object = found.labels
    if (
        not isinstance(labels, np.ndarray)
        or not np.issubdtype(labels.dtype, np.integer)
        or labels.shape != (len(found.images),)
    ):
        raise call.broken(
            f"labels must be an integer array of shape ({len(found.images)},), one for each image."
            f" Got {kind_of(labels)}."
        )
    if len(labels) and (labels.min() < 0 or (classes is not None and labels.max() >= classes)):
        raise call.broken(
            f"labels must be classes, 0 to {(classes or 0) - 1}. Got {labels.min()} to"
            f" {labels.max()}."
            if classes is not None
            else f"labels must be at least 0. Got {labels.min()}."
        )
    if len(found.images):
        check_image(call, found.images[0], "the first image")
    return found


def num_pairs(source: TrainingSource) -> int:
    """Return how many training pairs a source has; 0: not known yet.

    Raises:
        BrokenContract: it is no such number.
    """
    call = Call("dataset", source, "num_pairs")
    with call:
        found: object = source.num_pairs()
    if isinstance(found, bool) or not isinstance(found, (int, np.integer)) or found < 0:
        raise call.broken(f"it must return how many pairs there are. Got {found!r}.")
    return int(found)


def with_pairs(source: TrainingSource, minimum: int) -> TrainingSource:
    """Return a source with at least so many pairs, where its size is free to choose."""
    call = Call("dataset", source, "with_pairs")
    with call:
        found: object = source.with_pairs(minimum)
    if type(found) is not type(source):
        name = type(source).__name__
        raise call.broken(f"it must return a {name}: itself, or a larger one. Got {found!r}.")
    sized: TrainingSource = found
    return sized


def prepare(source: TrainingSource, cache: Path, progress: Progress | None = None) -> str | Path:
    """Return where the clean shards of a source are, made if they must be."""
    call = Call("dataset", source, "prepare")
    with call:
        found: object = (
            source.prepare(cache) if progress is None else source.prepare(cache, progress)
        )
    if not isinstance(found, (str, Path)):
        raise call.broken(f"it must return the folder of the shards. Got {kind_of(found)}.")
    return found


def synonyms(source: TrainingSource) -> Mapping[str, Sequence[str]]:
    """Return synonyms of single words, for text augmentation."""
    call = Call("dataset", source, "synonyms")
    with call:
        found: object = source.synonyms()
    if not isinstance(found, Mapping):
        raise call.broken(f"it must return a mapping of words, {{}} of none. Got {found!r}.")
    return found


def recipe(source: TrainingSource) -> Recipe:
    """Return how a source is trained on."""
    call = Call("dataset", source, "recipe")
    with call:
        found: object = source.recipe()
    if not isinstance(found, Recipe):
        raise call.broken(f"it must return a Recipe. Got {kind_of(found)}.")
    return found


def trusted(source: HasTrusted, size: int) -> TrainingSource:
    """Return a source of pairs that are known to be clean."""
    with Call("dataset", source, "trusted"):
        return source.trusted(size)
