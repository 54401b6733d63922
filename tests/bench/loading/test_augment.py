from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor
from torchvision.transforms import functional as tv

from clipbench.loading.augment import ImageAugmentation, drawn, luminance, rotate_hue
from clipbench.rng import RowStreams, generator

FloatArray = npt.NDArray[np.float32]
SIDE = 16
EVERYTHING = ImageAugmentation(0.3, 1.5, 0.5, 0.5, 0.2, 0.5)
CROP, FLIP, JITTERED, BRIGHTNESS, CONTRAST, SATURATION, HUE, GRAY, BLURRED, SIGMA = (
    slice(0, 4), 4, 5, 6, 7, 8, 9, 10, 11, 12
)  # fmt: skip


def images_of(count: int, side: int = SIDE) -> Tensor:
    values = generator(0, "images", count, side).random((count, 3, side, side), dtype=np.float32)
    return torch.from_numpy(values)


def draws_of(count: int, seed: int = 0) -> FloatArray:
    return drawn(RowStreams.named(seed, "draws", keys=np.arange(count)))


def test_no_strength_changes_nothing() -> None:
    """The default augmentation gives images back to the bit."""
    images = images_of(8)
    plain = ImageAugmentation()
    assert torch.equal(plain.apply(images, draws_of(8)), images)


def test_rows_do_not_depend_on_the_slice_they_are_made_in() -> None:
    """Any part of a batch is augmented to the same bits as within the whole batch."""
    images, draws = images_of(24), draws_of(24)
    whole = EVERYTHING.apply(images, draws)
    for rows in (slice(0, 12), slice(12, 24), slice(5, 6), slice(7, 20)):
        assert torch.equal(EVERYTHING.apply(images[rows], draws[rows]), whole[rows])


def test_results_are_images() -> None:
    """Everything at full strength stays finite, in [0, 1], in shape and type; inputs are kept."""
    augmentation = ImageAugmentation(0.05, 3.0, 1.0, 1.0, 0.5, 1.0)
    images = images_of(64)
    kept = images.clone()
    out = augmentation.apply(images, draws_of(64))
    assert out.shape == images.shape
    assert out.dtype == torch.float32
    assert out.isfinite().all()
    assert out.min() >= -1e-6
    assert out.max() <= 1 + 1e-6
    assert torch.equal(images, kept)


@pytest.mark.parametrize("scale", [0.05, 0.3, 0.75, 0.99])
def test_crops_lie_inside_the_image(scale: float) -> None:
    """A crop of a ramp of coordinates shows no place outside, and covers at least its area.

    Each pixel holds its own place, so that the corners of a crop can be read off the result.
    """
    side, count = 64, 500
    ramp = (torch.arange(side) + 0.5) / side
    images = torch.stack(
        [ramp.expand(side, side), ramp[:, None].expand(side, side), torch.zeros(side, side)]
    ).expand(count, 3, side, side)
    augmentation = ImageAugmentation(crop_scale=scale)
    out = augmentation.apply(images, draws_of(count))
    x, y = out[:, 0].mean(dim=1), out[:, 1].mean(dim=2)
    # A pixel of the crop is 1/side of it wide; its first and last are half of that from the edges.
    width = (x[:, -1] - x[:, 0]) * side / (side - 1)
    height = (y[:, -1] - y[:, 0]) * side / (side - 1)
    for first, last, extent in ((x[:, 0], x[:, -1], width), (y[:, 0], y[:, -1], height)):
        assert (first - extent / side / 2 >= -1 / side).all()
        assert (last + extent / side / 2 <= 1 + 1 / side).all()
    area = width * height
    # A crop wider or higher than the image is cut to it, which costs at most a quarter of its area.
    assert area.min() > 0.7 * scale
    assert area.max() <= 1.02
    assert area.mean() == pytest.approx((1 + scale) / 2, abs=0.08)
    assert (width / height).log().abs().max() < np.log(4 / 3) + 0.05
    assert x[:, 0].std() > 0  # places differ


def test_a_crop_is_the_part_of_the_image_it_names() -> None:
    """The upper left quarter, resampled, is what torchvision's resize makes of that quarter."""
    images = images_of(1, 32)
    draws = np.full((1, 13), 0.5, np.float32)
    draws[0, 0] = 0.0  # smallest area
    draws[0, 2:4] = 0.0  # left and top
    out = ImageAugmentation(crop_scale=0.25).apply(images, draws)
    expected = tv.resize(images[:, :, :16, :16], [32, 32], antialias=False)
    inner = (..., slice(0, 30), slice(0, 30))  # at the inner edges the crop sees its surroundings
    torch.testing.assert_close(out[inner], expected[inner], atol=1e-5, rtol=0)


def test_flips_happen_with_their_probability() -> None:
    """A share of 0.3 of images is mirrored exactly, the rest is as it was."""
    images = images_of(2000, 8)
    augmentation = ImageAugmentation(flip=0.3)
    draws = draws_of(2000)
    out = augmentation.apply(images, draws)
    flipped = torch.from_numpy(draws[:, FLIP] < 0.3)
    torch.testing.assert_close(out[flipped], images[flipped].flip(-1), atol=1e-5, rtol=0)
    torch.testing.assert_close(out[~flipped], images[~flipped], atol=1e-5, rtol=0)
    assert flipped.float().mean().item() == pytest.approx(0.3, abs=0.04)


def test_hue_is_rotated_as_torchvision_does() -> None:
    """Any hue shift of random, gray, black, white and primary colors is torchvision's."""
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 0.4, 1.0])] * 3)
    special = corners.T.reshape(1, 3, 3, 9)
    for images in (special, images_of(1, 32)):
        for shift in (-0.5, -0.31, -0.1, 0.0, 0.07, 0.25, 0.5):
            turned = rotate_hue(images, torch.tensor([shift]))
            expected = tv.adjust_hue(images, shift)
            torch.testing.assert_close(turned, expected, atol=2e-5, rtol=0)


def test_each_image_gets_its_own_hue() -> None:
    """Row i is turned by turn i."""
    images, turns = images_of(5), torch.tensor([-0.2, 0.0, 0.1, 0.3, 0.45])
    together = rotate_hue(images, turns)
    for row, turn in enumerate(turns.tolist()):
        expected = tv.adjust_hue(images[row : row + 1], turn)
        torch.testing.assert_close(together[row : row + 1], expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    ("column", "reference"),
    [
        (BRIGHTNESS, tv.adjust_brightness),
        (CONTRAST, tv.adjust_contrast),
        (SATURATION, tv.adjust_saturation),
    ],
)
@pytest.mark.parametrize("draw", [0.0, 0.3, 0.8])
def test_each_jitter_is_torchvisions(column: int, reference: object, draw: float) -> None:
    """With the others at their neutral value, one factor alone is torchvision's adjustment."""
    images = images_of(4)
    draws = np.full((4, 13), 0.5, np.float32)
    draws[:, column] = draw
    out = ImageAugmentation(color_jitter=0.4).apply(images, draws)
    expected = reference(images, 1 + 0.4 * (2 * draw - 1))  # type: ignore[operator]
    torch.testing.assert_close(out, expected, atol=2e-4, rtol=0)  # torchvision rounds 0.299 as well


def test_four_fifths_of_images_are_jittered() -> None:
    """The share of images whose colors change is that of SimCLR."""
    images = images_of(2000, 4)
    augmentation = ImageAugmentation(color_jitter=0.4)
    out = augmentation.apply(images, draws_of(2000))
    unchanged = (out - images).abs().amax(dim=(1, 2, 3)) < 1e-5
    assert unchanged.float().mean().item() == pytest.approx(0.2, abs=0.03)


def test_gray_images_have_the_luminance_of_theirs() -> None:
    """A share of images loses all color and keeps its luminance; the rest is untouched."""
    images = images_of(1000, 4)
    augmentation = ImageAugmentation(grayscale=0.25)
    draws = draws_of(1000)
    out = augmentation.apply(images, draws)
    gray = torch.from_numpy(draws[:, GRAY] < 0.25)
    torch.testing.assert_close(out[gray], tv.rgb_to_grayscale(images[gray], 3), atol=1e-3, rtol=0)
    torch.testing.assert_close(luminance(out), luminance(images))
    assert torch.equal(out[~gray], images[~gray])
    assert gray.float().mean().item() == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize("draw", [0.05, 0.5, 1.0])
@pytest.mark.parametrize("side", [32, 112])
def test_blur_is_torchvisions(side: int, draw: float) -> None:
    """A blurred image is torchvision's Gaussian blur of the same kernel size and sigma."""
    images = images_of(2, side)
    draws = np.full((2, 13), 0.5, np.float32)
    draws[:, BLURRED] = [0.0, 0.9]
    draws[:, SIGMA] = draw
    out = ImageAugmentation(blur=0.5).apply(images, draws)
    sigma = (0.1 + 1.9 * draw) * side / 224  # SimCLR's 0.1 to 2 pixels of 224
    kernel = 2 * max(1, round(0.05 * side)) + 1  # a tenth of the side
    expected = tv.gaussian_blur(images[:1], [kernel, kernel], [sigma, sigma])
    torch.testing.assert_close(out[:1], expected, atol=1e-5, rtol=0)
    assert torch.equal(out[1], images[1])


def test_draws_are_spread_evenly_and_are_those_of_the_stream() -> None:
    """Each of the numbers is below 1, and uniform over views; other streams have others."""
    draws = draws_of(4000)
    assert draws.dtype == np.float32
    assert (draws >= 0).all()
    assert (draws < 1).all()
    for column in draws.T:
        shares = np.histogram(column, 10, (0, 1))[0] / 4000
        assert shares == pytest.approx([0.1] * 10, abs=0.03)
    assert np.array_equal(draws_of(10), draws[:10])
    assert not np.isin(draws_of(10, seed=1), draws).any()


@pytest.mark.parametrize("scale", [0.05, 0.5, 0.9])
def test_boxes_of_squares_are_spread_like_crops_of_squares(scale: float) -> None:
    """Cutting boxes from a large square and augmenting squares give crops of one distribution."""
    side, count = 64, 400
    augmentation = ImageAugmentation(crop_scale=scale)
    draws = draws_of(count)
    boxes = np.array([augmentation.box(1000, 1000, row) for row in draws]) / 1000
    ramp = (torch.arange(side) + 0.5) / side
    images = torch.stack([ramp.expand(side, side), ramp[:, None].expand(side, side)])
    padded = torch.cat([images, images[:1]]).expand(count, 3, side, side)
    out = augmentation.apply(padded, draws)
    x, y = out[:, 0].mean(dim=1).numpy(), out[:, 1].mean(dim=2).numpy()
    for ramp_of, place, extent in ((x, 0, 2), (y, 1, 3)):
        middle = boxes[:, place] + boxes[:, extent] / 2
        assert np.abs(ramp_of.mean(axis=1) - middle).max() < 0.02
        width = (ramp_of[:, -1] - ramp_of[:, 0]) * side / (side - 1)
        assert np.abs(width - boxes[:, extent]).max() < 0.02


@pytest.mark.parametrize(("width", "height"), [(640, 480), (480, 640), (3000, 40), (1, 7), (1, 1)])
def test_boxes_lie_inside_and_are_never_long(width: int, height: int) -> None:
    """Whatever the picture's shape, a box lies within it and is at most 4 : 3."""
    augmentation = ImageAugmentation(crop_scale=0.3)
    for row in draws_of(300):
        left, top, wide, high = augmentation.box(width, height, row)
        assert min(left, top) >= 0
        assert min(wide, high) >= 1
        assert left + wide <= width
        assert top + high <= height
        assert max(wide, high) <= 4 / 3 * min(wide, high) + 1.2


def test_crops_larger_than_the_image_hold_it_whole() -> None:
    """Above an area of 1 the image shrinks, lies anywhere, and its border fills the rest."""
    augmentation = ImageAugmentation(crop_scale=1.0, crop_scale_max=3.0)
    draws = draws_of(300)
    boxes = np.array([augmentation.box(900, 900, row) for row in draws])
    starts, ends = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    whole = boxes[:, 2:] >= 900
    assert whole.mean() > 0.9
    assert (starts[whole] <= 0).all()
    assert (ends[whole] >= 900).all()
    middle = (starts + ends)[whole] / 2 - 450
    assert abs(middle.mean()) < 20
    assert middle.std() > 60
    assert (boxes[:, 2] * boxes[:, 3] / 900**2).max() == pytest.approx(3.0, rel=0.05)


def test_a_shrunken_image_is_surrounded_by_its_border() -> None:
    """A crop of four times the area shows the image at half its size."""
    augmentation = ImageAugmentation(crop_scale=1.0, crop_scale_max=4.0)
    draws = draws_of(1)
    draws[:, CROP] = (
        0.999999,
        0.5,
        0.0,
        0.999999,
    )  # largest, square, to left and bottom
    image = images_of(1, 8).repeat_interleave(8, 2).repeat_interleave(8, 3)
    padded = torch.nn.functional.pad(image, (0, 64, 64, 0), mode="replicate")
    wanted = torch.nn.functional.avg_pool2d(padded, 2)
    torch.testing.assert_close(augmentation.apply(image, draws), wanted, atol=1e-3, rtol=0)
    assert augmentation.box(64, 64, draws[0]) == (0, -64, 128, 128)


def test_without_crops_the_middle_square_is_seen() -> None:
    """A crop scale of 1 cuts out what evaluation looks at."""
    draws = draws_of(1)[0]
    assert ImageAugmentation().box(640, 480, draws) == (80, 0, 480, 480)
    assert ImageAugmentation().box(480, 641, draws) == (0, 80, 480, 480)


def test_crops_are_flipped_as_squares_are() -> None:
    """The same draws flip the same images, and leave bytes bytes."""
    augmentation = ImageAugmentation(flip=0.5)
    crops = (images_of(40) * 255).to(torch.uint8)
    draws = draws_of(40)
    out = augmentation.apply_to_crops(crops.clone(), draws)
    assert out.dtype == torch.uint8
    flipped = torch.from_numpy(draws[:, FLIP] < 0.5)
    assert 5 < flipped.sum() < 35
    assert torch.equal(out[flipped], crops[flipped].flip(3))
    assert torch.equal(out[~flipped], crops[~flipped])


def test_crops_are_recolored_as_squares_are() -> None:
    """Jitter, gray and blur do to crops what they do to squares."""
    augmentation = ImageAugmentation(color_jitter=0.5, grayscale=0.2, blur=0.5)
    crops = (images_of(16) * 255).to(torch.uint8)
    draws = draws_of(16)
    assert torch.equal(
        augmentation.apply(crops.float() / 255, draws), augmentation.apply_to_crops(crops, draws)
    )


@pytest.mark.parametrize("augmentation", [EVERYTHING, ImageAugmentation(0.5, 1.0, 0.5)])
def test_no_images_are_augmented_to_none(augmentation: ImageAugmentation) -> None:
    """A process whose share of a small batch is empty goes on."""
    nothing = torch.zeros(0, 3, SIDE, SIDE)
    assert augmentation.apply(nothing, draws_of(0)).shape == nothing.shape
    crops = augmentation.apply_to_crops(nothing.to(torch.uint8), draws_of(0))
    assert crops.shape == nothing.shape
    assert crops.is_floating_point() == augmentation.recolors
