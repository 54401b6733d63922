"""Icons as images: drawn by resvg, in ink on ground; and as what they are compared by.

resvg, https://github.com/linebender/resvg, through resvg-py: it executes nothing and fetches
nothing, and what it is given here refers to nothing (`clipbench_datasets._icons_safe`).
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image as Pil

from clipbench.contracts import Image
from clipbench.errors import BadSetting, CorruptData
from clipbench.rng import generator
from clipbench_datasets._icons_safe import Undrawable, check_body, svg
from clipbench_datasets._icons_sets import Icon

Floats = npt.NDArray[np.float32]

_MARGIN = 1 / 16  # of the drawing, left free on each side
_MEASURED = 48  # pixels of the side of what is compared
_SIDE = 16  # of what it is compared by
_REACH = 1.5  # from the middle of that to its sides, in root mean squared distances of the ink
_LEVELS = 63
_BLANK = 0.004  # share of the area that must be covered
_NEAR = 0.03  # of squared difference to squared size, up to which two drawings are the same
_CONTRAST = 0.35  # of ink and ground, in luminance
_SEEN = 0.18  # of colors of a drawing and its ground, of the covered area
_TRIES = 12
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_THOUSANDTHS = np.array([299, 587, 114], np.int64)  # of the same


def need_resvg() -> None:
    """Refuse to go on without the package that draws.

    Raises:
        BadSetting: it is not installed.
    """
    try:
        import resvg_py  # noqa: F401, PLC0415 - optional
    except ImportError as error:
        raise BadSetting(
            "The data set icons needs resvg-py; install it with `pip install 'clipbench[icons]'`."
        ) from error


def drawn(icon: Icon, side: int, ink: str = "#000000", margin: float = _MARGIN) -> Floats:
    """Return an icon as ``(side, side, 4)``: red, green, blue and opacity, 0 to 1.

    Raises:
        Undrawable: it can't be drawn.
    """
    import resvg_py  # noqa: PLC0415 - optional

    check_body(icon.body)
    try:
        png = resvg_py.svg_to_bytes(svg(icon, side, ink, margin), skip_system_fonts=True)
    except ValueError as error:
        raise Undrawable("no SVG") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # Rust's, which is no `Exception`
            raise
        raise Undrawable("resvg failed") from error
    with Pil.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGBA"), np.float32) / np.float32(255)


def image_of(icon: Icon, side: int, seed: int) -> Image:
    """Return an icon as ``(side, side, 3)`` in an ink and on a ground that the seed decides.

    Each icon has draws of its own, whatever set it is in.

    Raises:
        CorruptData: it can't be drawn in this size, though it can in another.
    """
    rng = generator(seed, "icons", "look", icon.key)
    ink = rng.random(3, np.float32)
    grounds = rng.random((_TRIES, 3), np.float32)
    color = "#" + bytes(np.rint(ink * 255).astype(np.uint8)).hex()
    try:
        pixels = drawn(icon, side, color)
    except Undrawable as error:
        raise CorruptData(
            f"The icon {icon.key} can't be drawn at {side} pixels: {error}; use another size."
        ) from error
    if "currentColor" in icon.body:
        contrast, enough = np.abs(grounds @ _LUMA - ink @ _LUMA), _CONTRAST
    else:
        contrast, enough = _seen(pixels, grounds), _SEEN
    first = int(np.argmax(contrast > enough)) if (contrast > enough).any() else -1
    ground = grounds[first if first >= 0 else int(np.argmax(contrast))]
    cover = pixels[..., 3:]
    image: Image = np.rint((ground + (pixels[..., :3] - ground) * cover) * 255).astype(np.uint8)
    return image


def _seen(pixels: Floats, grounds: Floats) -> Floats:
    """Return how far the colors of a drawing are from each ground, on average of what it covers."""
    cover = pixels[..., 3].reshape(-1)
    color = pixels[..., :3].reshape(-1, 3)
    apart: Floats = np.abs((color[None] - grounds[:, None]) @ _LUMA)
    return apart @ cover / max(float(cover.sum()), 1e-6)


# ------------------------------------------------------------------------------ likeness


def print_of(icon: Icon) -> Floats:
    """Return what a drawing is compared by, ``(256,)``: how dark it is around its center of mass.

    How far that reaches is decided by the spread of the ink, so neither place nor size of the
    drawing counts, and the darkest place is as dark for all, so neither does color. Values are
    whole numbers from 0 to 63, computed from whole numbers, and their products are added up
    exactly: every machine finds the same drawings alike.

    Raises:
        Undrawable: it can't be drawn, or nothing is to be seen.
    """
    pixels = (drawn(icon, _MEASURED, margin=0) * 255).round().astype(np.int64)
    cover = pixels[..., 3]
    if cover.mean() < 255 * _BLANK:
        raise Undrawable("blank")
    dark = cover * (255_000 - pixels[..., :3] @ _THOUSANDTHS)
    if dark.max() < 255 * 25_500:  # white on nothing
        dark = cover
    levels = dark * 255 // dark.max()
    places, total = np.arange(_MEASURED), int(levels.sum())
    across, down = levels.sum(0), levels.sum(1)
    x, y = int(across @ places) / total, int(down @ places) / total
    spread = int(across @ places**2 + down @ places**2) / total - x * x - y * y
    reach = _REACH * math.sqrt(max(spread, 1.0))
    middle = (_MEASURED + x + 0.5, _MEASURED + y + 0.5)
    padded = Pil.fromarray(np.pad(levels.astype(np.uint8), _MEASURED))
    box = (middle[0] - reach, middle[1] - reach, middle[0] + reach, middle[1] + reach)
    small = np.asarray(padded.resize((_SIDE, _SIDE), Pil.Resampling.BILINEAR, box), np.int64)
    return (small * _LEVELS // max(1, int(small.max()))).reshape(-1).astype(np.float32)


def is_near(some: Floats, others: Floats) -> npt.NDArray[np.bool_]:
    """Return which of some drawings, ``(n, 256)``, are the same as one of others: ``(n,)``."""
    found = np.zeros(len(some), np.bool_)
    if not len(others):
        return found
    sizes = np.einsum("ij,ij->i", others, others)
    for first in range(0, len(some), 1024):
        part = some[first : first + 1024]
        own = np.einsum("ij,ij->i", part, part)[:, None]
        apart = own + sizes[None] - 2 * (part @ others.T)
        near = apart <= np.float32(_NEAR) * np.maximum(own, sizes[None])
        found[first : first + 1024] = near.any(1)
    return found


def distinct(prints: Sequence[Floats | None]) -> list[int]:
    """Return the numbers of drawings that are the same as none before them; None is no drawing."""
    kept: list[int] = []
    rows = [number for number, one in enumerate(prints) if one is not None]
    if not rows:
        return kept
    table = np.stack([one for one in prints if one is not None])
    seen = np.empty_like(table)
    for row, number in enumerate(rows):
        if not is_near(table[row : row + 1], seen[: len(kept)])[0]:
            seen[len(kept)] = table[row]
            kept.append(number)
    return kept
