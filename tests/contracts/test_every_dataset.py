"""What every registered data set owes the bench, on a small one of each."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import held_out_layouts
import icon_layouts
import loose_layouts
import numpy as np
import pytest
from as_json import of_json
from own_set import write_crawl

from clipbench.configuration.settings import TrainSettings
from clipbench.plugins import registry
from clipbench.plugins.find import missing_members
from clipbench.results.defaults import defaults_of
from clipbench.shards.reader import ShardSet
from clipbench.verification.verify import verify

defaults_of = of_json(defaults_of)

# Each makes the files that a small form of a data set needs, and returns its spec.
Small = Callable[[Path], str]
SMALL: dict[str, Small] = {
    "shapes": lambda _: "shapes:size=60,test_size=100,targets_size=100",
    **loose_layouts.SMALL,
    **held_out_layouts.SMALL,
    **icon_layouts.SMALL,
    "own": lambda folder: f"own:path={write_crawl(folder / 'crawl', (220,))}",
}
NAMES = registry.names("dataset")
TRAINING = [
    name for name in NAMES if not missing_members(registry.load("dataset", name), "TrainingSource")
]
EVALUATION = [
    name
    for name in NAMES
    if not missing_members(registry.load("dataset", name), "EvaluationSource")
]


def data_of(name: str, folder: Path) -> Any:
    """Return a small form of a data set whose files lie in `folder`."""
    home = folder / "files"
    home.mkdir(exist_ok=True)
    if not (home / "spec.txt").exists():
        (home / "spec.txt").write_text(SMALL[name](home))
    return registry.build("dataset", (home / "spec.txt").read_text())


def test_every_data_set_has_a_small_form_here() -> None:
    """A data set that is added must be tested, as what it is."""
    assert set(NAMES) == set(SMALL)
    assert set(TRAINING) | set(EVALUATION) == set(NAMES)


@pytest.mark.parametrize("name", TRAINING)
def test_prepare_gives_a_sound_set_once(name: str, tmp_path: Path) -> None:
    """The shards hold the pairs promised and are whole; a second call writes nothing."""
    data = data_of(name, tmp_path)
    assert data.with_pairs(1).num_pairs() >= 1
    where = data.prepare(tmp_path / "cache")
    shards = ShardSet.open(where)
    assert len(shards) == data.num_pairs()
    assert all(shards.image(pair).ndim == 3 and shards.caption(pair) for pair in range(3))
    if shards.manifest is not None:
        assert verify(Path(where)).passed
    files = [shard.path for shard in shards.shards]
    before = [path.stat().st_mtime_ns for path in files]
    assert data_of(name, tmp_path).prepare(tmp_path / "cache") == where
    assert [path.stat().st_mtime_ns for path in files] == before


@pytest.mark.parametrize("name", TRAINING)
def test_training_sources_are_values(name: str, tmp_path: Path) -> None:
    """Built again from its parameters a source is equal; synonyms are of lower-case words."""
    data = data_of(name, tmp_path)
    assert registry.build("dataset", {"name": name, **registry.spec_of(data)}) == data
    assert all(word == word.lower() for word in data.synonyms())


@pytest.mark.parametrize("name", EVALUATION)
def test_held_out_sets_are_consistent(name: str, tmp_path: Path) -> None:
    """Labels are classes, every image of the retrieval task has captions, aliases hold names."""
    evaluation = data_of(name, tmp_path).evaluation()
    assert evaluation.classification is not None or evaluation.retrieval is not None
    retrieval = evaluation.retrieval
    if retrieval is not None:
        assert len(retrieval.captions) == len(retrieval.images)
        assert all(retrieval.captions)
    if evaluation.classification is None:
        return
    classes, test = evaluation.classes, evaluation.test
    assert len(classes.names) == len(classes.aliases)
    assert all("{}" in template for template in classes.templates)
    assert len(test.images) == len(test.labels)
    assert 0 <= test.labels.min() <= test.labels.max() < len(classes)
    for name_of, aliases in zip(classes.names, classes.aliases, strict=True):
        assert name_of in aliases


@pytest.mark.parametrize("name", ["shapes", "icons", "imagenet", "clip_benchmark", "torchvision"])
def test_test_images_and_targets_are_apart(name: str, tmp_path: Path) -> None:
    """No image is both a test image and a target, and targets have classes."""
    data = data_of(name, tmp_path)
    evaluation, targets = data.evaluation(), data.targets()
    assert len(targets.images) == len(targets.labels)
    assert 0 <= targets.labels.min() <= targets.labels.max() < len(evaluation.classes)
    seen = {np.asarray(image).tobytes() for image in evaluation.test.images}
    assert not [image for image in targets.images if np.asarray(image).tobytes() in seen]


@pytest.mark.parametrize("name", TRAINING)
def test_labels_of_results_know_the_recipe_without_the_files(name: str, tmp_path: Path) -> None:
    """A table of results leaves out what the recipe set, wherever the data are by then."""
    data = data_of(name, tmp_path)
    parameters = registry.spec_of(data)
    shutil.rmtree(tmp_path)
    defaults = defaults_of([{"data": {"name": name, "parameters": parameters}, "metrics": {}}])
    for defense, special in data.recipe().defenses.items():
        found = defaults("defense", defense)
        assert found is not None
        assert found.items() >= {k: v for k, v in special.items() if k != "train"}.items()


@pytest.mark.parametrize("name", TRAINING)
def test_the_recipe_is_made_of_real_settings(name: str, tmp_path: Path) -> None:
    """Training settings exist, and so do the defenses and their parameters."""
    recipe = data_of(name, tmp_path).recipe()
    TrainSettings.from_mapping(recipe.train)
    for defense, special in recipe.defenses.items():
        TrainSettings.from_mapping({**recipe.train, **special.get("train", {})})
        parameters = {key: value for key, value in special.items() if key != "train"}
        registry.build("defense", {"name": defense, **parameters})
