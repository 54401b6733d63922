"""Images and captions as they are in the wild, and what must become of each.

Crops of a photograph in every form that files of the web take, sound and damaged, and captions that
people and programs write. `WILD` holds them all; `write_loose` lays them out as files with a TSV,
`write_shards` as WebDataset tars.
"""

from __future__ import annotations

import csv
import io
import json
import struct
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pil
from PIL import ImageCms
from sklearn.datasets import load_sample_images

PHOTO = load_sample_images().images[0]
PLAIN = 24  # sound pairs beside the wild ones
HEIGHT, WIDTH = 40, 56


def crop(number: int) -> Pil.Image:
    """Return a crop of the photograph, another for each number."""
    top, left = 37 * number % (PHOTO.shape[0] - HEIGHT), 61 * number % (PHOTO.shape[1] - WIDTH)
    return Pil.fromarray(PHOTO[top : top + HEIGHT, left : left + WIDTH])


def saved(image: Pil.Image, form: str, **options: object) -> bytes:
    """Return an image file."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _jpeg(number: int = 0, **options: object) -> bytes:
    return saved(crop(number), "JPEG", **options)


def _exif(orientation: int) -> bytes:
    exif = Pil.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def _declared(data: bytes, width: int, height: int) -> bytes:
    """Return a PNG whose header declares another size, with a sound checksum."""
    head = struct.pack(">II", width, height) + data[24:29]
    return data[:16] + head + struct.pack(">I", zlib.crc32(b"IHDR" + head)) + data[33:]


def _declared_jpeg(data: bytes, width: int, height: int) -> bytes:
    at = data.index(b"\xff\xc0")
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def _sixteen() -> Pil.Image:
    gray = np.asarray(crop(3).convert("L")).astype(np.uint16) * 257
    return Pil.fromarray(gray)


def _sixteen_rgb() -> bytes:
    """Return a PNG of three 16-bit channels, which Pillow cannot write."""
    pixels = np.asarray(crop(4)).astype(">u2") * 257
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    chunks = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _alpha() -> Pil.Image:
    image = crop(5).convert("RGBA")
    image.putalpha(Pil.fromarray(np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))))
    return image


def _frames(form: str) -> bytes:
    return saved(crop(6), form, save_all=True, append_images=[crop(7), crop(8)], duration=90)


def _truncated(data: bytes, share: float = 0.5) -> bytes:
    return data[: int(len(data) * share)]


def _noisy(data: bytes) -> bytes:
    """Return a file whose middle is garbage."""
    middle, noise = len(data) // 2, np.random.default_rng(0).bytes(200)
    return data[:middle] + noise + data[middle + 200 :]


def _icc() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


_GOOD, _EMPTY, _NONE = "", "image empty", "not an image"
_CUT, _BOMB, _THIN = "image truncated or damaged", "image too large", "image too narrow"

# name: file, what an import makes of it, what a screening of shards makes of it
IMAGES: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "baseline.jpg": (_jpeg, _GOOD, _GOOD),
    "progressive.jpg": (lambda: _jpeg(1, progressive=True), _GOOD, _GOOD),
    "poor.jpg": (lambda: _jpeg(2, quality=5), _GOOD, _GOOD),
    "profile.jpg": (lambda: _jpeg(3, icc_profile=_icc()), _GOOD, _GOOD),
    "comment.jpg": (lambda: _jpeg(4, comment=b"\xff\x00 made by hand"), _GOOD, _GOOD),
    "gray.jpg": (lambda: saved(crop(5).convert("L"), "JPEG"), _GOOD, _GOOD),
    "cmyk.jpg": (lambda: saved(crop(6).convert("CMYK"), "JPEG"), _GOOD, _GOOD),
    "ycck.jpg": (lambda: saved(crop(6).convert("CMYK"), "JPEG", quality=40), _GOOD, _GOOD),
    **{f"turned{n}.jpg": (lambda n=n: _jpeg(n, exif=_exif(n)), _GOOD, _GOOD) for n in range(2, 9)},
    "badexif.jpg": (lambda: _jpeg(9, exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), _GOOD, _GOOD),
    "strange.exif.jpg": (lambda: _jpeg(9, exif=_exif(99)), _GOOD, _GOOD),
    "trailing.jpg": (lambda: _jpeg(10) + b"<html>not found</html>", _GOOD, _GOOD),
    "plain.png": (lambda: saved(crop(11), "PNG"), _GOOD, _GOOD),
    "palette.png": (lambda: saved(crop(12).quantize(64), "PNG"), _GOOD, _GOOD),
    "two.png": (lambda: saved(crop(13).convert("1"), "PNG"), _GOOD, _GOOD),
    "clear.palette.png": (
        lambda: saved(crop(12).quantize(64), "PNG", transparency=bytes(range(64))),
        _GOOD,
        _GOOD,
    ),
    "key.png": (lambda: saved(crop(14), "PNG", transparency=(10, 20, 30)), _GOOD, _GOOD),
    "alpha.png": (lambda: saved(_alpha(), "PNG"), _GOOD, _GOOD),
    "grayalpha.png": (lambda: saved(_alpha().convert("LA"), "PNG"), _GOOD, _GOOD),
    "sixteen.png": (lambda: saved(_sixteen(), "PNG"), _GOOD, "image of 16-bit gray"),
    "sixteen.rgb.png": (_sixteen_rgb, _GOOD, _GOOD),
    "animated.png": (lambda: _frames("PNG"), _GOOD, _GOOD),
    "pixel.png": (lambda: saved(crop(15).resize((1, 1)), "PNG"), _GOOD, _GOOD),
    "lossy.webp": (lambda: saved(crop(16), "WEBP", quality=70), _GOOD, _GOOD),
    "lossless.webp": (lambda: saved(crop(17), "WEBP", lossless=True), _GOOD, _GOOD),
    "alpha.webp": (lambda: saved(_alpha(), "WEBP"), _GOOD, _GOOD),
    "animated.webp": (lambda: _frames("WEBP"), _GOOD, _GOOD),
    "still.gif": (lambda: saved(crop(18), "GIF"), _GOOD, _NONE),
    "animated.gif": (lambda: _frames("GIF"), _GOOD, _NONE),
    "old.bmp": (lambda: saved(crop(19), "BMP"), _GOOD, _NONE),
    "scan.tiff": (lambda: saved(crop(20), "TIFF"), _GOOD, _NONE),
    "deep.tiff": (lambda: saved(_sixteen(), "TIFF"), _GOOD, _NONE),
    "float.tiff": (lambda: saved(crop(0).convert("F"), "TIFF"), "image of an unknown kind", _NONE),
    "png.in.jpg": (lambda: saved(crop(21), "PNG"), _GOOD, _GOOD),
    "jpg.in.png": (lambda: _jpeg(22), _GOOD, _GOOD),
    "empty.jpg": (bytes, _EMPTY, _EMPTY),
    "one.byte.jpg": (lambda: b"\xff", _NONE, _NONE),
    "page.jpg": (lambda: b"<!DOCTYPE html><title>404</title>" * 9, _NONE, _NONE),
    "svg.png": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", _NONE, _NONE),
    "script.jpg": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", _NONE, _NONE),
    "zeros.jpg": (lambda: bytes(4096), _NONE, _NONE),
    "cut.jpg": (lambda: _truncated(_jpeg(23)), _CUT, _CUT),
    "cut.head.jpg": (lambda: _jpeg(23)[:25], _NONE, _NONE),
    "cut.progressive.jpg": (lambda: _truncated(_jpeg(1, progressive=True)), _CUT, _CUT),
    "cut.png": (lambda: _truncated(saved(crop(24), "PNG")), _CUT, _CUT),
    "cut.webp": (lambda: _truncated(saved(crop(25), "WEBP")), _NONE, _NONE),
    "noisy.png": (lambda: _noisy(saved(crop(26), "PNG")), _CUT, _CUT),
    "bomb.png": (lambda: _declared(saved(crop(27), "PNG"), 30_000, 30_000), _BOMB, _BOMB),
    "large.png": (lambda: _declared(saved(crop(27), "PNG"), 9_000, 8_000), _BOMB, _BOMB),
    "bomb.jpg": (lambda: _declared_jpeg(_jpeg(28), 30_000, 30_000), _BOMB, _BOMB),
    "thin.png": (lambda: saved(Pil.new("RGB", (1, 5_000)), "PNG"), _THIN, _THIN),
}

# name: caption, and what becomes of it; None where any bytes or text do
CAPTIONS: dict[str, tuple[str, str]] = {
    "plain": ("a temple by the water", ""),
    "long": ("roof " * 2_000, ""),
    "one word of 10,000": ("x" * 10_000, ""),
    "chinese": ("水边的寺庙", ""),
    "arabic": ("معبد بجانب الماء", ""),
    "hindi": ("पानी के किनारे मंदिर", ""),
    "hebrew with marks": ("מִקְדָּשׁ לְיַד הַמַּיִם", ""),
    "thai": ("วัดริมน้ำ", ""),
    "emoji": ("🏯🌊 👩‍👩‍👧‍👦 family trip", ""),
    "combining": ("te\u0301mple" + "\u0301" * 500, ""),
    "right to left override": ("\u202etemple\u202c", ""),
    "newlines": ("a temple\nby the\r\nwater\n", ""),
    "tabs": ("a\ttemple\t\tby the water", ""),
    "controls": ("a \x01\x02\x1b[31mtemple\x7f\x85", ""),
    "nul": ("a temple\x00by the water", ""),
    "html": ("<b>a temple</b> &amp; water &lt;3 <script>alert(1)</script>", ""),
    "entities twice": ("&amp;amp;amp; &#x1F3EF;", ""),
    "json": ('{"caption": "no"}', ""),
    "quotes": ("\"a\" 'temple' ``by'' «water»", ""),
    "special tokens": ("<start_of_text> temple <end_of_text>", ""),
    "byte order mark": ("\ufefftemple", ""),
    "private use": ("\ue000\uf8ff\U0010fffd temple", ""),
    "commas": ("temple, water, , ,", ""),
    "empty": ("", "caption empty"),
    "blanks": (" \t\n\u3000\u00a0", "caption empty"),
}


@dataclass(frozen=True)
class Wild:
    """A pair, and why it can't be used; empty texts: it can.

    Args:
        name: what it is.
        data: the image file.
        suffix: of the image file.
        caption: the caption.
        imported: the reason an import gives.
        screened: the reason a screening of shards gives.
    """

    name: str
    data: bytes
    suffix: str
    caption: str
    imported: str
    screened: str


def pairs() -> list[Wild]:
    """Return all wild pairs, with sound ones among them."""
    found = [
        Wild(name, make(), name.rpartition(".")[2], f"a photo of a temple, {name}", one, two)
        for name, (make, one, two) in IMAGES.items()
    ]
    found += [
        Wild(name, _jpeg(30 + number), "jpg", caption, reason, reason)
        for number, (name, (caption, reason)) in enumerate(CAPTIONS.items())
    ]
    sound = [
        Wild(f"sound {n}", _jpeg(70 + n), "jpg", f"a photo of a roof, view {n}", "", "")
        for n in range(PLAIN)
    ]
    return [*found, *sound]


WILD = pairs()


def write_loose(folder: Path) -> Path:
    """Write the pairs as files and return the TSV that lists them."""
    (folder / "images").mkdir(parents=True)
    listed = folder / "pairs.tsv"
    with listed.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, delimiter="\t")
        rows.writerow(["filepath", "title"])
        for number, pair in enumerate(WILD):
            path = folder / "images" / f"{number:03d}.{pair.suffix}"
            path.write_bytes(pair.data)
            rows.writerow([f"images/{path.name}", pair.caption])
    return listed


def write_shards(folder: Path, *, in_json: str | None = None, per_shard: int = 30) -> Path:
    """Write the pairs as shards of any program, with keys of nine digits, and return the folder.

    Args:
        folder: is made.
        in_json: field of the JSON that alone has the captions; None: ``KEY.txt`` has them, too.
        per_shard: pairs in a shard.
    """
    folder.mkdir(parents=True)
    for first in range(0, len(WILD), per_shard):
        with tarfile.open(folder / f"{first // per_shard:05d}.tar", "w") as tar:
            for number, pair in enumerate(WILD[first : first + per_shard]):
                key = f"{first // per_shard:05d}{number:04d}"
                fields = {in_json or "caption": pair.caption, "key": key, "url": f"http://x/{key}"}
                suffix = pair.suffix if pair.suffix in {"jpg", "png", "webp"} else "jpg"
                members = {suffix: pair.data, "json": json.dumps(fields).encode()}
                if in_json is None:
                    members["txt"] = pair.caption.encode()
                for extension, data in sorted(members.items()):
                    info = tarfile.TarInfo(f"{key}.{extension}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    return folder


def write_classes(folder: Path) -> int:
    """Write the images that can be used as test images of two classes, and return their number."""
    usable = [
        pair
        for pair in WILD
        if not pair.imported
        and (not pair.screened or pair.suffix == "bmp")
        and pair.suffix in {"jpg", "png", "webp", "bmp"}
    ]
    for number, pair in enumerate(usable):
        path = folder / ("temple", "roof")[number % 2] / f"{number:03d}.{pair.suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pair.data)
    return len(usable)
