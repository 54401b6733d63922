"""Images that look the same: saved again they do, of another color or shape they don't."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import cbook
from PIL import Image as Pil
from PIL import ImageDraw

from clipbench.audit.inventory.near import look_alike, sketch, slopes
from clipbench.audit.inventory.pairs import READ_SIDE
from clipbench.contracts import Image
from clipbench.images.encoding import decode, encode_jpeg, encode_png
from clipbench.images.reduced import decode_reduced
from clipbench.toolkit.lookalikes import phash, phash_of_gray


def photograph() -> Image:
    with Pil.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)) as file:
        return np.asarray(file.convert("RGB").resize((256, 300)))


def groups(*files: bytes) -> list[int]:
    """Return the group of each image, numbered as they come."""
    images = np.array([files.index(file) for file in files])
    gray = [decode_reduced(file, READ_SIDE, "L") for file in files]
    hashes = [
        np.array([kind(image) for image in gray], np.uint64) for kind in (phash_of_gray, slopes)
    ]
    found = look_alike(hashes, images, lambda pair: sketch(files[pair]))
    return [found.tolist().index(group) for group in found]


def drawing(color: str, width: int = 3) -> Image:
    """Return a ring on white, of which half of a perceptual hash is noise."""
    image = Pil.new("RGB", (96, 96), "white")
    ImageDraw.Draw(image).ellipse((20, 20, 76, 76), outline=color, width=width)
    return np.asarray(image)


def test_what_is_saved_again_looks_the_same() -> None:
    """As JPEG of any quality, smaller, or in another format; and the same file of course does."""
    image = photograph()
    smaller = np.asarray(Pil.fromarray(image).resize((128, 150), Pil.Resampling.BICUBIC))
    files = [encode_png(image), *(encode_jpeg(image, q, 2) for q in (20, 75))]
    assert groups(*files, encode_jpeg(smaller, 80, 2), files[1]) == [0] * 5


def test_another_color_is_another_image() -> None:
    """Though the hash, which is gray, is the same."""
    gray = photograph().mean(axis=2, keepdims=True) / 3 + 110
    image = np.repeat(gray, 3, axis=2).astype(np.uint8)
    other = (gray + np.array([40, 0, -105])).astype(
        np.uint8
    )  # red for blue, of the same brightness
    assert (phash(image) ^ phash(other)).bit_count() <= 3
    assert groups(encode_png(image), encode_png(other)) == [0, 1]


@pytest.mark.parametrize("quality", [40, 60])
def test_drawings_that_are_saved_again_look_the_same(quality: int) -> None:
    """Though perceptual hashes of theirs are far apart; another drawing looks different."""
    image, bold = drawing("#555", 5), drawing("#555", 24)
    again = encode_jpeg(image, quality, 2)
    assert (phash(image) ^ phash(decode(again))).bit_count() > 3
    assert groups(encode_png(image), again, encode_png(bold)) == [0, 0, 2]


def test_pale_images_are_told_apart() -> None:
    """What may differ is small where an image has little contrast."""
    ring = drawing("#e8e8e8", 5)
    empty = np.full_like(ring, 255)
    assert groups(encode_png(ring), encode_png(np.roll(ring, 30, 0)), encode_png(empty)) == [
        0,
        1,
        2,
    ]


def test_images_without_structure_are_told_by_their_color() -> None:
    """All have one hash; of hundreds each is compared with the next of near brightness."""
    plain = [np.full((16, 16, 3), level, np.uint8) for level in (0, 3, 6, 100, 103, 250)]
    assert groups(*map(encode_png, plain)) == [0, 0, 0, 3, 3, 5]


def test_copies_are_found_among_drawings_that_share_much_of_their_hashes() -> None:
    """In a crowd of near hashes, with thousands of images of a brightness between the two."""
    rng, count = np.random.default_rng(0), 10_000
    bits = np.uint64(1) << rng.integers(13, 51, (count, 4), dtype=np.uint64)
    hashes = np.bitwise_or.reduce(bits, axis=1)
    colors = rng.integers(0, 250, (count, 192))
    copies = np.arange(0, count, 100)
    flipped = hashes[copies] ^ (np.uint64(1) << rng.integers(13, 51, 100, dtype=np.uint64))
    sketches = np.concatenate([colors, colors[copies] + 5]).astype(np.uint8)
    every = np.concatenate([hashes, flipped])
    found = look_alike([every], np.arange(len(every)), lambda number: sketches[number])
    assert np.mean(found[copies] == found[count:]) > 0.9
    assert len(np.unique(found[:count])) == count


@pytest.mark.parametrize("count", [1, 2])
def test_few_images_are_compared_as_well(count: int) -> None:
    """One has no other."""
    assert groups(*[encode_png(photograph()[:200])] * count) == [0] * count
