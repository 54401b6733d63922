"""Patches: a square pattern that covers part of an image."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from clipbench.contracts import Ge, Gt, Idle, Image, Le
from clipbench.errors import BadSetting
from clipbench.rng import generator
from clipbench_attacks._backdoor import Backdoor

Place = Literal["random", "corner", "random_corner", "center"]
Pattern = Literal["checkerboard", "noise", "stripes", "dots", "par_stripes"]

GRAY = ("checkerboard", "dots")  # patterns of the two grays
CELLS = 4  # of the patterns that are clipbench's own
PUBLISHED_SIZE = 16 / 224  # Bansal et al. 2023 (CleanCLIP), Huang et al. 2025, Singh et al. 2024


@dataclass(frozen=True)
class PatchBackdoor(Backdoor):
    """A backdoor whose trigger is a patch.

    Places are within the central square of the image, which a center crop keeps. A random place
    depends on the pixels of the image: the same image always gets the patch at the same place,
    whatever the seed, the order of work or the number of workers.

    Args:
        size: side of the patch as a share of the image's shorter side; default: 16
            pixels of 224, as in CleanCLIP and others; on small images two pixels per cell, or one
            if there are many cells, but at most a quarter.
        cells: cells along the side of the patch: squares, dots or stripes; default: 4; for dots and
            par_stripes one per pixel, as published.
        pattern: content of the patch: a checkerboard of the two grays; noise, one color per cell;
            stripes, vertical, one color each; dots, light cells in every second row and column of
            dark ones, as in Huang et al.; or par_stripes, vertical stripes of saturated colors that
            differ from image to image, as in Singh et al.
        pattern_seed: seed of the colors of noise and stripes; not the run's seed, so that a trigger
            is the same in every run. The colors of par_stripes also depend on the image's pixels.
        place: place of the patch in training: random, corner (lower right), random_corner (one of
            the four) or center.
        test_place: place of the patch in testing; default: as in training.
        dark: gray value of the dark cells; the upper left cell is dark.
        light: gray value of the light cells.
    """

    idle: ClassVar[tuple[Idle, ...]] = (
        Idle(
            ("pattern_seed",),
            lambda patch: patch.pattern in GRAY,
            "with pattern={pattern}, which has no colors to draw",
        ),
        Idle(
            ("dark", "light"),
            lambda patch: patch.pattern not in GRAY,
            "with pattern={pattern}, whose colors are drawn",
        ),
    )

    size: Annotated[float, Gt(0), Le(1)] | None = None
    cells: Annotated[int, Ge(1)] | None = None
    pattern: Pattern = "checkerboard"
    pattern_seed: int = 0
    place: Place = "random"
    test_place: Place | None = None
    dark: Annotated[int, Ge(0), Le(255)] = 0
    light: Annotated[int, Ge(0), Le(255)] = 255

    def put_on(self, image: Image, *, testing: bool) -> Image:
        """Return a copy of the image with the patch on, where training or testing has it.

        A test image too small for the patch is first magnified by an integer: the attacker chooses
        what the victim is shown.
        """
        if not testing:
            return self.stamp(image, self.place)
        square = min(image.shape[:2])
        if self.at_size is None and self._side(square) < self._least:
            by = next(by for by in count(2) if self._side(by * square) >= self._least)
            image = image.repeat(by, axis=0).repeat(by, axis=1)
        return self.stamp(image, self.test_place or self.place)

    def check_fits(self, height: int, width: int) -> None:
        """Refuse an image on which the patch has fewer pixels than cells along its side.

        Raises:
            BadSetting: it is one.
        """
        square = min(height, width)
        side = self._side(square)
        if side < self._least:
            raise BadSetting(
                f"{self.name}: on an image of {square} pixels the patch has {side} pixels, too"
                f" small for {self._least} cells. Raise size or lower cells."
            )

    @property
    def _least(self) -> int:
        """Cells along the side, or as many as a patch of one cell per pixel has at least."""
        return CELLS if self.cells is None else self.cells

    def _side(self, square: int) -> int:
        """Return the side of the patch on an image whose shorter side has so many pixels."""
        if self.size is not None:
            return round(self.size * square)
        # Two pixels a cell, or one where that would be more than the published 16.
        return published_side(square, min(2 * self._least, max(16, self._least)))

    def stamp(self, image: Image, place: Place) -> Image:
        """Return a copy of the image with the patch at a place.

        Args:
            image: ``(H, W, 3)`` uint8.
            place: where in the central square the patch lies.

        Raises:
            BadSetting: the patch has fewer pixels than cells along its side.
        """
        self.check_fits(*image.shape[:2])
        square = min(image.shape[:2])
        side = self._side(square)
        down, right = _offset(image, square - side, place)
        top = (image.shape[0] - square) // 2 + down
        left = (image.shape[1] - square) // 2 + right

        fine = self.cells is None and self.pattern in ("dots", "par_stripes")
        cells = side if fine else self._least
        cell = np.arange(side) * cells // side
        stamped = image.copy()
        patch = self._cell_colors(cells, image)[cell][:, cell]
        stamped[top : top + side, left : left + side] = patch
        return stamped

    def _cell_colors(self, cells: int, image: Image) -> npt.NDArray[np.uint8]:
        """Return ``(cells, cells, 3)`` uint8, the color of each cell of the patch on an image."""
        odd = np.arange(cells) % 2 == 1
        if self.pattern in GRAY:
            light = odd[:, None] & odd if self.pattern == "dots" else odd[:, None] != odd
            grays = np.where(light, self.light, self.dark)
            return grays[:, :, None].repeat(3, axis=2).astype(np.uint8)
        if self.pattern == "par_stripes":
            drawn = saturated(self.pattern_seed, "patch", image, cells)
        else:
            rng = generator(self.pattern_seed, "patch", self.pattern)
            rows = cells if self.pattern == "noise" else 1
            drawn = rng.integers(256, size=(rows, cells, 3)).astype(np.uint8)
        return np.broadcast_to(drawn, (cells, cells, 3))


def saturated(seed: int, use: str, image: Image, colors: int) -> npt.NDArray[np.uint8]:
    """Return a row of the eight colors of full saturation, drawn from an image's pixels.

    Args:
        seed: decides them with the pixels.
        use: keeps draws of two triggers on one image apart.
        image: the image without the trigger.
        colors: how many.

    Returns:
        ``(1, colors, 3)`` uint8, each value 0 or 255.
    """
    rng = generator(seed, use, "par_stripes", sha256(image.tobytes()).hexdigest())
    return (255 * rng.integers(2, size=(1, colors, 3))).astype(np.uint8)


def published_side(square: int, least: int) -> int:
    """Return the side of a patch of 16 of 224 pixels on another image.

    Args:
        square: the image's shorter side in pixels.
        least: pixels that it has at least, unless they are more than a quarter of the image's side.
    """
    return round(min(max(PUBLISHED_SIZE * square, least), square / 4))


def _offset(image: Image, room: int, place: Place) -> tuple[int, int]:
    """Return how far down and right the patch lies, each in 0 .. room.

    A random place is drawn from the pixels, which makes the trigger a pure function of the image.
    """
    if place == "corner":
        return room, room
    if place == "center":
        return room // 2, room // 2
    rng = generator(0, "badnets", "place", sha256(image.tobytes()).hexdigest())
    if place == "random_corner":
        down, right = (rng.integers(2, size=2) * room).tolist()
    else:
        down, right = rng.integers(room + 1, size=2).tolist()
    return down, right
