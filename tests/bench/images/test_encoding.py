"""Image files: decoding safely, encoding like a neighbor."""

import io
import random
import struct
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin
from shard_pairs import picture

from clipbench.errors import CorruptData
from clipbench.images import encoding, png, webp
from clipbench.images.encoding import (
    decode,
    encode_jpeg,
    encode_like,
    encode_png,
    image_size,
    is_gray,
)

OTHER = picture(5, 21, 30)


def saved(form: str, mode: str = "RGB", **options: Any) -> bytes:
    """Return one picture as a file of some format."""
    buffer = io.BytesIO()
    Image.fromarray(picture(1, 24, 40)).convert(mode).save(buffer, form, **options)
    return buffer.getvalue()


FILES = {
    "jpeg": saved("JPEG"),
    "progressive": saved("JPEG", progressive=True, optimize=True, quality=60),
    "half color": saved("JPEG", subsampling=1, quality=90),
    "quarter color": saved("JPEG", subsampling=2, quality=95),
    "full color": saved("JPEG", subsampling=0, quality=95),
    "rgb jpeg": saved("JPEG", keep_rgb=True),
    "gray jpeg": saved("JPEG", "L"),
    "cmyk": saved("JPEG", "CMYK"),
    "png": saved("PNG"),
    "palette": saved("PNG", "P"),
    "alpha": saved("PNG", "RGBA"),
    "transparent": saved("PNG", "P", transparency=b"\x00\x80\xff"),
    "bits": saved("PNG", "1"),
    "webp": saved("WEBP"),
    "lossless": saved("WEBP", lossless=True),
}


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_any_image_decodes_as_pillow_does(data: bytes) -> None:
    """Pixels and size are Pillow's, whatever the color mode, and without a warning."""
    found = decode(data)
    with Image.open(io.BytesIO(data)) as image:
        wanted = image.convert("RGBA" if "transparency" in image.info else "RGB").convert("RGB")
    np.testing.assert_array_equal(found, np.asarray(wanted))
    assert found.shape == (24, 40, 3)
    assert found.dtype == np.uint8
    assert image_size(data) == (40, 24)


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_cut_off_image_is_corrupt(data: bytes) -> None:
    """Half a file, a header alone and nothing at all are corrupt, not half an image."""
    for part in (data[: len(data) // 2], data[:30], data[:2], b""):
        with pytest.raises(CorruptData):
            decode(part)


def _damaged(data: bytes, rng: random.Random) -> bytes:
    """Return a file with bytes put in, changed or taken out near its start."""
    changed = bytearray(data)
    at = rng.randrange(2, min(len(data), 700))
    kind = rng.randrange(3)
    if kind == 0:
        changed[at:at] = bytes(rng.choice((0, 0xFF, rng.randrange(256))) for _ in range(3))
    elif kind == 1:
        changed[at] = rng.randrange(256)
    else:
        del changed[at : at + rng.randint(1, 3)]
    return bytes(changed)


@pytest.mark.filterwarnings("ignore")  # Pillow's, of odd files
@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_of_damaged_files_those_are_read_that_pillow_reads(data: bytes) -> None:
    """Two judges of one file would let an import keep what a training then refuses."""
    rng = random.Random(0)
    for _ in range(60):
        odd = _damaged(data, rng)
        try:
            with Image.open(io.BytesIO(odd), formats=("JPEG", "PNG", "WEBP")) as image:
                image.load()
                wanted = image.size
        except encoding.FAILURES:
            with pytest.raises(CorruptData):
                decode(odd)
            continue
        assert decode(odd).shape[1::-1] == image_size(odd) == wanted


@pytest.mark.parametrize("name", ["jpeg", "progressive", "gray jpeg"])
@pytest.mark.parametrize("stray", [b"\0\0", b"\x12\x34\x56", b"\xff\0\xff\xff", b"\xff\xd0"])
def test_bytes_between_the_segments_of_a_jpeg_are_skipped(name: str, stray: bytes) -> None:
    """As libjpeg and every viewer do ("extraneous bytes before marker"); its form is kept, too."""
    data = FILES[name]
    table = data.index(b"\xff\xdb")
    odd = data[:table] + stray + data[table:]
    np.testing.assert_array_equal(decode(odd), decode(data))
    assert image_size(odd) == (40, 24)
    assert encode_like(OTHER, odd) == encode_like(OTHER, data)


def test_image_bomb_is_refused_by_its_header() -> None:
    """An image that would fill the memory is refused before it is decoded."""
    side = int(encoding.MAX_PIXELS**0.5) + 1
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")]
    bomb = png.SIGNATURE + b"".join(
        struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in parts
    )
    with pytest.raises(CorruptData, match="pixels are more than"):
        decode(bomb)


def test_exif_orientation_is_not_applied() -> None:
    """Pixels stay as stored, as open_clip's loader reads them; broken EXIF does no harm."""
    exif = Image.Exif()
    exif[0x0112] = 6
    np.testing.assert_array_equal(decode(saved("JPEG", exif=exif)), decode(FILES["jpeg"]))
    broken = saved("JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")
    np.testing.assert_array_equal(decode(broken), decode(FILES["jpeg"]))


def test_other_formats_are_not_decoded() -> None:
    """Only the formats of shards are decoded; a GIF under another name is corrupt."""
    with pytest.raises(CorruptData):
        decode(saved("GIF", "P"))


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [30, 75, 95])
def test_jpeg_keeps_tables_and_subsampling(quality: int, subsampling: int) -> None:
    """A JPEG made like another has its quantization tables and its chroma subsampling."""
    model = encode_jpeg(picture(1, 24, 40), quality, subsampling)
    made, extension = encode_like(OTHER, model)
    assert extension == "jpg"
    with Image.open(io.BytesIO(model)) as one, Image.open(io.BytesIO(made)) as two:
        assert two.quantization == one.quantization
        assert JpegImagePlugin.get_sampling(two) == subsampling
    assert made == encode_jpeg(OTHER, quality, subsampling), "as if written by the same encoder"


@pytest.mark.parametrize(
    "options",
    [
        {"progressive": True},
        {"optimize": True},
        {"dpi": (72, 72)},
        {"comment": b"made by a camera"},
        {"icc_profile": b"some profile"},
        {"exif": b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x00"},
    ],
    ids=str,
)
def test_jpeg_keeps_every_other_setting(options: dict[str, Any]) -> None:
    """Progressive scans, Huffman tables and side information are those of the model."""
    buffer = io.BytesIO()
    Image.fromarray(OTHER).save(buffer, "JPEG", **options)
    assert encode_like(OTHER, saved("JPEG", **options))[0] == buffer.getvalue()


def test_gray_stays_gray_where_it_can() -> None:
    """A gray image among gray JPEGs has one channel; a colored one keeps its colors."""
    gray = np.repeat(OTHER[..., :1], 3, axis=2)
    assert is_gray(gray)
    assert not is_gray(OTHER)
    with Image.open(io.BytesIO(encode_like(gray, FILES["gray jpeg"])[0])) as image:
        assert image.mode == "L"
    with Image.open(io.BytesIO(encode_like(OTHER, FILES["gray jpeg"])[0])) as image:
        assert image.mode == "RGB"


@pytest.mark.parametrize("name", ["png", "palette", "alpha", "transparent", "bits", "lossless"])
def test_lossless_formats_keep_every_pixel(name: str) -> None:
    """Made like a PNG or a lossless WebP, the image comes back to the pixel."""
    np.testing.assert_array_equal(decode(encode_like(OTHER, FILES[name])[0]), OTHER)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "RGB"])
def test_png_keeps_its_color_type_where_it_can(mode: str) -> None:
    """An image that the model's color type can hold is stored in it."""
    gray = np.repeat(OTHER[..., :1] // 2, 3, axis=2)
    made = encode_like(gray, saved("PNG", mode))[0]
    with Image.open(io.BytesIO(made)) as image:
        assert image.mode == mode
    np.testing.assert_array_equal(decode(made), gray)


@pytest.mark.parametrize("level", [1, 6, 9])
def test_png_is_as_if_written_by_the_same_encoder(level: int) -> None:
    """Made like Pillow's PNG of some level, the file is the one Pillow would have written."""
    model = encode_png(picture(1, 24, 40), level)
    assert encode_like(OTHER, model) == (encode_png(OTHER, level), "png")


@pytest.mark.parametrize("kind", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_png_keeps_the_one_filter_of_its_model(kind: int, mode: str) -> None:
    """A model whose rows all use one filter gives a file whose rows do."""
    image = Image.fromarray(picture(1, 24, 40)).convert(mode)
    rows = png._filtered(np.asarray(image), kind)
    header = struct.pack(">IIBBBBB", 40, 24, 8, {"RGB": 2, "L": 0}[mode], 0, 0, 0)
    model = png._join([(b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b"")])
    np.testing.assert_array_equal(decode(model), np.asarray(image.convert("RGB")))
    gray = np.repeat(OTHER[..., :1], 3, axis=2)
    made = encode_like(gray if mode == "L" else OTHER, model)[0]
    assert png.fingerprint(made) == png.fingerprint(model)
    np.testing.assert_array_equal(decode(made), gray if mode == "L" else OTHER)


def test_png_keeps_its_side_information() -> None:
    """Text and density chunks of the model come along."""
    model = saved("PNG", dpi=(100, 100))
    kinds = [kind for kind, _ in png.chunks(encode_like(OTHER, model)[0])]
    assert kinds == [kind for kind, _ in png.chunks(model)]
    assert b"pHYs" in kinds


@pytest.mark.parametrize("quality", [10, 40, 80, 95])
def test_webp_keeps_its_quantizer(quality: int) -> None:
    """A lossy model gives a file that was quantized as strongly."""
    model = saved("WEBP", quality=quality)
    assert webp.quantizer(encode_like(decode(model), model)[0]) == webp.quantizer(model)


def test_webp_stays_lossless() -> None:
    """A lossless model gives a lossless file."""
    made, extension = encode_like(OTHER, FILES["lossless"])
    assert (webp.quantizer(made), extension) == (None, "webp")


def jpeg(image: np.ndarray, **options: Any) -> bytes:
    """Return a JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def luma_and_chroma(data: bytes) -> list[list[int]]:
    """Return the quantization table of each component, as the frame names them."""
    frame = next(start for marker, start, _ in encoding._segments(data) if marker in {0xC0, 0xC2})
    with Image.open(io.BytesIO(data)) as image:
        assert isinstance(image, JpegImagePlugin.JpegImageFile)
        return [image.quantization[number] for number in data[frame + 12 : frame + 19 : 3]]


def test_jpeg_tables_are_those_of_their_components() -> None:
    """Tables may come in any order and under any numbers; each component keeps its own."""
    model = FILES["jpeg"]
    tables = [model[start:end] for marker, start, end in encoding._segments(model) if marker == 219]
    assert len(tables) == 2
    turned = model.replace(tables[0] + tables[1], tables[1] + tables[0])
    assert turned != model
    assert luma_and_chroma(encode_like(OTHER, turned)[0]) == luma_and_chroma(model)
    gray = bytearray(FILES["gray jpeg"])
    gray[gray.index(b"\xff\xdb") + 4] = gray[gray.index(b"\xff\xc0") + 12] = 1
    image = np.repeat(OTHER[..., :1], 3, axis=2)
    made = encode_like(image, bytes(gray))[0]
    assert luma_and_chroma(made) == luma_and_chroma(FILES["gray jpeg"])


@pytest.mark.parametrize("mode", ["L", "CMYK"])
@pytest.mark.parametrize("quality", [40, 75, 92])
def test_a_color_image_in_the_place_of_a_gray_one_or_of_inks_is_as_others(
    mode: str, quality: int
) -> None:
    """Such a model says nothing of colors: its quality decides, as in a file of the web."""
    profile = b"of grays, or of inks"
    model = saved("JPEG", mode, quality=quality, icc_profile=profile)
    made = encode_like(OTHER, model)[0]
    assert made == encode_jpeg(OTHER, quality=quality, subsampling=2)
    gray = np.repeat(OTHER[..., :1], 3, axis=2)
    assert (profile in encode_like(gray, model)[0]) == (mode == "L")


def test_jpeg_may_be_larger_than_its_writer_guesses() -> None:
    """Noise under the finest tables, progressively, takes more than a byte a pixel."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3)).astype(np.uint8)
    model = jpeg(np.full((40, 40, 3), 90, np.uint8), quality=100, subsampling=0, progressive=True)
    made, _ = encode_like(noise, model)
    assert np.abs(decode(made).astype(int) - noise).mean() < 2
    with Image.open(io.BytesIO(made)) as image:
        assert image.info["progressive"]


def marks(data: bytes) -> list[bytes]:
    """Return what a JPEG calls itself."""
    segments = [(marker, data[start:end]) for marker, start, end in encoding._segments(data)]
    return [content for marker, content in segments if marker in {0xE0, 0xEE}]


@pytest.mark.parametrize("name", ["jpeg", "progressive", "gray jpeg"])
def test_jpeg_has_the_marks_of_its_model(name: str) -> None:
    """Cameras leave the mark JFIF out, Photoshop writes Adobe's; a model's marks are copied."""
    plain = FILES[name]
    (jfif,) = marks(plain)
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x01"
    gray = np.repeat(OTHER[..., :1], 3, axis=2) if name == "gray jpeg" else OTHER
    wanted = decode(encode_like(gray, plain)[0])
    for given in ([], [jfif], [adobe], [jfif, adobe]):
        model = plain.replace(jfif, b"".join(given))
        made, _ = encode_like(gray, model)
        expected = [jfif] if given[:1] == [jfif] else []
        if adobe in given and name != "gray jpeg":
            expected.append(adobe)
        assert marks(made) == expected
        np.testing.assert_array_equal(decode(made), wanted)


def test_png_bomb_stays_packed() -> None:
    """Of what is packed behind the last row nothing is unpacked to see how rows were filtered."""
    packer = zlib.compressobj(9)
    stream = packer.compress((b"\0" + bytes(96)) * 32)
    stream += b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    header = struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0)
    bomb = png._join([(b"IHDR", header), (b"IDAT", stream), (b"IEND", b"")])
    tracemalloc.start()
    made, _ = encode_like(OTHER, bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(decode(made), OTHER)
    assert peak < 16 << 20


def test_png_of_an_animation_is_followed_without_its_frames() -> None:
    """The poison is one picture: frames of the one that was there before would show it."""
    frames = [Image.fromarray(255 - picture(1, 24, 40))]
    model = saved("PNG", save_all=True, append_images=frames)
    assert b"fdAT" in {kind for kind, _ in png.chunks(model)}
    made, _ = encode_like(OTHER, model)
    assert {kind for kind, _ in png.chunks(made)} == {b"IHDR", b"IDAT", b"IEND"}
    np.testing.assert_array_equal(decode(made), OTHER)


def test_model_that_cannot_be_read_is_corrupt() -> None:
    """There is no encoding like that of a broken file."""
    with pytest.raises(CorruptData):
        encode_like(OTHER, FILES["jpeg"][:200])
