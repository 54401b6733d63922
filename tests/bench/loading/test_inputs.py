"""What a training takes in: where the images of its pairs come from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from photographs import write_photographs

from clipbench.configuration.config import RunConfig
from clipbench.configuration.resolution import resolve
from clipbench.configuration.settings import TrainSettings
from clipbench.errors import BadSetting
from clipbench.images.fit import Fitting, fit
from clipbench.loading.decoded import DecodedImages
from clipbench.loading.inputs import image_store
from clipbench.loading.originals import FittedImages, OriginalImages
from clipbench.loading.pairs import ImageStore
from clipbench.parallel.bench import Bench
from clipbench.shards.reader import ShardSet

COUNT = 18


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """Eighteen photographs in four shards."""
    return write_photographs(tmp_path_factory.mktemp("inputs") / "set", COUNT, 72)


def store(shards: ShardSet, cache: Path, size: int, **settings: object) -> ImageStore:
    return image_store(shards, size, TrainSettings(**settings), Bench(cache))  # type: ignore[arg-type]


def test_large_models_crop_originals_and_small_ones_squares(
    shards: ShardSet, tmp_path: Path
) -> None:
    """By default a model of 224 pixels has its crops cut from the pictures as they are."""
    assert isinstance(store(shards, tmp_path, 224), OriginalImages)
    assert isinstance(store(shards, tmp_path, 64), DecodedImages)
    assert isinstance(store(shards, tmp_path, 64, crop_from="original"), OriginalImages)
    assert isinstance(store(shards, tmp_path, 224, crop_from="square"), DecodedImages)


def test_squares_above_the_limit_are_not_kept(shards: ShardSet, tmp_path: Path) -> None:
    """A set whose squares are larger than the limit leaves nothing in the cache."""
    size = COUNT * 64 * 64 * 3 / 1e9
    squares = store(shards, tmp_path / "cache", 64, decode_cache_gb=size * 0.99)
    assert type(squares) is FittedImages
    assert not (tmp_path / "cache").exists()
    assert isinstance(store(shards, tmp_path, 64, decode_cache_gb=size), DecodedImages)


@pytest.mark.parametrize("more", [{}, {"decode_cache_gb": 0.0}, {"crop_from": "original"}])
def test_pictures_become_squares_as_the_model_wants_them(
    shards: ShardSet, tmp_path: Path, more: dict[str, object]
) -> None:
    """Kept or not; and what is kept for one model is not taken for another's."""
    settings, bench = TrainSettings(**more), Bench(tmp_path)  # type: ignore[arg-type]
    numbers = np.arange(COUNT)
    for fitting in (fit, Fitting("squash"), Fitting("longest", "bilinear", 9), Fitting("squash")):
        found = image_store(shards, 40, settings, bench, fitting).gather(numbers)
        for number in numbers.tolist():
            expected = fitting(shards.image(number), 40)
            np.testing.assert_array_equal(found[number], expected)


def configurations() -> Iterator[RunConfig]:
    for train in ({}, {"workers": 3}, {"decode_cache_gb": 0}, {"crop_from": "original"}):
        yield resolve(data="shapes", train=train)


def test_only_what_crops_are_cut_from_decides_the_run() -> None:
    """Neither workers nor the limit of the cache make another run; the place of crops does."""
    base, workers, cached, original = configurations()
    assert base.id == workers.id == cached.id != original.id
    with pytest.raises(BadSetting, match="crop_from"):
        resolve(data="shapes", train={"crop_from": "elsewhere"})
