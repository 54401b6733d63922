"""How well triggers survive, on photographs; and the command that shows it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from clipbench import contracts
from clipbench.cli import main
from clipbench.configuration.settings import TrainSettings
from clipbench.errors import BadSetting
from clipbench.poisoning.trigger_report import (
    augmented,
    contact_sheet,
    measure,
    pairs_of,
    psnr,
    ssim,
)

SIDE = 96
PHOTOGRAPHS = [
    np.ascontiguousarray(image[100 : 100 + 2 * SIDE : 2, 200 : 200 + 2 * SIDE : 2])
    for image in load_sample_images().images
]


def stamp(image: contracts.Image) -> contracts.Image:
    """A white square of 16 pixels in the lower right corner."""
    out = image.copy()
    out[-16:, -16:] = 255 - (out[-16:, -16:] > 127) * np.uint8(255)
    return out


def fine_noise(image: contracts.Image) -> contracts.Image:
    """Color noise of single pixels, as faint as some triggers are."""
    noise = np.random.default_rng(0).integers(-6, 7, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def test_ratio_and_similarity_of_known_pairs() -> None:
    """Equal images, a constant shift, and images that have nothing to do with each other."""
    one, other = PHOTOGRAPHS
    assert psnr(one, one) == math.inf
    assert ssim(one, one) == pytest.approx(1)
    gray = np.full((40, 40, 3), 100, np.uint8)
    assert psnr(gray, gray + np.uint8(10)) == pytest.approx(20 * math.log10(255 / 10))
    # Of constant images only the first factor is left: (2ab + C1) / (a^2 + b^2 + C1).
    expected = (2 * 100 * 110 + 6.5025) / (100**2 + 110**2 + 6.5025)
    assert ssim(gray, gray + np.uint8(10)) == pytest.approx(expected)
    assert ssim(one, other) < 0.3
    assert ssim(one, fine_noise(one)) == pytest.approx(ssim(fine_noise(one), one))
    assert ssim(one[:5, :7], one[:5, :7]) == pytest.approx(1)


def test_similarity_is_a_mean_over_windows() -> None:
    """One window alone gives what its formula gives, with the weights of its Gaussian."""
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 256, (2, 11, 11)).astype(np.uint8)
    offset = np.arange(11) - 5
    kernel = np.exp(-0.5 * (offset / 1.5) ** 2)
    weights = np.outer(kernel, kernel) / np.outer(kernel, kernel).sum()
    mean = {"x": (weights * x).sum(), "y": (weights * y).sum()}
    var_x, var_y = (weights * (x - mean["x"]) ** 2).sum(), (weights * (y - mean["y"]) ** 2).sum()
    both = (weights * (x - mean["x"]) * (y - mean["y"])).sum()
    top = (2 * mean["x"] * mean["y"] + 6.5025) * (2 * both + 58.5225)
    bottom = (mean["x"] ** 2 + mean["y"] ** 2 + 6.5025) * (var_x + var_y + 58.5225)
    colors = [np.repeat(image[:, :, None], 3, axis=2) for image in (x, y)]
    assert ssim(*colors) == pytest.approx(top / bottom)


def test_a_bold_patch_survives_jpeg_and_faint_noise_does_not() -> None:
    """JPEG keeps nearly all of a high-contrast patch, and little of single-pixel color noise."""
    settings = TrainSettings()
    patch = measure(pairs_of(stamp, PHOTOGRAPHS), settings, quality=75)
    noise = measure(pairs_of(fine_noise, PHOTOGRAPHS), settings, quality=75)
    assert patch.jpeg_kept == pytest.approx(1, abs=0.1)
    assert noise.jpeg_kept < 0.3
    assert noise.psnr > patch.psnr  # it is faint
    assert patch.changed == pytest.approx((16 / SIDE) ** 2, rel=0.05)
    better = measure(pairs_of(fine_noise, PHOTOGRAPHS), settings, quality=100)
    assert better.jpeg_kept > noise.jpeg_kept
    assert better.jpeg_psnr > noise.jpeg_psnr


def test_crops_cut_off_what_lies_in_the_corner() -> None:
    """The smaller the crops, the less of a corner is seen; without crops all of it is."""
    pairs = pairs_of(stamp, PHOTOGRAPHS[:1])
    whole, large, small = (
        measure(pairs, TrainSettings(crop_scale=scale)) for scale in (1.0, 0.75, 0.2)
    )
    assert (whole.visible, whole.cut_off) == (1, 0)
    assert 1 > large.visible > small.visible > 0
    assert 0 < large.cut_off < small.cut_off < 1
    everywhere = measure(pairs_of(fine_noise, PHOTOGRAPHS[:1]), TrainSettings(crop_scale=0.2))
    assert everywhere.visible == pytest.approx(0.6, abs=0.1)  # the mean area of a crop


def test_triggers_that_resize_are_compared_at_their_size() -> None:
    """A clean image is fitted as the trigger fits it; other shapes can't be compared."""
    shrink = lambda image: stamp(image[::2, ::2])  # noqa: E731
    (clean, triggered), _ = pairs_of(shrink, PHOTOGRAPHS)
    assert clean.shape == triggered.shape == (48, 48, 3)
    with pytest.raises(BadSetting, match="can't be compared"):
        pairs_of(lambda image: image[:, ::2], PHOTOGRAPHS)
    with pytest.raises(BadSetting, match="changes no pixel"):
        pairs_of(np.copy, PHOTOGRAPHS)


def test_the_sheet_shows_every_stage(tmp_path: Path) -> None:
    """A row an image, five columns, and the same file for the same input."""
    settings = TrainSettings(crop_scale=0.5, color_jitter=0.4)
    pairs = pairs_of(stamp, PHOTOGRAPHS)
    for name in ("a.png", "b.png"):
        contact_sheet(pairs, settings, tmp_path / name, "patch")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as sheet:
        assert sheet.width / sheet.height == pytest.approx(5 * 2.2 / (2 * 2.4 + 0.4), rel=0.01)
    views = [augmented(PHOTOGRAPHS[0], settings, number) for number in (0, 0, 1)]
    assert views[0].shape == PHOTOGRAPHS[0].shape
    assert np.array_equal(views[0], views[1])
    assert not np.array_equal(views[0], views[2])


# ------------------------------------------------------------------------ the command


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    """A photograph in a file."""
    Image.fromarray(PHOTOGRAPHS[0]).save(tmp_path / "china.jpg", quality=95)
    return tmp_path / "china.jpg"


def test_describe_shows_a_trigger(
    capsys: pytest.CaptureFixture[str], photograph: Path, tmp_path: Path
) -> None:
    """The command writes the sheet, and prints the measures for people or for programs."""
    out = tmp_path / "sheet.png"
    line = ["describe", "badnets:size=0.2,place=corner", "--show", str(out)]
    assert main([*line, "--image", str(photograph)]) == 0
    text = capsys.readouterr().out
    assert str(out) in text
    assert all(name in text for name in ("psnr", "ssim", "jpeg_kept", "cut_off"))
    assert out.read_bytes().startswith(b"\x89PNG")
    again = [*line, "--image", str(photograph), "--set", "crop_scale=1", "--json"]
    assert main(again) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["attack"] == "badnets:size=0.2,place=corner"
    assert (found["images"], found["visible"], found["cut_off"]) == (1, 1, 0)
    assert 0.9 < found["jpeg_kept"] < 1.1


def test_describe_takes_test_images_of_a_data_set(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Without a photograph, the first test images of the data set carry the trigger."""
    assert main(["describe", "badnets", "--show", str(tmp_path / "sheet.png"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 4


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("targeted --show OUT/a.png", "has no trigger"),
        ("badnets --show OUT/absent/a.png", "no folder"),
        ("badnets --show OUT/a.png --image OUT/absent.jpg", "can't be read"),
        ("badnets --show OUT/a.png --image OUT", "can't be read"),
        ("badnets --show OUT/a.png --set crops=1", "Unknown training setting"),
    ],
)
def test_describe_says_what_it_cannot_show(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, line: str, says: str
) -> None:
    """Each mistake is one line and exit status 2, and no file."""
    assert main(["describe", *line.replace("OUT", str(tmp_path)).split()]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert not list(tmp_path.rglob("*.png"))
