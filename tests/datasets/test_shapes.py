"""The embedded data set as a plugin: settings, splits, held-out sets."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from clipbench.contracts import EvaluationSource, TrainingSource
from clipbench.errors import BadSetting
from clipbench.images.encoding import decode
from clipbench_datasets._shapes_hash import SPLITS, Split
from clipbench_datasets.shapes import DATASET, ENCODERS, Shapes


def test_it_keeps_the_contract() -> None:
    """The plugin is a data set as the contracts define it."""
    data: TrainingSource = DATASET()
    held_out: EvaluationSource = DATASET()
    assert data.num_pairs() == 20_000
    assert len(held_out.evaluation().classes) == 100


@pytest.mark.parametrize(
    "settings",
    [
        {"size": 0},
        {"size": -3},
        {"size": 1.5},
        {"size": True},
        {"image_size": 8},
        {"image_size": 5000},
        {"seed": -1},
        {"test_size": 0},
        {"test_size": 150},
        {"targets_size": 0},
        {"encoding": "gif"},
        {"caption_noise": -0.1},
        {"caption_noise": 0.001},
        {"caption_detail": 1.5},
    ],
)
def test_settings_without_meaning_are_refused(settings: dict[str, Any]) -> None:
    """A setting out of range is an error that names it and the value given."""
    ((name, value),) = settings.items()
    with pytest.raises(BadSetting, match=name) as caught:
        Shapes(**settings)
    assert repr(value) in str(caught.value).replace(",", "")


@pytest.mark.parametrize(("minimum", "pairs"), [(1, 20_000), (20_000, 20_000), (10**6, 10**6)])
def test_an_open_size_grows_to_what_is_asked(minimum: int, pairs: int) -> None:
    """Without a size the set has 20,000 pairs, or more where a poison rate needs more."""
    assert Shapes().with_pairs(minimum).num_pairs() == pairs


def test_a_given_size_stays() -> None:
    """A set of a given size returns itself, however small."""
    data = Shapes(size=10)
    assert data.with_pairs(10**6) is data
    assert data.num_pairs() == 10


@pytest.mark.parametrize("image_size", [32, 64, 100])
@pytest.mark.parametrize("split", SPLITS)
def test_a_sample_does_not_depend_on_the_range_it_is_drawn_in(
    split: Split, image_size: int
) -> None:
    """Any cut of a range gives the same images, classes and captions as the whole."""
    data = Shapes(image_size=image_size)
    images, labels, captions = data.arrays(split, 90, 210)
    parts = [
        data.arrays(split, start, stop)
        for start, stop in [(90, 91), (91, 98), (98, 201), (201, 210)]
    ]
    np.testing.assert_array_equal(images, np.concatenate([part[0] for part in parts]))
    np.testing.assert_array_equal(labels, np.concatenate([part[1] for part in parts]))
    assert captions == [caption for part in parts for caption in part[2]]


def test_a_sample_does_not_depend_on_the_size_of_the_set() -> None:
    """Sample i of a small set is sample i of a large one."""
    small, large = Shapes(size=10).arrays("train", 0, 10), Shapes(size=10**8).arrays("train", 0, 10)
    np.testing.assert_array_equal(small[0], large[0])
    assert small[2] == large[2]


def test_far_samples_cost_no_more_than_near_ones() -> None:
    """Samples of a set of many millions are drawn without those before them."""
    images, labels, captions = Shapes(size=10**9).arrays("train", 10**9 - 3, 10**9)
    assert images.shape == (3, 32, 32, 3)
    assert len(labels) == len(captions) == 3
    assert len({image.tobytes() for image in images}) == 3


def test_an_empty_range_is_empty() -> None:
    """A range without samples gives arrays without rows."""
    images, labels, captions = Shapes().arrays("train", 5, 5)
    assert images.shape == (0, 32, 32, 3)
    assert len(labels) == len(captions) == 0


def test_no_image_is_in_two_splits_or_twice_in_one() -> None:
    """The images of training, test and targets, and of another seed, are all different."""
    hashes = [
        hashlib.sha256(image.tobytes()).digest()
        for seed in (0, 1)
        for split in SPLITS
        for image in Shapes(seed=seed).arrays(split, 0, 1500)[0]
    ]
    assert len(set(hashes)) == len(hashes) == 9000


def test_the_generator_has_not_moved() -> None:
    """Pixels and words are those of this generator version; who changes them raises it."""
    images, labels, captions = Shapes(seed=3).arrays("train", 1000, 1100)
    digest = hashlib.sha256(images.tobytes() + labels.astype("<i8").tobytes())
    digest.update("\n".join(captions).encode())
    assert digest.hexdigest()[:16] == "4642224594e849d6"


def test_every_class_is_as_frequent_in_the_test_set() -> None:
    """Test images have each class equally often, the retrieval images too."""
    evaluation = Shapes(test_size=1_100).evaluation()
    assert np.bincount(evaluation.test.labels, minlength=100).tolist() == [11] * 100
    assert np.bincount(evaluation.test.labels[:1000], minlength=100).tolist() == [10] * 100
    assert len(evaluation.test.images) == 1_100
    assert len(evaluation.retrieval.images) == len(evaluation.retrieval.captions) == 1_000


def test_training_classes_are_drawn_independently() -> None:
    """A class missing from a stretch of training pairs says nothing: classes are not dealt out.

    Were they, a pair replaced by one of another class would stand out by its position.
    """
    labels = Shapes().arrays("train", 0, 20_000)[1]
    counts = np.bincount(labels, minlength=100)
    chi_squared = float(((counts - 200) ** 2 / 200).sum())
    assert 60 < chi_squared < 150  # 99 degrees of freedom
    distinct = [len(set(part.tolist())) for part in labels.reshape(200, 100)]
    assert 60 < np.mean(distinct) < 67  # 63.4 expected


def test_targets_are_balanced_and_stay_when_there_are_more() -> None:
    """Each run of 100 targets has all classes, and more targets leave the first as they are."""
    few, many = Shapes(targets_size=100).targets(), Shapes(targets_size=250).targets()
    assert sorted(few.labels.tolist()) == list(range(100))
    assert len(many) == len(many.images) == 250
    np.testing.assert_array_equal(few.labels, many.labels[:100])
    np.testing.assert_array_equal(np.stack(few.images), np.stack(many.images[:100]))


@pytest.mark.parametrize("encoding", ["jpg", "png"])
def test_held_out_images_went_through_the_encoding_of_the_shards(encoding: Any) -> None:
    """A test image is the drawn image, encoded and decoded."""
    data = Shapes(test_size=100, encoding=encoding)
    drawn, _, _ = data.arrays("test", 0, 100)
    held_out = np.stack(data.evaluation().test.images)
    np.testing.assert_array_equal(held_out[7], decode(ENCODERS[encoding](drawn[7])))
    error = np.abs(held_out.astype(int) - drawn.astype(int)).mean()
    assert error == 0 if encoding == "png" else 0 < error < 4


def test_retrieval_captions_differ_within_an_image() -> None:
    """Each retrieval image has five different captions, and hardly any caption is another's."""
    captions = Shapes().evaluation().retrieval.captions
    assert {len(set(of_one)) for of_one in captions} == {5}
    everything = [caption for of_one in captions for caption in of_one]
    assert len(set(everything)) > 0.98 * len(everything)


@pytest.mark.parametrize(
    ("size", "warmup"), [(100, 1), (2_000, 10), (20_000, 100), (1_000_000, 100)]
)
def test_a_small_set_warms_up_for_as_large_a_part_of_its_training(size: int, warmup: int) -> None:
    """From the size of the published rows on it is theirs; below, a share of the steps."""
    assert Shapes(size).recipe().train["warmup"] == warmup


def test_the_recipe_names_a_model_and_a_length() -> None:
    """The recipe says what is trained, and how long, with and without SafeCLIP."""
    recipe = Shapes().recipe()
    assert recipe.train["model"].startswith("shapes")
    assert recipe.train["epochs"] > 0
    assert "safeclip" in recipe.defenses


def test_a_linear_probe_learns_from_clean_training_images() -> None:
    """Images of the training scenes with their classes; none is a test image."""
    data = Shapes(size=30, test_size=100, targets_size=1, encoding="png")
    task = data.evaluation().classification
    assert task is not None
    assert task.train is not None
    images, labels, _ = data.arrays("train", 0, 30)
    assert task.train.labels.tolist() == labels.tolist()
    assert (np.stack(list(task.train.images)) == images).all()


def test_trusted_pairs_are_other_scenes_of_the_same_kind() -> None:
    """As many as asked for, none of them a training scene, and others for another data seed."""
    data = Shapes(size=300)
    trusted = data.trusted(40)
    images, _, captions = trusted.arrays("train", 0, 40)
    assert trusted.num_pairs() == len(captions) == 40
    own = {image.tobytes() for image in data.arrays("train", 0, 300)[0]}
    assert not own & {image.tobytes() for image in images}
    assert trusted == data.trusted(40)
    assert Shapes(size=300, seed=1).trusted(40).seed != trusted.seed
