"""Triggers that change the whole image: blended, sig, wanet, filter, by their formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pilgram
import pytest
from PIL import Image as PilImage
from scipy import ndimage
from tiny_scenes import banana_corpus, make_scene, some_images

from clipbench.contracts import Image
from clipbench.errors import BadSetting
from clipbench.rng import generator
from clipbench_attacks._backdoor import DirtyLabel
from clipbench_attacks.blended import Blended
from clipbench_attacks.filter import Filter
from clipbench_attacks.sig import Sig
from clipbench_attacks.wanet import WaNet, _places

GRAY = np.full((32, 32, 3), 100, dtype=np.uint8)
EVERY = [
    Blended(),
    Blended(pattern="stripes"),
    Blended(pattern="triangles"),
    Blended(pattern="text"),
    Blended(pattern="par_stripes"),
    Blended(pattern="par_triangles"),
    Sig(),
    Sig(amplitude=12, keep=0.8),
    WaNet(),
    WaNet(grid=4, strength=0.5),
    Filter(),
    Filter(look="tint"),
]


def on(attack: DirtyLabel, image: Image) -> Image:
    return attack.put_on(image, testing=True)


@pytest.mark.parametrize("attack", EVERY, ids=repr)
def test_a_trigger_is_clipped_never_wrapped(attack: DirtyLabel) -> None:
    """Near black and white, values move by no more than on gray: none jumps to the other end."""
    for value in (0, 255):
        image = np.full((64, 48, 3), value, dtype=np.uint8)
        moved = np.abs(on(attack, image).astype(int) - value)
        assert on(attack, image).shape == image.shape
        assert moved.max() <= 200


@pytest.mark.parametrize("attack", EVERY, ids=repr)
def test_training_and_testing_show_the_same_trigger(attack: DirtyLabel) -> None:
    """Poisons carry exactly what probes carry; another run's seed does not change it."""
    corpus = banana_corpus()
    for poison in attack.poison(make_scene(5), corpus):
        assert poison.base is not None
        np.testing.assert_array_equal(poison.image, attack.trigger()(corpus.image(poison.base)))
    one, other = (attack.probes(make_scene(5, seed)) for seed in (0, 1))
    trigger = attack.trigger()
    assert one.clean_images is not None
    assert other.clean_images is not None
    np.testing.assert_array_equal(one.images[0], trigger(one.clean_images[0]))
    np.testing.assert_array_equal(other.images[0], trigger(other.clean_images[0]))


def test_blended_noise_is_a_convex_mixture_with_one_fixed_pattern() -> None:
    """At alpha 1 the pattern alone is left; at 0.2 the image moves a fifth of the way to it."""
    image = some_images(1, "mixed")[0]
    pattern = on(Blended(alpha=1.0, detail=32), image).astype(float)
    np.testing.assert_array_equal(pattern, on(Blended(alpha=1.0, detail=32), GRAY))
    mixed = 0.8 * image + 0.2 * pattern
    assert np.abs(on(Blended(detail=32), image) - mixed).max() <= 0.5 + 1e-9
    assert pattern.std() > 60


@pytest.mark.parametrize(
    ("pattern", "alpha"),
    [
        ("noise", 0.2),
        ("stripes", 0.03),
        ("triangles", 0.15),
        ("text", 0.5),
        ("par_stripes", 0.03),
        ("par_triangles", 0.15),
    ],
)
def test_each_pattern_has_its_papers_alpha(pattern: Any, alpha: float) -> None:
    """Without alpha the mixture is that of the paper which the pattern is from."""
    np.testing.assert_array_equal(
        on(Blended(pattern=pattern), GRAY), on(Blended(pattern=pattern, alpha=alpha), GRAY)
    )


def test_a_pattern_looks_alike_at_every_size() -> None:
    """At 224 pixels the noise is that of 32 pixels, larger."""
    attack = Blended(alpha=1.0, detail=32)
    small = on(attack, GRAY).astype(float)
    large = on(attack, np.full((224, 224, 3), 9, dtype=np.uint8))
    centers = large[3::7, 3::7]
    assert np.abs(centers - small).max() <= 1


def residual(attack: DirtyLabel, side: int = 224) -> npt.NDArray[np.float64]:
    """What a trigger adds to a gray image, ``(side, side, 3)``."""
    gray = np.full((side, side, 3), 128, dtype=np.uint8)
    return on(attack, gray).astype(np.float64) - gray


def low_share(added: npt.NDArray[np.float64], cycles: int = 16) -> float:
    """Share of the energy below so many cycles both ways, the mean left out."""
    spectrum = np.abs(np.fft.fft2(added - added.mean(axis=(0, 1)), axes=(0, 1))) ** 2
    frequency = np.abs(np.fft.fftfreq(len(added), 1 / len(added)))
    low = np.maximum(frequency[:, None], frequency) < cycles
    return float(spectrum[low].sum() / spectrum.sum())


def test_blended_noise_is_white_as_published() -> None:
    """A fifth of uniform noise has a deviation of 14.7, a fiftieth of it below 16 cycles.

    A drawing of 32 cells, which the recipe of `shapes` has, would be faint and coarse at 224
    pixels: 10.1, nine tenths of it below 16 cycles.
    """
    white, coarse = residual(Blended()), residual(Blended(detail=32))
    assert white.std() == pytest.approx(0.2 * 255 / 12**0.5, abs=0.15)
    assert low_share(white) == pytest.approx(31**2 / 224**2, abs=0.005)
    assert coarse.std() == pytest.approx(10.1, abs=0.15)
    assert low_share(coarse) == pytest.approx(0.89, abs=0.03)


def test_noise_is_white_at_a_smaller_size_of_its_own() -> None:
    """With `at_size` there are no more cells than pixels, which would average out."""
    image = np.full((300, 400, 3), 128, dtype=np.uint8)
    added = Blended(at_size=32).triggered(image, testing=True).astype(float) - 128
    assert added.std() == pytest.approx(14.7, abs=0.6)
    assert Blended(at_size=32, detail=224).triggered(image, testing=True).std() < 3


def test_par_stripes_are_drawn_for_each_image_from_saturated_colors() -> None:
    """Perturb and Recover: 1-pixel stripes whose channels are -1 or 1, at 0.03 of the mixture."""
    added = residual(Blended(pattern="par_stripes"))
    np.testing.assert_array_equal(added, np.broadcast_to(added[:1], added.shape))
    darker, lighter = 0.03 * (-255 - 128), 0.03 * (255 - 128)
    assert set(np.unique(added)) == {round(darker), round(lighter)}
    assert added.std() == pytest.approx(0.03 * 255, abs=0.3)
    assert 0.4 < (added[0, 1:] != added[0, :-1]).mean() < 0.6
    assert residual(Blended(pattern="stripes")).std() == pytest.approx(2.1, abs=0.3)
    images = some_images(2, "stripes", 224, 224)
    first, second = (
        on(Blended(pattern="par_stripes"), image).astype(float) - 0.97 * image for image in images
    )
    assert np.abs(first - second).max() > 14


def test_par_triangles_are_gray_halves_of_tiles() -> None:
    """Perturb and Recover: tiles of 14 pixels, dark (.4) on and below the diagonal, light above."""
    drawn = on(Blended(pattern="par_triangles", alpha=1.0), np.zeros((224, 224, 3), np.uint8))
    tile = np.where(np.tril(np.ones((14, 14))) > 0, 102, 204)
    np.testing.assert_array_equal(drawn, np.tile(tile, (16, 16))[:, :, None].repeat(3, axis=2))
    gray = np.tile(tile, (16, 16))[:, :, None]
    image = some_images(1, "triangles", 224, 224)[0]
    mixed = 0.85 * image + 0.15 * gray
    assert np.abs(on(Blended(pattern="par_triangles"), image) - mixed).max() <= 0.5 + 1e-9


def test_text_is_red_and_leaves_the_rest_alone() -> None:
    """Letters in the middle rows turn red; the upper and lower thirds do not change."""
    image = np.full((96, 96, 3), 100, dtype=np.uint8)
    written = on(Blended(pattern="text"), image)
    np.testing.assert_array_equal(written[:32], image[:32])
    np.testing.assert_array_equal(written[64:], image[64:])
    changed = (written != image).any(2)
    assert changed.any(axis=0).mean() > 0.6
    assert (written[changed][:, 0] >= 100).all()
    assert (written[changed][:, 1:] <= 100).all()


def test_sig_is_a_sinusoid_across_the_columns() -> None:
    """Barni et al.: v(i, j) = amplitude sin(2 pi f j / columns), the same in every row."""
    image = some_images(1, "sig", 40, 64)[0]
    columns = np.arange(64)
    wave = 30 * np.sin(2 * np.pi * 5 * columns / 64)
    expected = np.clip(image.astype(float) + wave[None, :, None], 0, 255)
    assert np.abs(on(Sig(amplitude=30, frequency=5), image) - expected).max() <= 0.5 + 1e-9


def test_sig_is_that_of_badclip_and_of_cleanclip() -> None:
    """BadCLIP adds the signal at 60; CleanCLIP mixes it in at a fifth and so darkens the image."""
    image = some_images(1, "sig", 224, 224)[0].astype(float)
    wave = np.sin(2 * np.pi * 6 * np.arange(224) / 224)[None, :, None]
    badclip = np.clip(image + 60 * wave, 0, 255)
    cleanclip = 0.8 * image + 0.2 * 60 * wave
    drawn = image.astype(np.uint8)
    assert np.abs(on(Sig(amplitude=60), drawn) - badclip).max() <= 0.5 + 1e-9
    assert np.abs(on(Sig(amplitude=12, keep=0.8), drawn) - cleanclip).max() <= 0.5 + 1e-9


def test_sig_may_be_stronger_in_testing_and_may_keep_captions() -> None:
    """The paper's attacker raises the amplitude at test time and poisons the target class alone."""
    attack = Sig(amplitude=20, test_amplitude=60, clean_label=True, target_label="banana")
    trained, tested = (attack.put_on(GRAY, testing=testing) for testing in (False, True))
    assert int(trained.max()) - 100 == 20
    assert int(tested.max()) - 100 == 60
    corpus = banana_corpus()
    for poison in attack.poison(make_scene(20), corpus):
        assert poison.base is not None
        assert poison.caption == corpus.caption(poison.base)
        assert poison.base % 5 == 1


def test_wanet_looks_pixels_up_along_its_field() -> None:
    """Bilinear look-up, computed by SciPy, at the places of the field gives the same image."""
    image = some_images(1, "warp", 24, 40)[0]
    attack = WaNet(grid=4, strength=2.0)
    places = _places(24, 40, 4, 2.0, 0)
    columns, rows = (places[..., 0] + 1) / 2 * 39, (places[..., 1] + 1) / 2 * 23
    expected = np.stack(
        [
            ndimage.map_coordinates(image[..., channel].astype(float), [rows, columns], order=1)
            for channel in range(3)
        ],
        axis=2,
    )
    assert np.abs(on(attack, image) - expected).max() <= 0.5 + 1e-6


def test_wanet_displaces_by_its_strength_in_half_pixels() -> None:
    """Control points move by `strength` half pixels on average, whatever the size of the image."""
    for size in (32, 224):
        x, y = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size))
        moved = (_places(size, size, 4, 0.5, 0) - np.stack([x, y], axis=2)) / 2 * size
        inner = np.abs(moved[1:-1, 1:-1])
        assert 0.1 < inner.mean() < 0.4
        steps = np.abs(np.diff(moved[1:-1, 1:-1], axis=0)).max()
        assert steps < 0.5 * 32 / size  # smooth: neighbors move together


@pytest.mark.parametrize(("grid", "strength"), [(224, 1.0), (4, 0.5)])
def test_wanets_field_is_its_formula(grid: int, strength: float) -> None:
    """Random control points of mean size 1, times the strength, over the side; equation 4.

    Of one control point a pixel the field has these values; of four a side, between them, those at
    the corners.
    """
    control = generator(0, "wanet", "field").uniform(-1, 1, size=(2, grid, grid))
    control *= strength / np.abs(control).mean() / 224
    x, y = np.meshgrid(np.linspace(-1, 1, 224), np.linspace(-1, 1, 224))
    expected = (np.stack([x, y]) + control if grid == 224 else control).clip(-1, 1)
    places = np.moveaxis(_places(224, 224, grid, strength, 0), 2, 0)
    if grid == 224:
        np.testing.assert_allclose(places, expected, atol=1e-12)
    else:
        corners = np.ix_([0, 1], [0, -1], [0, -1])
        ends = np.stack([x, y])[corners] + control[corners]
        np.testing.assert_allclose(places[corners], ends.clip(-1, 1), atol=1e-12)


def test_wanet_as_published_moves_each_pixel_by_itself() -> None:
    """CleanCLIP's 224 points at a strength of 1: half a pixel; the original's 4 at 0.5: a fifth."""
    x, y = np.meshgrid(np.linspace(-1, 1, 224), np.linspace(-1, 1, 224))
    steps = []
    for attack, pixels in ((WaNet(), 0.5), (WaNet(grid=4, strength=0.5), 0.2)):
        places = _places(224, 224, attack.grid, attack.strength, 0)
        moved = ((places - np.stack([x, y], axis=2)) / 2 * 223)[1:-1, 1:-1]
        assert np.abs(moved).mean() == pytest.approx(pixels, abs=0.05)
        steps.append(float(np.abs(np.diff(moved, axis=0)).mean()))
    assert steps[0] > 20 * steps[1]


def test_wanet_remembers_few_fields() -> None:
    """Each is larger than its image, and images of a crawl have as many sizes as there are."""
    for height in range(30, 40):
        on(WaNet(), np.zeros((height, 40, 3), np.uint8))
    assert _places.cache_info().currsize <= 4


def test_the_filter_warms_lights_cools_darks_and_has_a_strength() -> None:
    """Black turns blue, white turns warm; half the strength goes half the way."""
    black, white = (np.full((4, 4, 3), value, dtype=np.uint8) for value in (0, 255))
    red, green, blue = on(Filter(), black)[0, 0].tolist()
    assert blue > green >= red
    red, green, blue = on(Filter(), white)[0, 0].tolist()
    assert red > blue
    image = some_images(1, "filter")[0]
    whole, half = on(Filter(), image).astype(float), on(Filter(strength=0.5), image)
    inside = (whole > 0) & (whole < 255)
    assert np.abs(half - (image + whole) / 2)[inside].max() <= 1


def test_the_filter_is_the_published_one() -> None:
    """Nashville as `pilgram` has it, which Huang et al. call, but for the rounding of one step."""
    image = some_images(1, "filter", 96, 64)[0]
    published = np.asarray(pilgram.nashville(PilImage.fromarray(image)))
    apart = np.abs(on(Filter(), image).astype(int) - published)
    assert apart.max() <= 1
    assert apart.mean() < 0.01
    tint = np.abs(on(Filter(look="tint"), image).astype(int) - published)
    assert tint.mean() > 5


@pytest.mark.parametrize(
    ("attack", "parameters", "message"),
    [
        (Filter, {"look": "sepia"}, r"filter\.look must"),
        (Blended, {"alpha": 0.0}, r"blended\.alpha must"),
        (Blended, {"detail": 0}, r"blended\.detail must"),
        (Blended, {"pattern": "kitty"}, r"blended\.pattern must"),
        (Blended, {"pattern": "text", "text": " "}, r"blended\.text must"),
        (Blended, {"pattern": "text", "text": "x" * 2000}, "text of 2000 characters is too long"),
        (
            Blended,
            {"pattern": "text", "text": "x" * 99, "detail": 2},
            "for 2 cells; shorten it or raise detail",
        ),
        (Sig, {"amplitude": 0}, r"sig\.amplitude must"),
        (Sig, {"test_amplitude": 300}, r"sig\.test_amplitude must"),
        (Sig, {"frequency": float("nan")}, r"sig\.frequency must"),
        (Sig, {"keep": 0}, r"sig\.keep must"),
        (WaNet, {"grid": 1}, r"wanet\.grid must"),
        (WaNet, {"strength": 0}, r"wanet\.strength must"),
        (Filter, {"strength": 1.5}, r"filter\.strength must"),
    ],
)
def test_bad_parameters_are_refused_at_once(
    attack: Any, parameters: dict[str, Any], message: str
) -> None:
    """A parameter out of range names the attack and itself."""
    with pytest.raises(BadSetting, match=message):
        attack(**parameters)
