"""Images from anywhere, made into RGB that every reader reads alike."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pil
from PIL import ImageOps
from shard_pairs import picture

from clipbench.errors import CorruptData
from clipbench.images import png
from clipbench.images.encoding import decode
from clipbench.images.normalize import MAX_ASPECT, UnusableImage, normalized

RGB = Pil.fromarray(picture(5))  # 16 x 12


def saved(image: Pil.Image, form: str, **options: Any) -> bytes:
    """Return an image file."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("form", "options", "extension"),
    [
        ("JPEG", {"quality": 80}, "jpg"),
        ("JPEG", {"progressive": True}, "jpg"),
        ("PNG", {}, "png"),
        ("WEBP", {"quality": 60}, "webp"),
        ("WEBP", {"lossless": True}, "webp"),
    ],
)
def test_plain_files_are_kept_byte_for_byte(
    form: str, options: dict[str, Any], extension: str
) -> None:
    """Three 8-bit channels in a format of shards are not encoded again."""
    data = saved(RGB, form, **options)
    made = normalized(data)
    assert (made.data, made.extension, made.width, made.height) == (data, extension, 16, 12)


def test_a_file_that_the_reader_refuses_is_written_again() -> None:
    """What stays byte for byte was decoded by the decoder that training has, not by another."""
    header = struct.pack(">IIBBBBB", 16, 12, 8, 2, 0, 0, 0)
    data = png.SIGNATURE + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in ((b"teSt", b"first"), *png.chunks(saved(RGB, "PNG")))
    )
    assert header in data
    with pytest.raises(CorruptData):
        decode(data)
    made = normalized(data)
    assert made.data != data
    np.testing.assert_array_equal(decode(made.data), np.asarray(RGB))


def test_a_png_with_a_damaged_middle_is_refused() -> None:
    """Pillow raises once and gives what it has when asked again."""
    data = bytearray(saved(RGB.resize((64, 64)), "PNG"))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(UnusableImage, match="image truncated or damaged"):
        normalized(bytes(data))


def test_a_jpeg_with_stray_bytes_is_kept_and_read() -> None:
    """Viewers show it, and so does a training."""
    data = saved(RGB, "JPEG")
    table = data.index(b"\xff\xdb")
    odd = data[:table] + b"\x12\x34" + data[table:]
    assert normalized(odd).data == odd
    np.testing.assert_array_equal(decode(odd), decode(data))


@pytest.mark.parametrize("orientation", range(2, 9))
def test_exif_rotation_is_applied(orientation: int) -> None:
    """A photograph held sideways is stored upright, and says nothing of a rotation any more."""
    exif = Pil.Exif()
    exif[0x0112] = orientation
    data = saved(RGB, "JPEG", quality=100, subsampling=0, exif=exif.tobytes())
    made = normalized(data)
    upright = np.asarray(ImageOps.exif_transpose(Pil.open(io.BytesIO(data))))
    assert decode(made.data).shape == upright.shape
    assert np.abs(decode(made.data).astype(int) - upright).mean() < 6
    assert normalized(made.data).data == made.data


def test_gray_and_palette_keep_their_pixels() -> None:
    """Gray becomes three equal channels, a palette its colors."""
    gray = decode(normalized(saved(RGB.convert("L"), "PNG")).data)
    assert (gray == np.asarray(RGB.convert("L"))[..., None]).all()
    palette = RGB.quantize(16)
    found = decode(normalized(saved(palette, "GIF")).data)
    assert (found == np.asarray(palette.convert("RGB"))).all()


def test_alpha_lies_over_white() -> None:
    """What is clear becomes white, what is half clear half white; so does a color key."""
    image = RGB.convert("RGBA")
    alpha = np.zeros((12, 16), np.uint8)
    alpha[:, 8:] = 255
    alpha[:, 7] = 128
    image.putalpha(Pil.fromarray(alpha))
    found = decode(normalized(saved(image, "PNG")).data)
    assert (found[:, :7] == 255).all()
    assert (found[:, 8:] == picture(5)[:, 8:]).all()
    mixed = (picture(5)[:, 7].astype(int) + 255) / 2
    assert np.abs(found[:, 7] - mixed).max() <= 2
    keyed = saved(Pil.new("RGB", (4, 4), (9, 9, 9)), "PNG", transparency=(9, 9, 9))
    assert (decode(normalized(keyed).data) == 255).all()


def test_sixteen_bits_are_scaled_not_cut() -> None:
    """A gray value of 16 bits becomes its share of the range in 8 bits."""
    values = np.linspace(0, 65535, 192).astype(np.uint16).reshape(12, 16)
    for form in ("PNG", "TIFF"):
        found = decode(normalized(saved(Pil.fromarray(values), form)).data)
        assert (found[..., 0] == np.rint(values / 257)).all()


def test_cmyk_becomes_rgb() -> None:
    """A file for printing shows the same colors, nearly."""
    found = decode(normalized(saved(RGB.convert("CMYK"), "JPEG", quality=100)).data)
    assert np.abs(found.astype(int) - picture(5)).mean() < 8


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_animations_give_their_first_frame(form: str) -> None:
    """Of several frames the first is the image."""
    frames = [Pil.new("RGB", (8, 8), color) for color in ("red", "green", "blue")]
    options = {"lossless": True} if form == "WEBP" else {}
    data = saved(frames[0], form, save_all=True, append_images=frames[1:], duration=50, **options)
    made = normalized(data)
    assert (decode(made.data) == np.array([255, 0, 0])).all()
    assert getattr(Pil.open(io.BytesIO(made.data)), "n_frames", 1) == 1


def test_images_shrink_to_the_size_asked_for_and_never_grow() -> None:
    """The shorter side is at most the size; smaller images stay the files they are."""
    data = saved(RGB, "PNG")
    made = normalized(data, 6)
    assert (made.width, made.height) == (8, 6)
    assert decode(made.data).shape == (6, 8, 3)
    assert normalized(data, 12).data == data
    assert normalized(data, 500).data == data


def test_a_box_is_cut_out_and_clipped() -> None:
    """Left, top, width, height; what lies outside is cut off."""
    data = saved(RGB, "PNG")
    assert (decode(normalized(data, box=(2, 3, 5, 4)).data) == picture(5)[3:7, 2:7]).all()
    assert (decode(normalized(data, box=(10, 8, 99, 99)).data) == picture(5)[8:, 10:]).all()
    with pytest.raises(UnusableImage, match="region outside the image"):
        normalized(data, box=(16, 0, 4, 4))


def test_a_box_is_of_the_image_as_it_is_stored() -> None:
    """Annotations count pixels of the file; what they name is cut out first and turned then."""
    exif = Pil.Exif()
    exif[0x0112] = 6  # to be shown a quarter turn to the right
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:6, 30:] = picture(5)[:6, :10]
    found = decode(
        normalized(saved(Pil.fromarray(pixels), "PNG", exif=exif), box=(30, 0, 10, 6)).data
    )
    np.testing.assert_array_equal(found, np.rot90(picture(5)[:6, :10], -1))


def test_sides_too_unequal_are_refused() -> None:
    """Resizing the shorter side of such an image would make the longer one fill the memory."""
    assert normalized(saved(Pil.new("RGB", (MAX_ASPECT, 1)), "PNG")).width == MAX_ASPECT
    with pytest.raises(UnusableImage, match="image too narrow"):
        normalized(saved(Pil.new("RGB", (1, MAX_ASPECT + 1)), "PNG"))
