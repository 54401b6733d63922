"""What every registered data set owes the bench, on a small one of each."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipbench import registry
from clipbench.settings import TrainSettings
from clipbench.shards.reader import ShardSet
from clipbench.shards.verify import verify

SMALL = {"shapes": "shapes:size=60,test_size=100,targets_size=100"}
NAMES = registry.names("dataset")


def data_of(name: str) -> Any:
    return registry.build("dataset", SMALL[name])


def test_every_data_set_has_a_small_form_here() -> None:
    """A data set that is added must be tested."""
    assert set(NAMES) == set(SMALL)


@pytest.mark.parametrize("name", NAMES)
def test_prepare_writes_a_sound_set_once(name: str, tmp_path: Path) -> None:
    """The shards hold the pairs promised and verify; a second call writes nothing."""
    folder = data_of(name).prepare(tmp_path)
    assert len(ShardSet.open(folder)) == data_of(name).num_pairs()
    assert verify(folder).passed
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.tar")}
    assert data_of(name).prepare(tmp_path) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*.tar")} == before


@pytest.mark.parametrize("name", NAMES)
def test_held_out_sets_are_consistent(name: str) -> None:
    """Labels are classes, every image of the retrieval task has captions, names are unique."""
    evaluation, targets = data_of(name).evaluation(), data_of(name).targets()
    classes = len(evaluation.classes)
    assert len(set(evaluation.classes.names)) == classes == len(evaluation.classes.aliases)
    for labelled in (evaluation.test, targets):
        assert len(labelled.images) == len(labelled.labels)
        assert labelled.labels.min() >= 0
        assert labelled.labels.max() < classes
    retrieval = evaluation.retrieval
    if retrieval is not None:
        assert len(retrieval.captions) == len(retrieval.images)
        assert all(retrieval.captions)
    for name_of, aliases in zip(evaluation.classes.names, evaluation.classes.aliases, strict=True):
        assert name_of in aliases


@pytest.mark.parametrize("name", NAMES)
def test_test_images_and_targets_are_apart(name: str) -> None:
    """No image is both a test image and a target."""
    evaluation, targets = data_of(name).evaluation(), data_of(name).targets()
    seen = {np.asarray(image).tobytes() for image in evaluation.test.images}
    assert not [image for image in targets.images if np.asarray(image).tobytes() in seen]


@pytest.mark.parametrize("name", NAMES)
def test_the_recipe_is_made_of_real_settings(name: str) -> None:
    """Training settings exist, and so do the defences and their parameters."""
    recipe = data_of(name).recipe()
    TrainSettings.from_mapping(recipe.train)
    for defense, special in recipe.defenses.items():
        TrainSettings.from_mapping({**recipe.train, **special.get("train", {})})
        parameters = {key: value for key, value in special.items() if key != "train"}
        registry.build("defense", {"name": defense, **parameters})
