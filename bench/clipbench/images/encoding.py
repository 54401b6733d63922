"""Image files: decode safely, and encode so that a new image looks like its neighbors' files.

A poisoned image must not be distinguishable by its encoding, so it gets the format, quantization
tables, subsampling, filters, compression level and side information of the file whose place it
takes.
"""

from __future__ import annotations

import functools
import io
import re
import struct
from collections.abc import Iterator, Sequence

import numpy as np
import simplejpeg
from PIL import Image as Pil
from PIL import ImageFile, JpegImagePlugin

from clipbench.contracts import Image
from clipbench.errors import CorruptData
from clipbench.images import png, webp
from clipbench.images.memory import Memory

MAX_PIXELS = 1 << 26  # 67 million, 200 MB decoded; no training picture is larger
_FORMATS = ("JPEG", "PNG", "WEBP")
FAILURES = (  # what Pillow's readers raise when they meet damaged files
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    struct.error,
    Pil.DecompressionBombError,
)
_WEBP_SIDE = 16_383  # the longest of a still WebP; a canvas of moving ones may claim more
_EXIF = b"Exif\0\0"
_APP = frozenset({0xE1, 0xE2})
_START_OF_FRAME = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_MARKER = re.compile(rb"\xff([\x01-\xfe])", re.DOTALL)
_ENDS = frozenset({0xD9, 0xDA})  # of the image, and of what comes before its first scan
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a segment
# Tables, restart interval, application data, comment: what a JPEG has before its frame.
_BEFORE_FRAME = frozenset({0xC4, 0xCC, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE})


def image_size(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels, as the file's header states them.

    Raises:
        CorruptData: it is no JPEG, PNG or WebP.
    """
    try:
        if data[:8] == png.SIGNATURE:
            if data[12:16] != b"IHDR":
                raise ValueError("a PNG starts with its header")
            width, height = struct.unpack_from(">II", data, 16)
            return width, height
        if data[:2] == b"\xff\xd8":
            return _jpeg_size(data)
        with Pil.open(io.BytesIO(data), formats=_FORMATS) as image:
            return image.size
    except FAILURES as error:
        raise CorruptData("it is not a readable JPEG, PNG or WebP image.") from error


def _jpeg_size(data: bytes) -> tuple[int, int]:
    for marker, start, _ in _segments(data):
        if marker in _START_OF_FRAME:
            height, width = struct.unpack_from(">HH", data, start + 5)
            return width, height
    raise ValueError("a JPEG has a frame")


def jpeg_components(data: bytes) -> int:
    """Return how many components a JPEG has: 1 gray, 3 color, 4 ink.

    0 stands for what is no JPEG, and for a JPEG whose header every decoder might read in its own
    way: with bytes between its segments, or with segments that have no place there. Of such a file
    a decoder may see another size than `image_size` does.
    """
    if data[:2] != b"\xff\xd8":
        return 0
    position = 2
    while data[position : position + 1] == b"\xff" and position + 9 < len(data):
        marker = data[position + 1]
        if marker in _START_OF_FRAME:
            return data[position + 9]
        if marker not in _BEFORE_FRAME:
            return 0
        position += 2 + int(struct.unpack_from(">H", data, position + 2)[0])
    return 0


def decode(data: bytes, memory: Memory | None = None) -> Image:
    """Return an image as ``(H, W, 3)`` RGB uint8.

    The pixels are those of ``PIL.Image.open(...).convert("RGB")``, as open_clip reads them: an EXIF
    orientation is not applied, and EXIF data, sound or not, is not looked at. JPEGs in gray or
    color are decoded by simplejpeg, which takes 0.4 to 0.7 of Pillow's time for photographs (see
    docs/performance.md); both use libjpeg-turbo.

    Args:
        data: the encoded image.
        memory: where the image may be put, to be overwritten by the next that is put there; None:
            into memory of its own.

    Raises:
        CorruptData: it can't be decoded, or has more than `MAX_PIXELS` pixels.
    """
    width, height = image_size(data)
    if width * height > MAX_PIXELS:
        raise CorruptData(f"{width} x {height} pixels are more than {MAX_PIXELS} allowed.")
    if data[:4] == b"RIFF" and max(width, height) > _WEBP_SIDE:
        raise CorruptData(f"{width} x {height} pixels are more than a WebP has.")
    if jpeg_components(data) in {1, 3}:
        try:
            buffer = None if memory is None else memory.of_size(width * height * 3)
            pixels: Image = simplejpeg.decode_jpeg(data, "RGB", buffer=buffer)
        except ValueError:
            pass  # Pillow reads some files that it refuses, and says in known words what is wrong
        else:
            return pixels
    try:
        with Pil.open(io.BytesIO(calm(data)), formats=_FORMATS) as image:
            if image.size != (width, height):  # of two frames, say: the limit held for another one
                raise ValueError(f"it has {width} x {height} pixels and {image.size} at once")
            return np.asarray(to_rgb(image))
    except FAILURES as error:
        raise CorruptData(f"it can't be decoded ({error}).") from error


def to_rgb(image: Pil.Image) -> Pil.Image:
    """Return `image` in RGB; a palette's transparency is dropped without a warning."""
    if image.mode == "RGB":
        return image
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def encode_png(image: Image, compress_level: int = 6) -> bytes:
    """Return `image`, ``(H, W, 3)`` uint8, as PNG."""
    return _save(Pil.fromarray(image), "PNG", compress_level=compress_level)


def encode_jpeg(image: Image, quality: int = 95, subsampling: int = 0) -> bytes:
    """Return `image`, ``(H, W, 3)`` uint8, as JPEG; `subsampling` 0 is 4:4:4, 1 4:2:2, 2 4:2:0."""
    return _save(Pil.fromarray(image), "JPEG", quality=quality, subsampling=subsampling)


def encode_like(image: Image, reference: bytes) -> tuple[bytes, str]:
    """Encode `image` as the file `reference` was encoded.

    JPEG: same quantization tables, chroma subsampling, progressive or not, standard or optimized
    Huffman tables, gray if both are gray. PNG: same color type where it can hold the image, row
    filter and compression level. WebP: lossless, or the quality with the same quantizer.
    Side information (EXIF, ICC profile, density, comments, text chunks) is copied.

    Args:
        image: ``(H, W, 3)`` uint8.
        reference: a JPEG, PNG or WebP file.

    Returns:
        The file and its extension: jpg, png or webp.

    Raises:
        CorruptData: `reference` can't be decoded.
    """
    decode(reference)  # a reference that can't be read has no parameters to copy
    with Pil.open(io.BytesIO(calm(reference)), formats=_FORMATS) as model:
        if isinstance(model, JpegImagePlugin.JpegImageFile):
            return _jpeg_like(image, model, reference), "jpg"
        if model.format == "PNG":
            return png.encode_like(image, reference), "png"
        return _webp_like(image, model, reference), "webp"


def _save(image: Pil.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def is_gray(image: Image) -> bool:
    """Return whether red, green and blue are equal everywhere."""
    return bool((image[..., 0] == image[..., 1]).all() and (image[..., 1] == image[..., 2]).all())


def _jpeg_like(image: Image, model: JpegImagePlugin.JpegImageFile, reference: bytes) -> bytes:
    picture = Pil.fromarray(image)
    if model.mode == "L" and is_gray(image):
        picture = picture.convert("L")
    # In order of their numbers, which may have gaps: of a mapping with gaps Pillow loses some.
    tables = [table for _, table in sorted(model.quantization.items())]
    options: dict[str, object] = {
        "progressive": bool(model.info.get("progressive")),
        "optimize": not _huffman(reference) <= _standard_huffman(),
    }
    # A gray model, and one of inks, has no table, sampling or profile of colors; then a color image
    # gets what most files of the web have.
    adds_color = picture.mode == "RGB" and model.mode != "RGB"
    sampling = 2 if adds_color else JpegImagePlugin.get_sampling(model)
    options["qtables"] = [tables[0], _chroma(tables[0])] if adds_color else tables
    if sampling >= 0:
        options["subsampling"] = sampling
    for name in ("comment",) if adds_color else ("icc_profile", "comment"):
        if name in model.info:
            options[name] = model.info[name]
    exif = _exif(reference)
    if exif is not None:
        options["exif"] = exif
    if model.info.get("jfif_unit") == 1:
        options["dpi"] = model.info["jfif_density"]
    made = _save_jpeg(picture, **options)
    return made if model.mode == "CMYK" else _with_marks_of(reference, made)


def _chroma(luma: Sequence[int]) -> Sequence[int]:
    """Return the table of colors that libjpeg writes beside the nearest to one of brightness."""

    def distance(quality: int) -> int:
        return sum(abs(a - b) for a, b in zip(_tables(quality)[0], luma, strict=True))

    return _tables(min(range(1, 101), key=distance))[1]


@functools.lru_cache(maxsize=128)
def _tables(quality: int) -> tuple[Sequence[int], Sequence[int]]:
    with Pil.open(io.BytesIO(_save(Pil.new("RGB", (8, 8)), "JPEG", quality=quality))) as made:
        assert isinstance(made, JpegImagePlugin.JpegImageFile)
        return made.quantization[0], made.quantization[1]


def _save_jpeg(picture: Pil.Image, **options: object) -> bytes:
    """Return a JPEG, also where it is larger than Pillow guesses.

    Pillow gives libjpeg as many bytes as it guesses, at least ``MAXBLOCK``. A progressive or
    optimized file of fine tables, which Pillow can't tell from given ones, may need more.
    """
    try:
        return _save(picture, "JPEG", **options)
    except OSError:
        most = 8 * picture.width * picture.height + (1 << 16)
        # Raised for good: other threads save, too.
        ImageFile.MAXBLOCK = max(ImageFile.MAXBLOCK, most)
        return _save(picture, "JPEG", **options)


def _with_marks_of(reference: bytes, data: bytes) -> bytes:
    """Return a JPEG with the marks JFIF and Adobe where the reference has them.

    Pillow writes JFIF, never Adobe; cameras and Photoshop do otherwise. An Adobe mark is copied
    only if it says what holds for this file: that its three components are YCbCr.
    """
    marks = {marker: reference[start:end] for marker, start, end in _segments(reference)}
    first, start, end = next(_segments(data))
    if first == 0xE0 and 0xE0 not in marks:
        data = data[:start] + data[end:]
    adobe = marks.get(0xEE, b"")
    if adobe[4:9] == b"Adobe" and adobe[-1:] == b"\1" and jpeg_components(data) == 3:
        at = next((end for marker, _, end in _segments(data) if marker == 0xE0), 2)
        data = data[:at] + adobe + data[at:]
    return data


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of the segments before a JPEG's first scan.

    Bytes between segments, which libjpeg warns of and skips, are skipped here as well.
    """
    position = 2
    while match := _MARKER.search(data, position):
        position, marker = match.start(), match[1][0]
        if marker in _ENDS:
            return
        if marker in _ALONE:
            position += 2
            continue
        if position + 4 > len(data):
            return
        end = position + 2 + int(struct.unpack_from(">H", data, position + 2)[0])
        yield marker, position, end
        position = end


def calm(data: bytes) -> bytes:
    """Return a JPEG without the EXIF and multi-picture data that Pillow reads unasked.

    They decide no pixel, but many pictures of the web have broken ones, which Pillow warns of.
    """
    if data[:2] != b"\xff\xd8":
        return data
    pieces, kept = [], 0
    for marker, start, end in _segments(data):
        if data.startswith(_EXIF if marker == 0xE1 else b"MPF\0", start + 4) and marker in _APP:
            pieces.append(data[kept:start])
            kept = end
    return b"".join([*pieces, data[kept:]]) if pieces else data


def _exif(data: bytes) -> bytes | None:
    """Return the EXIF data of a JPEG."""
    for marker, start, end in _segments(data):
        if marker == 0xE1 and data.startswith(_EXIF, start + 4):
            return data[start + 4 : end]
    return None


def _huffman(data: bytes) -> set[bytes]:
    """Return the Huffman tables of a baseline JPEG that stand before its first scan."""
    tables: set[bytes] = set()
    for marker, start, end in _segments(data):
        at = start + 4
        while marker == 0xC4 and at + 17 <= end:
            size = 17 + sum(data[at + 1 : at + 17])
            tables.add(data[at : at + size])
            at += size
    return tables


def _standard_huffman() -> set[bytes]:
    """Return the tables libjpeg writes unless told to optimize (ITU T.81, annex K.3)."""
    return _huffman(_save(Pil.new("RGB", (8, 8)), "JPEG"))


def _webp_like(image: Image, model: Pil.Image, reference: bytes) -> bytes:
    options = {name: model.info[name] for name in ("exif", "icc_profile") if name in model.info}
    picture, wanted = Pil.fromarray(image), webp.quantizer(reference)
    if wanted is None:
        return _save(picture, "WEBP", lossless=True, **options)
    old, low, high = to_rgb(model), 0, 100
    while low < high:  # the quantizer gets finer, its index smaller, as quality rises
        middle = (low + high) // 2
        index = webp.quantizer(_save(old, "WEBP", quality=middle))
        if index is not None and index > wanted:
            low = middle + 1
        else:
            high = middle
    return _save(picture, "WEBP", quality=low, **options)
