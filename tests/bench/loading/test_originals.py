"""Images decoded for each batch: the same pixels, crops from the original, bounded work."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from photographs import photograph, shape_of, write_photographs
from PIL import Image

from clipbench.errors import CorruptData
from clipbench.images.encoding import decode, encode_jpeg, encode_png, jpeg_components
from clipbench.images.memory import Memory
from clipbench.loading.augment import Box
from clipbench.loading.decoded import DecodedImages
from clipbench.loading.originals import (
    FittedImages,
    OriginalImages,
    bounded_size,
    cut_out,
    decode_for,
)
from clipbench.shards.reader import ShardSet
from clipbench.shards.shard_writer import Sample
from clipbench.shards.writer import write_set

SIDE = 48


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """Twelve photographs of several shapes in three shards."""
    return write_photographs(tmp_path_factory.mktemp("set") / "photographs", 12, 64)


def one_image(folder: Path, data: bytes, extension: str = "jpg") -> ShardSet:
    sample = Sample(data, extension, "x", {"width": 1, "height": 1})
    return write_set(folder, 1, lambda *_: [sample], name="x", source={}, workers=0)


def saved(image: Image.Image, form: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def test_squares_are_the_same_kept_or_made_anew(photographs: ShardSet, tmp_path: Path) -> None:
    """Whether squares are decoded once or for every batch changes no bit, nor do plain views."""
    numbers = np.array([3, 0, 11, 3])
    kept = DecodedImages.open(photographs, SIDE, tmp_path, workers=0)
    for store in (FittedImages(photographs, SIDE), OriginalImages(photographs, SIDE)):
        assert len(store) == len(kept) == 12
        np.testing.assert_array_equal(store.gather(numbers), kept.gather(numbers))


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_shrunken_jpeg_has_the_pixels_that_pillow_gives_it(
    mode: str, progressive: bool, factor: int
) -> None:
    """Whichever decoder shrinks it, in color or gray, its sides divisible or not."""
    file = io.BytesIO()
    picture = Image.fromarray(photograph(0, 8 * SIDE + 3, 9 * SIDE + 5)).convert(mode)
    picture.save(file, "JPEG", quality=87, progressive=progressive)
    whole = (0, 0, SIDE * factor, SIDE * factor)
    found, shrunk = decode_for([whole], file.getvalue(), SIDE, Memory())
    with Image.open(io.BytesIO(file.getvalue())) as opened:
        opened.draft("RGB", (opened.width // factor, opened.height // factor))
        expected = np.asarray(opened.convert("RGB"))
    assert shrunk == factor
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("box", "shrunk"),
    [((0, 0, 127, 400), 1), ((8, 0, 128, 128), 2), ((0, 40, 300, 256), 4), ((0, 0, 600, 512), 8)],
)
def test_large_jpegs_are_decoded_at_the_size_that_is_needed(box: Box, shrunk: int) -> None:
    """A crop of 2, 4 or 8 times the wanted size is decoded smaller, and shows the same place."""
    image = photograph(2, 512, 600)
    data = encode_jpeg(image)
    found, factor = decode_for([(0, 0, 600, 512), box], data, 64)
    assert factor == shrunk
    assert found.shape == (512 // factor, 600 // factor, 3)
    small = Image.fromarray(decode(data)).resize(
        (600 // factor, 512 // factor), Image.Resampling.BOX
    )
    difference = found.astype(float) - np.asarray(small)
    assert np.abs(difference).mean() < 2.5


@pytest.mark.parametrize("side", [40, 300])
def test_a_crop_shows_what_its_box_holds(tmp_path: Path, side: int) -> None:
    """Crops are what Pillow cuts out and resizes, but for rounding and scaled decoding."""
    shards = write_photographs(tmp_path / "set", 6, side)
    boxes = [(2, 3, side - 10, side - 14), (0, 9, side - 9, side - 9)]
    crops = OriginalImages(shards, 32).crops(np.arange(6), 2, lambda view, *_: boxes[view])
    assert crops.shape == (2, 6, 3, 32, 32)
    for view, (left, top, width, height) in enumerate(boxes):
        for number in range(6):
            whole = Image.fromarray(shards.image(number))
            piece = whole.crop((left, top, left + width, top + height))
            wanted = np.asarray(piece.resize((32, 32), Image.Resampling.BICUBIC), np.int64)
            found = crops[view, number].permute(1, 2, 0).numpy()
            difference = np.abs(found - wanted)
            assert difference.max() <= 1 if side == 40 else difference.mean() < 6


@pytest.mark.parametrize("shrunk", [1, 2])
def test_a_box_beyond_the_picture_repeats_its_border(shrunk: int) -> None:
    """What a crop sees beyond the picture is the picture's edge, drawn out."""
    picture = photograph(3, 50, 40)
    out = torch.empty((3, 32, 32), dtype=torch.uint8)
    box = (-8 * shrunk, 30 * shrunk, 32 * shrunk, 32 * shrunk)
    cut_out(picture, (box[0], box[1], box[2], box[3]), shrunk, out)
    wide = np.pad(picture, ((0, 12), (8, 0), (0, 0)), mode="edge")
    difference = np.abs(out.permute(1, 2, 0).numpy() - wide[30:62, :32].astype(int))
    assert difference.max() <= 1


def test_images_of_the_right_size_are_left_alone(tmp_path: Path) -> None:
    """A square of the model's size is given as it is stored."""
    shards = write_photographs(tmp_path / "set", 4, SIDE, square=True)
    middle = OriginalImages(shards, SIDE).gather(np.arange(4))
    for number in range(4):
        np.testing.assert_array_equal(middle[number], shards.image(number))


@pytest.mark.parametrize("store", [FittedImages, OriginalImages])
def test_a_cut_off_image_is_named(tmp_path: Path, store: type[OriginalImages]) -> None:
    """An image that ends early stops the training with its shard and key, not with half of it."""
    data = encode_jpeg(photograph(0, 64, 64))
    shards = one_image(tmp_path / "set", data[: len(data) // 2])
    with pytest.raises(CorruptData, match=r"key 0+ in shard .*00000\.tar"):
        store(shards, SIDE).gather(np.array([0]))


@pytest.mark.parametrize("store", [FittedImages, OriginalImages])
def test_giant_images_are_refused_before_they_are_decoded(
    tmp_path: Path, store: type[OriginalImages]
) -> None:
    """A header that promises more pixels than a training picture can have is an error."""
    data = bytearray(encode_jpeg(photograph(0, 64, 64)))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 65_000, 65_000)
    shards = one_image(tmp_path / "set", bytes(data))
    with pytest.raises(CorruptData, match="65000 x 65000 pixels"):
        store(shards, SIDE).gather(np.array([0]))


def test_a_header_that_hides_its_size_goes_to_the_decoder_that_checks_itself() -> None:
    """Bytes between segments could show two decoders two sizes; such files are left to Pillow."""
    data = encode_jpeg(photograph(0, 64, 64))
    assert jpeg_components(data) == 3
    assert jpeg_components(saved(Image.new("L", (8, 8)))) == 1
    assert jpeg_components(encode_png(photograph(0, 8, 8))) == 0
    for hidden in (b"\xc0\x00\x11\x08\x00\x08\x00\x08\x03", b"\xff\xd0\x00\x04\x00\x00"):
        assert jpeg_components(data[:2] + hidden + data[2:]) == 0
    assert jpeg_components(data[:100]) in {0, 3}
    assert bounded_size(data) == (64, 64)


def test_every_view_has_its_own_box_and_every_row_its_own_size(photographs: ShardSet) -> None:
    """The box is asked for with the size that the picture has as it is stored."""
    asked: list[tuple[int, int, int, int]] = []

    def box(view: int, row: int, width: int, height: int) -> Box:
        asked.append((view, row, width, height))
        return view, 0, 50, 50

    numbers = np.array([8, 2])
    crops = OriginalImages(photographs, 50).crops(numbers, 2, box)
    sizes = [shape_of(number, 64)[::-1] for number in numbers]
    assert asked == [(view, row, *sizes[row]) for row in range(2) for view in range(2)]
    assert torch.equal(crops[0][..., 1:], crops[1][..., :-1])  # moved by one pixel
