"""Many small photographs out of a few: pieces of the pictures that come with test dependencies."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib import cbook
from PIL import Image
from sklearn.datasets import load_sample_images

from clipbench.images.encoding import encode_jpeg
from clipbench.shards.reader import ShardSet
from clipbench.shards.shard_writer import Sample
from clipbench.shards.writer import write_set

Pixels = npt.NDArray[np.uint8]
SUBJECTS = ("a temple in china", "a flower in the garden", "a portrait of an officer")


@cache
def originals() -> tuple[Pixels, ...]:
    """A temple, a flower and a portrait, each about 600 x 500 pixels."""
    with Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)) as portrait:
        return (*load_sample_images().images, np.asarray(portrait.convert("RGB")))


def photograph(number: int, height: int, width: int) -> Pixels:
    """A piece of one of the pictures, ``(height, width, 3)``."""
    whole = originals()[number % 3]
    rng = np.random.default_rng(number)
    share = rng.uniform(0.6, 1.0) * min(whole.shape[0] / height, whole.shape[1] / width)
    high, wide = int(share * height), int(share * width)
    top, left = (int(rng.integers(whole.shape[axis] - side + 1)) for axis, side in
                 enumerate((high, wide)))  # fmt: skip
    piece = Image.fromarray(whole[top : top + high, left : left + wide])
    return np.asarray(piece.resize((width, height), Image.Resampling.LANCZOS))


def shape_of(number: int, side: int) -> tuple[int, int]:
    """Height and width of a photograph whose shorter side is `side`: upright, square or wide."""
    return ((side, side), (side, side * 3 // 2), (side * 4 // 3, side))[(number // 3) % 3]


def write_photographs(
    folder: Path, count: int, side: int, *, square: bool = False, pairs_per_shard: int = 5
) -> ShardSet:
    """Write JPEG photographs with captions as shards."""

    def make(start: int, stop: int) -> list[Sample]:
        return [
            Sample(
                encode_jpeg(photograph(n, *((side, side) if square else shape_of(n, side)))),
                "jpg",
                f"{SUBJECTS[n % 3]}, view {n}",
                {},
            )
            for n in range(start, stop)
        ]

    source = {"count": count, "side": side, "square": square}
    return write_set(
        folder,
        count,
        make,
        name="photographs",
        source=source,
        pairs_per_shard=pairs_per_shard,
        workers=0,
    )
