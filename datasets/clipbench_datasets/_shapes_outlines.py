"""Outlines of the shapes, each as the signed distance of points from it.

A distance is above 0 outside and below 0 inside. Coordinates are the shape's own: (0, 0) is its
center, `u` grows to the right, `v` downwards, and all of it lies within `EXTENT` of the center.
Around corners values fall short of the true distance, so that corners stay sharp.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]  # (n, H, W)
Distance = Callable[[Field, Field], Field]

EXTENT = 1.1


def _disc(u: Field, v: Field, radius: float) -> Field:
    distance: Field = np.sqrt(u * u + v * v) - np.float32(radius)
    return distance


def _circle(u: Field, v: Field) -> Field:
    return _disc(u, v, 0.94)


def _rectangle(u: Field, v: Field) -> Field:
    """A bar that lies on its long side."""
    return np.maximum(np.abs(u) - np.float32(0.98), np.abs(v) - np.float32(0.42))


def _triangle(u: Field, v: Field) -> Field:
    """Equilateral, point up; `v` grows downwards."""
    v = v - np.float32(0.1)
    sides = np.abs(u) * np.float32(3**0.5 / 2) - v * np.float32(0.5)
    return np.maximum(v, sides) - np.float32(0.52)


def _star(u: Field, v: Field) -> Field:
    """Five points; the plane is folded into a tenth of itself, in which the outline is one line."""
    x, y = np.abs(u), np.float32(0.04) - v
    cosine, sine = np.float32(np.cos(np.pi / 5)), np.float32(np.sin(np.pi / 5))
    for _ in range(2):
        beyond = np.maximum(x * cosine - y * sine, 0) * np.float32(2)
        x -= beyond * cosine
        y = y + beyond * sine
        x = np.abs(x)
    return _outside_line(x, y, (0.0, 1.05), (float(sine) * 0.42, float(cosine) * 0.42))


def _outside_line(
    x: Field, y: Field, start: tuple[float, float], end: tuple[float, float]
) -> Field:
    """Return the distance from the line start-end, positive beyond it."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = (dx * dx + dy * dy) ** 0.5
    normal = (-dy / length, dx / length)
    shift = normal[0] * start[0] + normal[1] * start[1]
    along = x * np.float32(normal[0]) + y * np.float32(normal[1])
    distance: Field = along - np.float32(shift)
    return distance


def _cross(u: Field, v: Field) -> Field:
    u, v = np.abs(u), np.abs(v)
    ends, arms = np.maximum(u, v) - np.float32(0.96), np.minimum(u, v) - np.float32(0.36)
    return np.maximum(ends, arms)


def _ring(u: Field, v: Field) -> Field:
    distance: Field = np.abs(_disc(u, v, 0.73)) - np.float32(0.22)
    return distance


def _heart(u: Field, v: Field) -> Field:
    """A square on its corner with a half disc on each upper side."""
    side = 1.12
    u, v = np.abs(u), np.subtract(v, np.float32(0.09))
    corner: Field = (u + np.abs(v)) * np.float32(0.5**0.5) - np.float32(side / 2)
    middle = np.float32(side / 2 * 0.5**0.5)
    return np.minimum(corner, _disc(u - middle, v + middle, side / 2))


def _diamond(u: Field, v: Field) -> Field:
    """A rhombus, 0.62 times as wide as high."""
    wide, high = 0.64, 1.04
    length = (wide**2 + high**2) ** 0.5
    u, v = np.abs(u), np.abs(v)
    sides = u * np.float32(high / length) + v * np.float32(wide / length)
    distance: Field = sides - np.float32(wide * high / length)
    return distance


def _crescent(u: Field, v: Field) -> Field:
    u = u - np.float32(0.12)
    return np.maximum(_disc(u, v, 0.98), -_disc(u - np.float32(0.5), v, 0.8))


def _arrow(u: Field, v: Field) -> Field:
    """A block arrow that points up."""
    u = np.abs(u)
    edge = _outside_line(u, v, (0.9, 0.0), (0.0, -1.0))
    head: Field = np.maximum(edge, v)
    shaft: Field = np.maximum(u - np.float32(0.32), np.abs(v - np.float32(0.4)) - np.float32(0.58))
    return np.minimum(head, shaft)


DISTANCES: dict[str, Distance] = {
    "circle": _circle,
    "rectangle": _rectangle,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "ring": _ring,
    "heart": _heart,
    "diamond": _diamond,
    "crescent": _crescent,
    "arrow": _arrow,
}
