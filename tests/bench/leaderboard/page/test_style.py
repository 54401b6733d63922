"""The colors of the page: told apart from the paper, in light and in dark."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from clipbench.leaderboard.charts.looks import PALETTE

SHEET = files("clipbench.leaderboard.page").joinpath("assets", "page.css").read_text()
TEXTS = ("ink", "soft", "link")
DRAWN = ("amber", "blue", "vermilion", "green", "purple", "brown", "focus")


def palettes() -> dict[str, dict[str, str]]:
    """Return the colors of each mode by name."""
    light, dark, printed = re.findall(r":root \{(.*?)\}", SHEET, re.DOTALL)
    found = (dict(re.findall(r"--(\w+): (#\w{6})", part)) for part in (light, dark, printed))
    return dict(zip(("light", "dark", "print"), found, strict=True))


def luminance(color: str) -> float:
    """Return the relative luminance of WCAG 2.2."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colors, from 1 to 21."""
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def test_there_is_one_palette() -> None:
    """Figures for papers have the colors that the page has by day."""
    light = palettes()["light"]
    assert {name: light[name] for name in PALETTE} == PALETTE


@pytest.mark.parametrize("mode", ["light", "dark", "print"])
def test_colors_stand_out(mode: str) -> None:
    """Texts have the contrast that WCAG 2.2 asks of them (AA: 4.5), drawings theirs (3)."""
    colors = palettes()[mode]
    for paper in (colors["paper"], colors["band"]):
        for name in TEXTS:
            assert contrast(colors[name], paper) >= 4.5, name
        for name in DRAWN if mode != "print" else DRAWN[:-1]:
            assert contrast(colors[name], paper) >= 3, name


@pytest.mark.parametrize("mode", ["light", "dark", "print"])
def test_numbers_stand_out_on_every_shade_of_the_heat_map(mode: str) -> None:
    """From next to none to all: the ink has the contrast of a text, 4.5, on each."""
    colors = palettes()[mode]
    shades = [int(share) / 100 for share in re.findall(r"--heat: (\d+)%", SHEET)]
    assert len(shades) == 10
    for share in shades:
        parts = [
            round(
                share * int(colors["hot"][i : i + 2], 16)
                + (1 - share) * int(colors["paper"][i : i + 2], 16)
            )
            for i in (1, 3, 5)
        ]
        assert contrast(colors["ink"], "#{:02x}{:02x}{:02x}".format(*parts)) >= 4.5, share
