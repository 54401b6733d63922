"""Drawing: areas against closed forms, edges against supersampling, colors, textures, noise."""

from __future__ import annotations

from dataclasses import replace
from math import acos, pi, sin, sqrt

import numpy as np
import pytest

from clipbench_datasets._shapes_draw import draw
from clipbench_datasets._shapes_outlines import DISTANCES, EXTENT, Field
from clipbench_datasets._shapes_scene import (
    COLORS,
    GROUNDS,
    MIN_CONTRAST,
    SHAPES,
    TEXTURES,
    Scenes,
    allowed_grounds,
    color_distance,
    scenes,
)


def _plane(points: int, reach: float = 1.5) -> tuple[Field, Field]:
    line = ((np.arange(points) + 0.5) / points * 2 - 1).astype(np.float32) * np.float32(reach)
    return np.broadcast_to(line, (1, points, points)), np.broadcast_to(
        line[:, None], (1, points, points)
    )


def _lens(first: float, second: float, apart: float) -> float:
    """Return the area that two discs share."""
    a = (apart**2 + first**2 - second**2) / (2 * apart * first)
    b = (apart**2 + second**2 - first**2) / (2 * apart * second)
    c = (first + second - apart) * (apart + first - second)
    c *= (apart - first + second) * (apart + first + second)
    return first**2 * acos(a) + second**2 * acos(b) - sqrt(c) / 2


AREAS = {
    "circle": pi * 0.94**2,
    "rectangle": 4 * 0.98 * 0.42,
    "triangle": 3 * sqrt(3) * 0.52**2,
    "star": 10 * 1.05 * 0.42 * sin(pi / 5) / 2,
    "cross": 2 * (2 * 0.96) * 0.72 - 0.72**2,
    "ring": pi * (0.95**2 - 0.51**2),
    "heart": 1.12**2 + pi * (1.12 / 2) ** 2,
    "diamond": 2 * 0.64 * 1.04,
    "crescent": pi * 0.98**2 - _lens(0.98, 0.8, 0.5),
    "arrow": 0.9 + 0.64 * 0.98,
}


@pytest.mark.parametrize("name", SHAPES)
def test_outlines_enclose_the_area_that_geometry_says(name: str) -> None:
    """The inside of each outline has the area of the closed formula of the shape."""
    points, reach = 600, 1.5
    inside = DISTANCES[name](*_plane(points, reach)) < 0
    assert inside.sum() * (2 * reach / points) ** 2 == pytest.approx(AREAS[name], rel=0.005)


@pytest.mark.parametrize("name", SHAPES)
def test_outlines_stay_within_their_extent(name: str) -> None:
    """No shape reaches beyond the circle that placing it in the image counts on."""
    u, v = _plane(300)
    outside = np.sqrt(u * u + v * v) > EXTENT
    assert (DISTANCES[name](u, v)[outside] > 0).all()


@pytest.mark.parametrize("name", SHAPES)
def test_distances_never_change_faster_than_the_point_moves(name: str) -> None:
    """A distance has slope 1 at most, and 1 near the outline: edges are one pixel wide."""
    u, v = _plane(300)
    distance = DISTANCES[name](u, v)[0].astype(np.float64)
    step = 3.0 / 300
    for axes, length in ((0, step), (1, step), ((0, 1), step * sqrt(2))):
        moved = np.abs(np.roll(distance, 1, axes) - distance)[1:, 1:]
        assert moved.max() < length * 1.001
    down, across = np.gradient(distance, step)
    edge = np.abs(distance) < 0.02
    assert np.median(np.hypot(down, across)[edge]) == pytest.approx(1.0, abs=0.01)


def _bare(index: int, side: int) -> tuple[Scenes, np.ndarray]:
    """Return a scene without noise or texture, white on black, and its image."""
    scene = scenes(0, "test", index, index + 1)
    colors = np.zeros((1, 3, 3))
    colors[:, 2] = 255
    scene = replace(scene, colors=colors, grain=np.zeros(1), texture=np.zeros(1, np.int64))
    return scene, draw(scene, side, 0, "test")[0, :, :, 0]


@pytest.mark.parametrize("index", range(0, 100, 7))
def test_low_resolution_is_high_resolution_averaged(index: int) -> None:
    """At 32 pixels a scene looks as the same scene at 256 pixels, each 8 x 8 pixels averaged."""
    _, small = _bare(index, 32)
    _, large = _bare(index, 256)
    averaged = large.reshape(32, 8, 32, 8).mean(axis=(1, 3))
    difference = np.abs(small.astype(float) - averaged)
    assert difference.mean() < 1.0
    assert (difference > 64).sum() <= 4  # sharp points, where the nearest line is not all there is


def test_shapes_lie_where_and_as_large_as_the_scene_says() -> None:
    """The drawn shape's middle, reach and area follow the scene's center and size."""
    for index in range(100):
        scene, image = _bare(index, 64)
        border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
        assert not border.any()
        rows, columns = np.nonzero(image > 127)
        distance = np.hypot(
            (columns + 0.5) / 64 - scene.center[0, 0], (rows + 0.5) / 64 - scene.center[0, 1]
        )
        assert distance.max() < EXTENT * scene.size[0] / 2 + 1 / 64
        area = AREAS[SHAPES[int(scene.shape[0])]] * (scene.size[0] / 2) ** 2
        assert image.sum() / 255 / 64**2 == pytest.approx(area, rel=0.06)


def test_shapes_stand_out_from_their_backgrounds() -> None:
    """Every shape color has five or more backgrounds, all of clear contrast; scenes keep to it."""
    allowed = allowed_grounds()
    names, grounds = list(COLORS.values()), list(GROUNDS.values())
    for color, choices in zip(names, allowed, strict=True):
        assert len(choices) >= 5
        for ground in choices:
            assert color_distance(color, grounds[ground]) >= MIN_CONTRAST
    drawn = scenes(0, "train", 0, 5000)
    pairs = zip(drawn.color.tolist(), drawn.ground.tolist(), strict=True)
    assert all(ground in allowed[color] for color, ground in pairs)


def test_shape_colors_are_told_apart() -> None:
    """Any two shape colors lie farther apart than light and shade move one of them."""
    table = np.array(list(COLORS.values()))
    distance = color_distance(table[:, None], table[None])
    assert distance[~np.eye(len(table), dtype=bool)].min() > 140


def test_every_texture_is_drawn() -> None:
    """A plain background is flat, and each other texture varies between its two colors."""
    drawn = scenes(0, "train", 0, 400)
    quiet = replace(drawn, grain=np.zeros(len(drawn)))
    images = draw(quiet, 64, 0, "train").astype(float)
    for number, name in enumerate(TEXTURES):
        rows = np.flatnonzero(drawn.texture == number)
        assert len(rows) > 10
        border = np.concatenate([images[rows, 0], images[rows, :, 0]], axis=1)  # never the shape
        spread = border.std(axis=1).mean(axis=1)
        assert (spread == 0).all() if name == "plain" else np.median(spread) > 5


def test_noise_has_the_scene_s_strength_and_no_bias() -> None:
    """Pixel noise has mean 0 and the standard deviation the scene says, in every channel."""
    base = scenes(0, "train", 0, 200)
    gray = replace(base, colors=np.full((200, 3, 3), 128.0), grain=np.full(200, 7.0))
    images = draw(gray, 32, 0, "train").astype(float)
    assert images.mean(axis=(0, 1, 2)) == pytest.approx([128.0] * 3, abs=0.1)
    assert images.std(axis=(0, 1, 2)) == pytest.approx([7.0] * 3, abs=0.1)


def test_scene_attributes_are_independent_of_class() -> None:
    """Size, place, tilt and texture are spread evenly and say nothing of the class."""
    drawn = scenes(0, "train", 0, 20_000)
    for values, count in ((drawn.size_class, 3), (drawn.place, 3)):
        table = np.zeros((100, count))
        np.add.at(table, (drawn.label, values), 1)
        expected = table.sum(1, keepdims=True) / count
        chi_squared = float(((table - expected) ** 2 / expected).sum())
        freedom = 100 * (count - 1)
        assert abs(chi_squared - freedom) < 5 * sqrt(2 * freedom)
