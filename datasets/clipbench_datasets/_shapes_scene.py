"""What stands in scene number i: class, size, place, tilt, background, light.

Scene i is the same whatever the size of the set and whoever drew it, and any range of scenes costs
only that range (see `_shapes_hash`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from clipbench.contracts import IntArray

from ._shapes_hash import Draws, Floats, Split
from ._shapes_outlines import EXTENT

SHAPES = (
    "circle", "rectangle", "triangle", "star", "cross",
    "ring", "heart", "diamond", "crescent", "arrow",
)  # fmt: skip
# No color begins with a vowel, so that prompt templates may say "a {}".
COLORS = {
    "red": (220, 25, 30),
    "green": (20, 150, 45),
    "blue": (35, 70, 235),
    "yellow": (250, 225, 30),
    "purple": (135, 30, 165),
    "pink": (255, 125, 195),
    "brown": (125, 70, 25),
    "cyan": (35, 220, 235),
    "white": (250, 250, 250),
    "black": (12, 12, 12),
}
GROUNDS = {
    "gray": (135, 135, 140),
    "beige": (222, 200, 155),
    "teal": (0, 105, 105),
    "navy": (25, 35, 95),
    "olive": (120, 120, 30),
    "lavender": (190, 175, 232),
    "mint": (165, 225, 185),
    "maroon": (105, 15, 45),
    "salmon": (240, 150, 125),
    "charcoal": (60, 62, 66),
}
TEXTURES = (
    "plain", "horizontal stripes", "vertical stripes", "diagonal stripes",
    "checks", "dots", "gradient", "patches",
)  # fmt: skip
# Stripes come in three directions and together are drawn twice as often as another texture.
TEXTURE_SHARES = (1.0, 0.6, 0.6, 0.6, 1.0, 1.0, 1.0, 1.0)
SIZE_RANGES = ((0.50, 0.55), (0.62, 0.67), (0.74, 0.79))  # small, medium, large; of the image side
NUM_CLASSES = len(SHAPES) * len(COLORS)
ROUND_SHAPES = (SHAPES.index("circle"), SHAPES.index("ring"))  # these show no tilt
MIN_CONTRAST = 210.0  # between shape and background; same scale as `color_distance`


@dataclass(frozen=True)
class Scenes:
    """Attributes of n scenes, one array each; lengths in units of the image side.

    Args:
        index: ``(n,)`` scene numbers.
        label: ``(n,)`` class, shape * 10 + color.
        size_class: ``(n,)`` 0 small, 1 medium, 2 large.
        size: ``(n,)`` diameter of the shape.
        place: ``(n,)`` 0 top, 1 middle, 2 bottom.
        center: ``(n, 2)`` x and y of the shape's center, y downwards.
        tilt: ``(n,)`` 0 not to be seen, 1 upright, 2 tilted.
        turn: ``(n, 2)`` cosine and sine of the shape's rotation.
        mirrored: ``(n,)`` -1 or 1, factor on the shape's own x axis.
        ground: ``(n,)`` background color, an index into `GROUNDS`.
        texture: ``(n,)`` index into `TEXTURES`.
        pattern: ``(n, 4)`` numbers in [0, 1) that place and scale the texture.
        colors: ``(n, 3, 3)`` RGB, 0..255, of background, its second color, and the shape.
        grain: ``(n,)`` standard deviation of the pixel noise, of 255.
    """

    index: IntArray
    label: IntArray
    size_class: IntArray
    size: Floats
    place: IntArray
    center: Floats
    tilt: IntArray
    turn: Floats
    mirrored: Floats
    ground: IntArray
    texture: IntArray
    pattern: Floats
    colors: Floats
    grain: Floats

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, rows: slice) -> Scenes:
        return Scenes(**{item.name: getattr(self, item.name)[rows] for item in fields(self)})

    @property
    def shape(self) -> IntArray:
        """``(n,)`` index into `SHAPES`."""
        return self.label // len(COLORS)

    @property
    def color(self) -> IntArray:
        """``(n,)`` index into `COLORS`."""
        return self.label % len(COLORS)


def color_distance(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """Return how different RGB colors look, 0 to 765, by the "redmean" weighting of channels."""
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    red, green, blue = np.moveaxis(first - second, -1, 0)
    mean_red = (first[..., 0] + second[..., 0]) / 2 / 256
    squared = (2 + mean_red) * red**2 + 4 * green**2 + (3 - mean_red) * blue**2
    return np.asarray(np.sqrt(squared), np.float64)


@lru_cache(maxsize=1)
def allowed_grounds() -> tuple[tuple[int, ...], ...]:
    """Return for each shape color the backgrounds it stands out from."""
    grounds = np.array(list(GROUNDS.values()))
    return tuple(
        tuple(np.flatnonzero(color_distance(grounds, color) >= MIN_CONTRAST).tolist())
        for color in COLORS.values()
    )


def scenes(seed: int, split: Split, start: int, stop: int) -> Scenes:
    """Return scenes `start` to `stop` of a split."""
    draws = Draws(seed, split, np.arange(start, stop, dtype=np.int64))
    return _scenes(draws, labels(seed, split, start, stop))


def training_scenes(seed: int, index: IntArray) -> Scenes:
    """Return the scenes ``(n,)`` of these numbers, in any order, of the training split."""
    draws = Draws(seed, "train", index)
    return _scenes(draws, draws.choice(NUM_CLASSES, "class"))


def _scenes(draws: Draws, label: IntArray) -> Scenes:
    """Return scenes of these classes ``(n,)``."""
    size_class = draws.choice(3, "size class")
    low, high = np.array(SIZE_RANGES).T
    size = draws.between(low[size_class], high[size_class], "size")
    place, center = _places(draws, size)
    tilt, turn = _turns(draws, label // len(COLORS))
    ground, colors = _colors(draws, label % len(COLORS))
    shares = np.cumsum(TEXTURE_SHARES) / np.sum(TEXTURE_SHARES)
    return Scenes(
        index=draws.index,
        label=label,
        size_class=size_class,
        size=size,
        place=place,
        center=center,
        tilt=tilt,
        turn=turn,
        mirrored=np.where(draws.choice(2, "mirrored"), 1.0, -1.0),
        ground=ground,
        texture=np.searchsorted(shares, draws.uniform("texture"), side="right").astype(np.int64),
        pattern=np.stack([draws.uniform("pattern", part) for part in range(4)], axis=1),
        colors=colors,
        grain=draws.between(2.0, 5.0, "grain"),
    )


def labels(seed: int, split: Split, start: int, stop: int) -> IntArray:
    """Return the classes of scenes `start` to `stop`.

    Training pairs draw their class independently. In held-out splits each run of 100 scenes,
    counted from 0, has every class once, in an order of its own.
    """
    if split == "train":
        index = np.arange(start, stop, dtype=np.int64)
        return Draws(seed, split, index).choice(NUM_CLASSES, "class")
    first, last = start // NUM_CLASSES, -(-stop // NUM_CLASSES)
    index = np.arange(first * NUM_CLASSES, last * NUM_CLASSES, dtype=np.int64)
    ranks = Draws(seed, split, index).bits("class").reshape(-1, NUM_CLASSES)
    order = np.argsort(ranks, axis=1, kind="stable").astype(np.int64).reshape(-1)
    return order[start - first * NUM_CLASSES : stop - first * NUM_CLASSES]


def _places(draws: Draws, size: Floats) -> tuple[IntArray, Floats]:
    """Put shapes at the top, in the middle or at the bottom, anywhere from left to right."""
    room = 0.5 - EXTENT * size / 2
    place = draws.choice(3, "place")
    low, high = np.array([(-1.0, -0.65), (-0.2, 0.2), (0.65, 1.0)]).T
    x = 0.5 + room * draws.between(-1.0, 1.0, "x")
    y = 0.5 + room * draws.between(low[place], high[place], "y")
    return place, np.stack([x, y], axis=1)


def _turns(draws: Draws, shape: IntArray) -> tuple[IntArray, Floats]:
    """Leave shapes upright (up to 6 degrees) or tilt them by 12 to 22 degrees, either way."""
    tilted = draws.choice(2, "tilted")
    degrees = np.where(tilted, draws.between(12, 22, "angle"), draws.between(0, 6, "angle"))
    angle = np.deg2rad(degrees) * (2 * draws.choice(2, "direction") - 1)
    # Sine and cosine may differ in the last bit between machines; the images shall not.
    turn = np.rint(np.stack([np.cos(angle), np.sin(angle)], axis=1) * 2.0**20) * 2.0**-20
    return np.where(np.isin(shape, ROUND_SHAPES), 0, 1 + tilted), turn


def _colors(draws: Draws, color: IntArray) -> tuple[IntArray, Floats]:
    """Choose a background that the shape stands out from, and vary all colors a little."""
    allowed = allowed_grounds()
    counts = np.array([len(grounds) for grounds in allowed])
    table = np.array([grounds + (0,) * (len(GROUNDS) - len(grounds)) for grounds in allowed])
    ground = table[color, draws.choice(counts[color], "ground")]
    base = np.array(list(GROUNDS.values()), np.float64)[ground]
    shape = np.array(list(COLORS.values()), np.float64)[color]
    # The second color of a pattern is a shade of the first: lighter for dark grounds, or darker.
    dark = base.mean(axis=1, keepdims=True) < 110
    strength = draws.between(0.13, 0.20, "strength")[:, None]
    second = base + (np.where(dark, 255.0, 0.0) - base) * strength
    shift = np.stack([draws.between(-10, 10, "shift", part) for part in range(6)], axis=1)
    light = draws.between(0.82, 1.05, "light")[:, None]
    ground_shift, shape_shift = shift[:, :3], shift[:, 3:]
    triple = [(base + ground_shift), (second + ground_shift), (shape + shape_shift)]
    return ground, np.stack([part * light for part in triple], axis=1)
