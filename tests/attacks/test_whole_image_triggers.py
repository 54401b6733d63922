"""Triggers that change the whole image: blended, sig, wanet, filter, by their formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pilgram
import pytest
from PIL import Image as PilImage
from scipy import ndimage
from tiny_scenes import banana_corpus, make_scene, some_images

from clipbench.contracts import Image
from clipbench.errors import BadSetting
from clipbench_attacks._backdoor import DirtyLabel
from clipbench_attacks.blended import Blended
from clipbench_attacks.filter import Filter
from clipbench_attacks.sig import Sig
from clipbench_attacks.wanet import WaNet, _places

GREY = np.full((32, 32, 3), 100, dtype=np.uint8)
EVERY = [
    Blended(),
    Blended(pattern="stripes"),
    Blended(pattern="triangles"),
    Blended(pattern="text"),
    Sig(),
    WaNet(),
    Filter(),
    Filter(look="tint"),
]


def on(attack: DirtyLabel, image: Image) -> Image:
    return attack.put_on(image, testing=True)


@pytest.mark.parametrize("attack", EVERY, ids=repr)
def test_a_trigger_is_clipped_never_wrapped(attack: DirtyLabel) -> None:
    """Near black and white, values move by no more than on grey: none jumps to the other end."""
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
    pattern = on(Blended(alpha=1.0), image).astype(float)
    np.testing.assert_array_equal(pattern, on(Blended(alpha=1.0), GREY))
    mixed = 0.8 * image + 0.2 * pattern
    assert np.abs(on(Blended(), image) - mixed).max() <= 0.5 + 1e-9
    assert pattern.std() > 60


@pytest.mark.parametrize(
    ("pattern", "alpha"), [("noise", 0.2), ("stripes", 0.03), ("triangles", 0.15), ("text", 0.5)]
)
def test_each_pattern_has_its_papers_alpha(pattern: Any, alpha: float) -> None:
    """Without alpha the mixture is that of the paper which the pattern is from."""
    np.testing.assert_array_equal(
        on(Blended(pattern=pattern), GREY), on(Blended(pattern=pattern, alpha=alpha), GREY)
    )


def test_a_pattern_looks_alike_at_every_size() -> None:
    """At 224 pixels the noise is that of 32 pixels, larger."""
    small = on(Blended(alpha=1.0), GREY).astype(float)
    large = on(Blended(alpha=1.0), np.full((224, 224, 3), 9, dtype=np.uint8))
    centres = large[3::7, 3::7]
    assert np.abs(centres - small).max() <= 1


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


def test_sig_may_be_stronger_in_testing_and_may_keep_captions() -> None:
    """The paper's attacker raises the amplitude at test time and poisons the target class alone."""
    attack = Sig(amplitude=20, test_amplitude=60, clean_label=True, target_label="banana")
    trained, tested = (attack.put_on(GREY, testing=testing) for testing in (False, True))
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
    attack = WaNet(strength=2.0)
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
        assert steps < 0.5 * 32 / size  # smooth: neighbours move together


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
        (Filter, {"look": "sepia"}, "filter: look must"),
        (Blended, {"alpha": 0.0}, "blended: alpha must"),
        (Blended, {"detail": 0}, "blended: detail must"),
        (Blended, {"pattern": "kitty"}, "blended: pattern must"),
        (Blended, {"pattern": "text", "text": " "}, "blended: text must"),
        (Blended, {"pattern": "text", "text": "x" * 2000}, "text of 2000 letters is too long"),
        (
            Blended,
            {"pattern": "text", "text": "x" * 99, "detail": 2},
            "in 2 cells; shorten it or raise detail",
        ),
        (Sig, {"amplitude": 0}, "sig: amplitude must"),
        (Sig, {"test_amplitude": 300}, "sig: test_amplitude must"),
        (Sig, {"frequency": float("nan")}, "sig: frequency must"),
        (WaNet, {"grid": 1}, "wanet: grid must"),
        (WaNet, {"strength": 0}, "wanet: strength must"),
        (Filter, {"strength": 1.5}, "filter: strength must"),
    ],
)
def test_bad_parameters_are_refused_at_once(
    attack: Any, parameters: dict[str, Any], message: str
) -> None:
    """A parameter out of range names the attack and itself."""
    with pytest.raises(BadSetting, match=message):
        attack(**parameters)
