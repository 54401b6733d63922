"""Drawing of scenes: signed distances, textures, compositing, noise; batched, in float32.

A signed distance says how far a point lies outside (above 0) or inside (below 0) of a shape, so an
edge is smooth at any resolution: a pixel is covered by half a pixel minus the distance in pixels.
Only operations that IEEE 754 defines exactly are used on pixels (no sine, no sums over an axis): an
image does not depend on the batch it was drawn in nor on the machine.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from clipbench.rng import generator

from ._shapes_hash import Split
from ._shapes_outlines import DISTANCES, Field
from ._shapes_scene import SHAPES, TEXTURES, Scenes

CELLS = 12  # patches along an image side
# Standard deviation of the sum of two bytes. Noise is such sums, made of bits alone: these are the
# same in every version of numpy, which normal deviates are not promised to be.
_TWO_BYTES = float(np.sqrt(2 * (256**2 - 1) / 12))


def block_size(image_size: int) -> int:
    """Return how many images to draw at a time: enough to be fast, few enough for the caches."""
    return int(np.clip(2**18 // image_size**2, 4, 256))


def draw(scenes: Scenes, image_size: int, seed: int, split: Split) -> npt.NDArray[np.uint8]:
    """Return ``(n, image_size, image_size, 3)`` images of consecutive scenes of a split."""
    side = image_size
    images = np.empty((len(scenes), side, side, 3), np.uint8)
    if not len(scenes):
        return images
    cells, noise = _noise(scenes, side, seed, split)
    texture = _texture(scenes, side, cells)
    cover = _cover(scenes, side)
    colors = scenes.colors.astype(np.float32)[..., None, None]  # (n, 3, 3, 1, 1)
    base, step, shape = colors[:, 0], colors[:, 1] - colors[:, 0], colors[:, 2]
    amplitude = (scenes.grain / _TWO_BYTES).astype(np.float32)[:, None, None]
    # Rounding to nearest, and the mean of two bytes' sum, in one number.
    offset = np.float32(0.5) - np.float32(255) * amplitude
    for channel in range(3):
        plane = texture * step[:, channel]
        plane += base[:, channel]
        plane += (shape[:, channel] - plane) * cover
        grain = np.add(noise[:, 0, channel], noise[:, 1, channel], dtype=np.float32)
        grain *= amplitude
        plane += grain
        plane += offset
        np.clip(plane, 0, 255, out=plane)
        images[..., channel] = plane.astype(np.uint8)
    return images


def _noise(
    scenes: Scenes, side: int, seed: int, split: Split
) -> tuple[Field, npt.NDArray[np.uint8]]:
    """Return patch levels ``(n, CELLS, CELLS)`` and noise bytes ``(n, 2, 3, side, side)``.

    Scene i owns words i * w to (i + 1) * w of one stream of random bits, w fixed by the image size.
    """
    patch_bytes, noise_bytes = CELLS * CELLS, 6 * side * side
    words = -(-(patch_bytes + noise_bytes) // 8)
    bits = generator(seed, "shapes", split, "noise", side).bit_generator
    assert isinstance(bits, np.random.PCG64)  # can go to any place in its stream at once
    bits.advance(int(scenes.index[0]) * words)
    raw = bits.random_raw(len(scenes) * words).astype("<u8").view(np.uint8)
    raw = raw.reshape(len(scenes), 8 * words)
    cells = raw[:, :patch_bytes].reshape(-1, CELLS, CELLS).astype(np.float32) / np.float32(255)
    noise = raw[:, patch_bytes : patch_bytes + noise_bytes].reshape(-1, 2, 3, side, side)
    return cells, noise


# --------------------------------------------------------------------------- shapes


def _cover(scenes: Scenes, side: int) -> Field:
    """Return how much of each pixel the shape covers, 0 to 1."""
    radius = scenes.size / 2
    cosine, sine = scenes.turn[:, :1], scenes.turn[:, 1:]
    pixels = (np.arange(side) + 0.5) / side
    x = (pixels[None] - scenes.center[:, :1]) / radius[:, None]
    y = (pixels[None] - scenes.center[:, 1:]) / radius[:, None]
    flip = scenes.mirrored[:, None]
    # Local coordinates are a term of the column plus a term of the row.
    u_column, u_row = (flip * cosine * x).astype(np.float32), (flip * sine * y).astype(np.float32)
    v_column, v_row = (-sine * x).astype(np.float32), (cosine * y).astype(np.float32)
    scale = (radius * side).astype(np.float32)[:, None, None]
    cover = np.empty((len(scenes), side, side), np.float32)
    for number, name in enumerate(SHAPES):
        rows = np.flatnonzero(scenes.shape == number)
        if not len(rows):
            continue
        u = u_column[rows, None, :] + u_row[rows, :, None]
        v = v_column[rows, None, :] + v_row[rows, :, None]
        distance = DISTANCES[name](u, v)
        distance *= -scale[rows]
        distance += np.float32(0.5)
        cover[rows] = np.clip(distance, 0, 1, out=distance)
    return cover


# -------------------------------------------------------------------------- textures


def _texture(scenes: Scenes, side: int, cells: Field) -> Field:
    """Return the share of the background's second color in each pixel, 0 to 1."""
    texture = np.zeros((len(scenes), side, side), np.float32)
    pixels = (np.arange(side, dtype=np.float32) + np.float32(0.5)) / np.float32(side)
    cell = np.minimum((pixels * CELLS).astype(np.int64), CELLS - 1)
    for number, name in enumerate(TEXTURES):
        rows = np.flatnonzero(scenes.texture == number)
        if not len(rows) or name == "plain":
            continue
        pattern = scenes.pattern[rows].astype(np.float32)[:, :, None, None]
        across, down = pixels[None, None, :], pixels[None, :, None]
        if name == "patches":
            texture[rows] = cells[rows][:, cell[:, None], cell[None, :]]
        elif name == "gradient":
            # From top to bottom or back, never sideways: training mirrors images.
            texture[rows] = np.where(pattern[:, 0] < 0.5, down, 1 - down) * np.float32(1.6) - 0.3
        else:
            texture[rows] = _lattice(name, across, down, pattern, side)
    np.clip(texture, 0, 1, out=texture)
    return texture


def _lattice(name: str, across: Field, down: Field, pattern: Field, side: int) -> Field:
    """Return stripes, checks or dots; `pattern` holds period, two phases and direction."""
    count = 3 + 2 * pattern[:, 0]  # periods along a side
    x, y = across * count + pattern[:, 1], down * count + pattern[:, 2]
    sharpness = np.float32(side) / count
    if name == "horizontal stripes":
        return _wave(y, sharpness)
    if name == "vertical stripes":
        return _wave(x, sharpness)
    if name == "diagonal stripes":
        slope = np.where(pattern[:, 3] < 0.5, np.float32(0.72), np.float32(-0.72))
        return _wave(x * slope + y * np.float32(0.72), sharpness)
    if name == "checks":
        a, b = _wave(x * np.float32(0.7), sharpness), _wave(y * np.float32(0.7), sharpness)
        either: Field = a + b - 2 * a * b
        return either
    u, v = x - np.floor(x) - np.float32(0.5), y - np.floor(y) - np.float32(0.5)
    dots: Field = (np.float32(0.3) - np.sqrt(u * u + v * v)) * sharpness + np.float32(0.5)
    return dots


def _wave(phase: Field, sharpness: Field) -> Field:
    """Return a square wave of period 1 with edges one pixel wide."""
    triangle = np.abs(phase - np.floor(phase) - np.float32(0.5)) - np.float32(0.25)
    wave: Field = np.clip(triangle * sharpness + np.float32(0.5), 0, 1)
    return wave
