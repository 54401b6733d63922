"""What drawing in batches buys over drawing image by image; and captions beside it."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from clipbench_datasets._shapes_captions import captions
from clipbench_datasets._shapes_draw import draw
from clipbench_datasets._shapes_scene import scenes

IMAGES = 512


@pytest.mark.benchmark(group="512 scenes of 32 pixels")
@pytest.mark.parametrize("batch", [256, 1])
def test_drawing(benchmark: BenchmarkFixture, batch: int) -> None:
    """Batches of 256 and of one scene give the same images; their times stand side by side."""

    def images() -> np.ndarray:
        return np.concatenate(
            [
                draw(scenes(0, "train", start, start + batch), 32, 0, "train")
                for start in range(0, IMAGES, batch)
            ]
        )

    drawn = benchmark(images)
    np.testing.assert_array_equal(drawn, draw(scenes(0, "train", 0, IMAGES), 32, 0, "train"))


@pytest.mark.benchmark(group="10,000 captions")
def test_captioning(benchmark: BenchmarkFixture) -> None:
    """Captions cost little beside the images they go with."""
    drawn = scenes(0, "train", 0, 10_000)
    texts = benchmark(captions, drawn, 0, "train")
    assert len(texts) == 10_000
