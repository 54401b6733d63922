"""Make an image file found anywhere into one that every reader of shards reads alike.

A JPEG, PNG or WebP of three 8-bit channels that is to be shown as it is stored is kept byte for
byte. All else is decoded and written again as plain RGB: a JPEG as JPEG (quality 95, full chroma),
anything else as PNG.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image as Pil
from PIL import ImageOps

from clipbench.contracts import Image
from clipbench.errors import ClipbenchError, CorruptData
from clipbench.images import png
from clipbench.images.encoding import FAILURES, MAX_PIXELS, calm, decode, encode_jpeg, encode_png
from clipbench.images.encoding import image_size as encoded_size

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MAX_ASPECT = 200  # longer side over shorter; resizing the shorter side makes the longer one huge
_KEPT = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
_ORIENTATION = 0x0112
Box = tuple[int, int, int, int]  # left, top, width, height in pixels of the stored image


class UnusableImage(ClipbenchError):
    """An image that can't be used.

    Args:
        reason: why, in a few words that are the same for all images of the kind.
        detail: what exactly was found.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail

    def __reduce__(self) -> tuple[type[UnusableImage], tuple[str, str]]:
        """Travel between processes."""
        return type(self), (self.reason, self.detail)


@dataclass(frozen=True)
class Normal:
    """An image file as it goes into shards.

    Args:
        data: the file.
        extension: jpg, png or webp.
        width: in pixels.
        height: in pixels.
    """

    data: bytes
    extension: str
    width: int
    height: int


def normalized(data: bytes, image_size: int | None = None, box: Box | None = None) -> Normal:
    """Return an image file in the form that goes into shards.

    Args:
        data: a JPEG, PNG, WebP, GIF, BMP or TIFF file.
        image_size: the longest that the shorter side may be, in pixels; longer ones are resized.
        box: part of the image that is wanted; clipped to the image.

    Raises:
        UnusableImage: it can't be decoded, is too large to be decoded safely, or too narrow.
    """
    if not data:
        raise UnusableImage("image empty", "the file has no bytes")
    with _quiet(), _opened(data) as image:
        check_size(*image.size)
        form = str(image.format)
        is_read = _is_read(data, image)
        try:
            if not (is_read and form == "JPEG"):
                image.load()  # once: after an error a second call takes what came before it
        except FAILURES as error:
            raise UnusableImage("image truncated or damaged", _text(error)) from error
        try:
            orientation = image.getexif().get(_ORIENTATION, 1) if _has_exif(image) else 1
        except FAILURES:  # damaged EXIF turns no image
            orientation = 1
        plain = is_read and _is_plain(image, data) and orientation in range(2)
        if plain and box is None and not _is_larger(image.size, image_size):
            return Normal(data, _KEPT[form], *image.size)
        try:
            picture = _rgb(image)
            if box is not None:
                picture = _cropped(picture, box)
            if orientation in range(2, 9):
                picture = _turned(picture, orientation)
            picture = _resized(picture, image_size)
        except FAILURES as error:
            raise UnusableImage("image of an unknown kind", _text(error)) from error
    pixels = np.asarray(picture)
    if form == "JPEG":
        return Normal(encode_jpeg(pixels), "jpg", *picture.size)
    return Normal(encode_png(pixels), "png", *picture.size)


def shrunk(image: Image, image_size: int) -> Image:
    """Return an image as `normalized` resizes it, ``(h, w, 3)`` uint8.

    Args:
        image: ``(H, W, 3)`` uint8.
        image_size: the longest that the shorter side may be, in pixels.
    """
    return np.asarray(_resized(Pil.fromarray(image), image_size))


def check_size(width: int, height: int) -> None:
    """Refuse an image of too many pixels, or of sides too unequal.

    Raises:
        UnusableImage: it is one.
    """
    if width < 1 or height < 1:
        raise UnusableImage("image empty", f"it has {width} x {height} pixels")
    if width * height > MAX_PIXELS:
        raise UnusableImage(
            "image too large", f"{width} x {height} pixels are more than the {MAX_PIXELS} allowed"
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise UnusableImage(
            "image too narrow",
            f"of {width} x {height} pixels one side is {MAX_ASPECT} times longer",
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Pillow's warnings about odd files, which decide nothing here, from the reader."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _opened(data: bytes) -> Iterator[Pil.Image]:
    try:
        image = Pil.open(io.BytesIO(data), formats=FORMATS)
        if image.format == "MPO":  # a JPEG with further pictures behind it
            image = Pil.open(io.BytesIO(calm(data)), formats=FORMATS)
    except Pil.DecompressionBombError as error:
        raise UnusableImage("image too large", _text(error)) from error
    except FAILURES as error:
        raise UnusableImage("not an image", "no JPEG, PNG, WebP, GIF, BMP or TIFF") from error
    with image:
        yield image


def _text(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _has_exif(image: Pil.Image) -> bool:
    return "exif" in image.info or image.format in {"TIFF", "PNG"}


def _is_read(data: bytes, image: Pil.Image) -> bool:
    """Return whether the reader of shards takes the file for an image of the same size.

    It alone judges what may stay as it is, for another decoder may take what it refuses. JPEGs are
    decoded here, by the reader's own decoder; of other formats that is Pillow, as here.
    """
    try:
        if image.format == "JPEG":
            height, width = decode(data).shape[:2]
            return (width, height) == image.size
        return image.format in _KEPT and encoded_size(data) == image.size
    except CorruptData:
        return False


def _is_plain(image: Pil.Image, data: bytes) -> bool:
    """Return whether every reader takes the file for the same RGB image."""
    return (
        image.mode == "RGB"
        and image.format in _KEPT
        and getattr(image, "n_frames", 1) == 1
        and "transparency" not in image.info
        and not (data[:8] == png.SIGNATURE and data[24] != 8)
    )


def _is_larger(size: tuple[int, int], image_size: int | None) -> bool:
    return image_size is not None and min(size) > image_size


def _rgb(image: Pil.Image) -> Pil.Image:
    """Return the first frame in RGB: alpha over white, 16 bits scaled to 8."""
    if image.mode.startswith("I"):
        return _from_integers(np.asarray(image))
    if image.mode == "F":
        raise ValueError("it has floating-point pixels of unknown range")
    if "transparency" in image.info or image.mode in {"RGBA", "LA", "PA", "RGBa", "La"}:
        image = image.convert("RGBA")
        white = Pil.new("RGBA", image.size, (255, 255, 255, 255))
        return Pil.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _from_integers(values: np.ndarray[tuple[int, ...], np.dtype[np.int32]]) -> Pil.Image:
    """Return a gray image of 16-bit values in 8 bits."""
    if values.min() < 0 or values.max() > 0xFFFF:
        raise ValueError("it has integer pixels of more than 16 bits")
    gray = (values.astype(np.uint32) * 255 + 0x7FFF) // 0xFFFF
    return Pil.fromarray(gray.astype(np.uint8)).convert("RGB")


def _turned(image: Pil.Image, orientation: int) -> Pil.Image:
    exif = Pil.Exif()
    exif[_ORIENTATION] = orientation
    image.info["exif"] = exif.tobytes()
    turned = ImageOps.exif_transpose(image)
    turned.info.pop("exif", None)
    return turned


def _cropped(image: Pil.Image, box: Box) -> Pil.Image:
    left, top, width, height = box
    right, bottom = min(left + width, image.width), min(top + height, image.height)
    left, top = max(0, left), max(0, top)
    if right <= left or bottom <= top:
        raise UnusableImage("region outside the image", f"{box} of {image.width} x {image.height}")
    check_size(right - left, bottom - top)
    return image.crop((left, top, right, bottom))


def _resized(image: Pil.Image, image_size: int | None) -> Pil.Image:
    """Return the image with its shorter side at most `image_size`, bicubic and antialiased."""
    if image_size is None or not _is_larger(image.size, image_size):
        return image
    scale = image_size / min(image.size)
    width, height = (max(image_size, round(side * scale)) for side in image.size)
    return image.resize((width, height), Pil.Resampling.BICUBIC)
