"""What every data set owes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from clipbench.boundary import datasets
from clipbench.boundary.battery.checks import (
    PAIRS,
    Check,
    checked,
    is_frozen,
)
from clipbench.errors import BadSetting
from clipbench.plugins.faults import Call


def of_dataset(source: Any) -> Iterator[Check]:
    """Try a data set, as far as that costs seconds: nothing is prepared."""
    yield checked("is a frozen dataclass", lambda: is_frozen("dataset", source))
    if hasattr(source, "prepare"):
        yield checked("tells how many pairs it has", lambda: datasets.num_pairs(source))
        yield checked("can be asked for more pairs", lambda: datasets.with_pairs(source, 1))
        yield checked("has a recipe and synonyms", lambda: _recipe(source))
    if hasattr(source, "evaluation"):
        yield checked("holds out data that is labelled", lambda: datasets.evaluation(source))
        yield checked("holds out targets that are no test images", lambda: _targets(source))


def _recipe(source: Any) -> None:
    datasets.recipe(source)
    wrong = [word for word in datasets.synonyms(source) if word != word.lower()]
    if wrong:
        raise Call("dataset", source, "synonyms").broken(f"{wrong[0]!r} is not in lower case.")


def _targets(source: Any) -> None:
    try:
        targets = datasets.targets(source)
    except BadSetting:
        return  # it holds none out, which is its right
    evaluation = datasets.evaluation(source)
    if evaluation.classification is None:
        return
    seen = {image.tobytes() for image in evaluation.test.images[:PAIRS]}
    if any(image.tobytes() in seen for image in targets.images[:PAIRS]):
        raise Call("dataset", source, "targets").broken("a target is a test image, too.")
