"""PNG files down to their filters (W3C Portable Network Graphics, second edition, section 9).

Pillow writes PNG in its own way; other writers choose other filters and compression levels. To
encode an image as some given file was encoded, this module reads what that file did.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image as Pil

from clipbench.contracts import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GRAY, _RGB, _PALETTE, _GRAY_ALPHA, _RGBA = 0, 2, 3, 4, 6
_ABOUT_COLOR = frozenset({b"PLTE", b"tRNS", b"bKGD", b"hIST", b"sBIT"})
_ANIMATION = frozenset({b"acTL", b"fcTL", b"fdAT"})  # further frames of the picture that was there
_NOT_COPIED = _ABOUT_COLOR | _ANIMATION | {b"IEND"}
_LEVELS = (1, 3, 6, 9)  # zlib's header tells these four groups of levels apart
_Bytes = npt.NDArray[np.uint8]
Chunk = tuple[bytes, bytes]


@dataclass(frozen=True)
class _Style:
    """How a PNG was written.

    Args:
        color: color type.
        level: zlib level.
        filters: the filter of every row; None where rows chose for themselves.
        before: side information between header and pixels.
        after: side information behind the pixels.
        split: bytes in an IDAT chunk.
    """

    color: int
    level: int
    filters: int | None
    before: tuple[Chunk, ...]
    after: tuple[Chunk, ...]
    split: int


def chunks(data: bytes) -> list[Chunk]:
    """Return type and content of every chunk."""
    found: list[Chunk] = []
    position = len(SIGNATURE)
    while position + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        kind = data[position + 4 : position + 8]
        found.append((kind, data[position + 8 : position + 8 + length]))
        position += 12 + length
    return found


def _join(parts: list[Chunk]) -> bytes:
    return SIGNATURE + b"".join(
        struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        for body in (kind + content for kind, content in parts)
    )


def _style(data: bytes) -> _Style:
    parts = chunks(data)
    kinds = [kind for kind, _ in parts]
    first, last = kinds.index(b"IDAT"), len(kinds) - 1 - kinds[::-1].index(b"IDAT")
    stream = b"".join(content for kind, content in parts if kind == b"IDAT")
    _, height, depth, color, _, _, interlace = struct.unpack(">IIBBBBB", parts[0][1][:13])
    filters = None
    if depth == 8 and not interlace:
        row = _row_size(parts[0][1])
        pixels = zlib.decompressobj().decompress(stream, row * height)  # no more: it may be a bomb
        used = set(pixels[::row])
        filters = used.pop() if len(used) == 1 else None
    return _Style(
        color,
        _LEVELS[stream[1] >> 6],
        filters,
        tuple(part for part in parts[1:first] if part[0] not in _NOT_COPIED),
        tuple(part for part in parts[last + 1 :] if part[0] not in _NOT_COPIED),
        max(len(content) for kind, content in parts if kind == b"IDAT") if first < last else 0,
    )


def fingerprint(data: bytes) -> tuple[int, int, Hashable, tuple[bytes, ...]]:
    """Return what tells how a PNG was written, whatever it shows.

    Returns:
        Kind of colors, compression level, filters of rows, and kinds of chunks around the pixels.
    """
    style = _style(data)
    kinds = tuple(kind for kind, _ in (*style.before, *style.after))
    return style.color, style.level, style.filters, kinds


def _channels(color: int) -> int:
    return {_GRAY: 1, _RGB: 3, _PALETTE: 1, _GRAY_ALPHA: 2, _RGBA: 4}[color]


def _row_size(header: bytes) -> int:
    width, _, _, color = struct.unpack(">IIBB", header[:10])
    return 1 + int(width) * _channels(color)


def encode_like(image: Image, reference: bytes) -> bytes:
    """Encode `image`, ``(H, W, 3)`` uint8, as the PNG `reference` was encoded.

    The color type stays where it can hold the image without loss; RGB otherwise.
    """
    style = _style(reference)
    picture = _picture(image, style.color)
    header, color_chunks, stream = _pillow(picture, style.level)
    if style.filters is not None and picture.mode != "P":
        stream = zlib.compress(_filtered(np.asarray(picture), style.filters), style.level)
    size = style.split or len(stream)
    pixels = [(b"IDAT", stream[at : at + size]) for at in range(0, len(stream), size)]
    return _join([header, *style.before, *color_chunks, *pixels, *style.after, (b"IEND", b"")])


def _picture(image: Image, color: int) -> Pil.Image:
    picture = Pil.fromarray(image)
    gray = bool((image == image[..., :1]).all())
    if color == _RGBA:
        return picture.convert("RGBA")
    if color == _GRAY_ALPHA and gray:
        return picture.convert("LA")
    if color == _GRAY and gray:
        return picture.convert("L")
    if color == _PALETTE and picture.getcolors(256) is not None:
        return picture.quantize(256)
    return picture


def _pillow(picture: Pil.Image, level: int) -> tuple[Chunk, list[Chunk], bytes]:
    """Return header, color chunks and pixel stream of Pillow's PNG."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=level)
    parts = chunks(buffer.getvalue())
    stream = b"".join(content for kind, content in parts if kind == b"IDAT")
    return parts[0], [part for part in parts if part[0] in _ABOUT_COLOR], stream


def _filtered(pixels: _Bytes, kind: int) -> bytes:
    """Return all rows under one filter, each behind its filter byte.

    Args:
        pixels: ``(H, W)`` or ``(H, W, C)``.
        kind: 0 none, 1 left, 2 up, 3 average, 4 Paeth.
    """
    height, width = pixels.shape[:2]
    now = pixels.reshape(height, width, -1).astype(np.int16)
    left, up, corner = np.zeros_like(now), np.zeros_like(now), np.zeros_like(now)
    left[:, 1:], up[1:], corner[1:, 1:] = now[:, :-1], now[:-1], now[:-1, :-1]
    guesses = (np.zeros_like(now), left, up, (left + up) // 2)
    guess = guesses[kind] if kind < 4 else _paeth(left, up, corner)
    rows = np.empty((height, 1 + now[0].size), np.uint8)
    rows[:, 0] = kind
    rows[:, 1:] = ((now - guess) & 0xFF).astype(np.uint8).reshape(height, -1)
    return rows.tobytes()


def _paeth(
    left: npt.NDArray[np.int16], up: npt.NDArray[np.int16], corner: npt.NDArray[np.int16]
) -> npt.NDArray[np.int16]:
    """Return whichever neighbor lies nearest to ``left + up - corner``."""
    middle = left + up - corner
    away = [abs(middle - neighbor) for neighbor in (left, up, corner)]
    take_left = (away[0] <= away[1]) & (away[0] <= away[2])
    return np.where(take_left, left, np.where(away[1] <= away[2], up, corner))


def is_deep_gray(data: bytes) -> bool:
    """Return whether an encoded image is a PNG of 16-bit gray values.

    Pillow clips these to 255 where it gives RGB, as for open_clip: the image is white but for its
    darkest spots.
    """
    return data[:8] == SIGNATURE and data[12:16] == b"IHDR" and data[24:26] == b"\x10\x00"
