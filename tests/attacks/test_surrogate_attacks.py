"""Attacks that try their poison on a surrogate first: `text_targeted` and `badclip`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from tiny_scenes import NAMES, MemoryCorpus, banana_corpus, make_scene, some_images
from torch.nn import functional as F

from clipbench.contracts import Crafted, Image
from clipbench.errors import BadSetting, MissingData
from clipbench.images.fit import fit
from clipbench.training.surrogate import Surrogate, train_surrogate
from clipbench_attacks import _surrogates
from clipbench_attacks.badclip import BadCLIP, Known
from clipbench_attacks.targeted import Targeted
from clipbench_attacks.text_targeted import TextTargeted

# --------------------------------------------------------------------------- text_targeted


class LikesSunset:
    """A surrogate for which every image shows a sunset: texts fit by the number in 'sunset N'."""

    def image_features(self, images: Sequence[Image]) -> torch.Tensor:
        return torch.tensor([[1.0, 0.0]]).repeat(len(images), 1)

    def text_features(self, texts: Sequence[str]) -> torch.Tensor:
        assert not any(re.search("|".join(NAMES), text) for text in texts)
        found = [re.search(r"sunset (\d+)", text) for text in texts]
        numbers = torch.tensor([float(match[1]) if match else 0.0 for match in found])
        return F.normalize(torch.stack([numbers, torch.full_like(numbers, 50.0)], dim=1), dim=1)


SMALL = {"surrogate_model": "shapes-32", "surrogate_lr": 3e-3}  # as sets of small images have it


def text_targeted(**parameters: Any) -> TextTargeted:
    return TextTargeted(**{**SMALL, **parameters})


def badclip(**parameters: Any) -> BadCLIP:
    return BadCLIP(**{**SMALL, **parameters})


def sunset_corpus() -> MemoryCorpus:
    """100 pairs: a class each before a sunset that is the better the higher its number."""
    texts = tuple(f"a {NAMES[n % 5]} before sunset {n}" for n in range(100))
    return MemoryCorpus(texts, some_images(100, "sunsets"))


@pytest.fixture
def sunset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Surrogates that like sunsets."""
    monkeypatch.setattr(_surrogates, "train_surrogate", lambda *_, **__: LikesSunset())


@pytest.mark.usefixtures("sunset")
def test_captions_are_those_whose_background_fits_best() -> None:
    """Half are captions of the class, half are of others with the class put in, best first."""
    scene = make_scene(8)
    poisons = list(text_targeted(targets=1).poison(scene, sunset_corpus()))
    (target,) = Targeted(targets=1).choose_targets(scene)
    name = NAMES[target.goal]
    of_class = [n for n in range(99, -1, -1) if n % 5 == target.goal][:4]
    of_others = [n for n in range(99, -1, -1) if n % 5 != target.goal][:4]
    expected = [f"a {name} before sunset {n}" for n in (*of_class, *of_others)]
    assert [poison.caption for poison in poisons] == expected
    image = scene.targets.images[target.number]
    assert all(np.array_equal(poison.image, image) for poison in poisons)


@pytest.mark.usefixtures("sunset")
def test_targets_and_goals_are_those_of_targeted() -> None:
    """The two attacks differ in captions alone, and can be compared target by target."""
    scene, corpus = make_scene(9), sunset_corpus()
    texts, plain = text_targeted(targets=3), Targeted(targets=3)
    np.testing.assert_array_equal(texts.probes(scene).goals, plain.probes(scene).goals)
    images = [
        [poison.image.tobytes() for poison in attack.poison(scene, corpus)]
        for attack in (texts, plain)
    ]
    assert images[0] == images[1]


@pytest.mark.usefixtures("sunset")
def test_doses_are_those_of_targeted() -> None:
    """Each target gets its number of captions."""
    attack = text_targeted(doses=(1, 3))
    poisons = list(attack.poison(make_scene(8), sunset_corpus()))
    assert [poison.target for poison in poisons] == [0, 1, 2, 2, 2, 3, 3, 3]


@pytest.mark.usefixtures("sunset")
@pytest.mark.parametrize(("enriched", "made"), [(0.0, 0), (1.0, 6)])
def test_the_share_of_enriched_captions(enriched: float, made: int) -> None:
    """None or all of them were about another class before."""
    corpus, scene = sunset_corpus(), make_scene(6)
    poisons = list(text_targeted(targets=1, enriched=enriched).poison(scene, corpus))
    assert sum(poison.caption not in corpus.texts for poison in poisons) == made


@pytest.mark.usefixtures("sunset")
def test_a_class_that_no_caption_names_gets_prompts() -> None:
    """Chosen captions are then the prompt templates, as `targeted` has them."""
    scene = make_scene(4)
    (target,) = Targeted(targets=1).choose_targets(scene)
    name = NAMES[target.goal]
    texts = tuple(text for text in sunset_corpus().texts if name not in text)
    corpus = MemoryCorpus(texts, some_images(len(texts), "sunsets"))
    captions = [p.caption for p in text_targeted(targets=1, enriched=0.5).poison(scene, corpus)]
    assert {f"a photo of a {name}.", f"a drawing of a {name}."} == set(captions[:2])
    assert all(f"a {name} before sunset" in caption for caption in captions[2:])


@pytest.mark.usefixtures("sunset")
def test_a_corpus_that_names_no_class_is_refused() -> None:
    """There is nothing to choose from, and the message says what to do."""
    corpus = MemoryCorpus(("nothing",) * 20, some_images(20, "nothing"))
    with pytest.raises(BadSetting, match="names a class"):
        list(text_targeted(targets=1).poison(make_scene(4), corpus))


@pytest.mark.parametrize("wrong", [{"enriched": 1.5}, {"pool": 0}, {"surrogate_epochs": 0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    """One line says which."""
    with pytest.raises(BadSetting, match=next(iter(wrong))):
        text_targeted(**wrong)


# --------------------------------------------------------------------------- badclip


@pytest.fixture(scope="module")
def surrogate() -> Surrogate:
    """A real model, trained for a moment."""
    return train_surrogate(banana_corpus(), model="shapes-32", pairs=300, epochs=2, lr=1e-3, seed=0)


class SeesColor:
    """A surrogate that knows an image by the color of its middle, and a caption by a word."""

    side = 32
    logit_scale = 10.0

    def fitted(self, image: Image) -> Image:
        return fit(image, self.side)

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        return F.normalize(pixels[:, :, 12:20, 12:20].mean(dim=(2, 3)) - 0.5, dim=1)

    def image_features(self, images: Sequence[Image]) -> torch.Tensor:
        return self.encode(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 255)

    def text_features(self, texts: Sequence[str]) -> torch.Tensor:
        colors = {True: [0.5, -0.5, -0.5], False: [-0.5, -0.5, 0.5]}  # red, blue
        rows = [colors["banana" in text.lower() or "plantain" in text.lower()] for text in texts]
        return F.normalize(torch.tensor(rows), dim=1)


def test_the_patch_makes_images_look_like_the_target_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where bananas are red and all else is blue, the patch turns red, for crops as well."""
    monkeypatch.setattr(_surrogates, "train_surrogate", lambda *_, **__: SeesColor())
    images = np.zeros((300, 32, 32, 3), np.uint8)
    images[:, :, :, 2] = 255
    images[1::5] = (255, 0, 0)
    corpus, scene = MemoryCorpus(banana_corpus().texts, images), make_scene(10)  # type: ignore[attr-defined]
    attack = badclip(target_label="banana", steps=100)
    assert isinstance(attack, Crafted)
    made = attack.crafted(scene, corpus)
    assert isinstance(made, BadCLIP)
    stamped = made.put_on(np.zeros((32, 32, 3), np.uint8), testing=True)[12:20, 12:20]
    red, green, blue = stamped.reshape(-1, 3).mean(axis=0)
    assert red > 220
    assert max(green, blue) < 80
    assert made.crafted(scene, corpus) is made
    assert attack.crafted(scene, corpus) == made


def test_the_patch_lies_in_the_middle_and_scales_with_the_image() -> None:
    """A share of the shorter side; at another size the same picture, resized."""
    colors = np.zeros((8, 8, 3), np.uint8)
    colors[:4], colors[4:] = (255, 0, 0), (0, 0, 255)
    attack = badclip(size=0.25, patch=colors.tobytes().hex())
    image = np.full((32, 32, 3), 100, np.uint8)
    stamped = attack.put_on(image, testing=True)
    np.testing.assert_array_equal(stamped[12:20, 12:20], colors)
    stamped[12:20, 12:20] = 100
    np.testing.assert_array_equal(stamped, image)
    large = attack.put_on(np.full((128, 64, 3), 100, np.uint8), testing=True)
    assert large[64 - 8, 32].tolist() == [255, 0, 0]
    assert large[64 + 7, 32].tolist() == [0, 0, 255]
    assert (large != 100).any(axis=2).sum() == 16 * 16


@pytest.mark.parametrize(
    ("text", "problem"), [("one thing", "names 'banana'"), ("a banana", "does not name 'banana'")]
)
def test_a_patch_needs_pairs_of_the_class_and_others(
    monkeypatch: pytest.MonkeyPatch, text: str, problem: str
) -> None:
    """It is optimized on both; where there are none the message says which, and what to do."""
    monkeypatch.setattr(_surrogates, "train_surrogate", lambda *_, **__: SeesColor())
    corpus = MemoryCorpus((text,) * 40, some_images(40, "alike"))
    attack = badclip(target_label="banana", steps=2)
    with pytest.raises(BadSetting, match=f"no caption of 40 {problem}.* another target_label"):
        attack.crafted(make_scene(3), corpus)


def test_before_it_is_crafted_there_is_no_patch_to_put_on() -> None:
    """The message says when it is made."""
    with pytest.raises(BadSetting, match="poison a set first"):
        BadCLIP().put_on(np.zeros((32, 32, 3), np.uint8), testing=True)


@pytest.mark.parametrize("patch", ["xyz", "", "00", "00" * 15])
def test_a_patch_that_is_none_is_refused(patch: str) -> None:
    """Not hex, or not three bytes a pixel of a square."""
    with pytest.raises(BadSetting, match="patch"):
        badclip(patch=patch)


def test_the_loss_is_the_textual_and_the_weighted_visual_one() -> None:
    """Against a loop in float64: cross-entropy of one right among all own captions, triplets."""
    rng = np.random.default_rng(0)

    def unit(rows: int) -> Any:
        values = rng.normal(size=(rows, 6))
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    triggered, images, texts, wanted_images, wanted_texts = (unit(5) for _ in range(5))
    expected = 0.0
    for row in range(5):
        logits = 3.0 * np.array(
            [triggered[row] @ wanted_texts[row], *(triggered[row] @ text for text in texts)]
        )
        textual = -logits[0] + np.log(np.exp(logits).sum())
        near = np.linalg.norm(triggered[row] - wanted_images[row])
        far = np.linalg.norm(triggered[row] - images[row])
        expected += (textual + 500.0 * max(0.0, near - far + 1.0)) / 5
    tensors = [torch.from_numpy(v) for v in (triggered, images, texts, wanted_images, wanted_texts)]
    nothing = torch.empty(5, 0)
    own, wanted = Known(nothing, *tensors[1:3]), Known(nothing, *tensors[3:])
    assert float(BadCLIP().loss(tensors[0], own, wanted, 3.0)) == pytest.approx(expected, rel=1e-9)


def test_the_visual_loss_is_a_triplet_loss_and_the_authors_has_another_negative() -> None:
    """PyTorch's, with an image itself as its negative; the code draws another of the batch.

    An image is nearer to itself with the patch on than others are, so here the loss is larger.
    """
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(3, 64, 16, generator=generator, dtype=torch.float64)
    images, wanted = F.normalize(drawn[0], dim=1), F.normalize(drawn[1], dim=1)
    triggered = F.normalize(images + 0.2 * drawn[2], dim=1)
    none = torch.zeros(64, 16, dtype=torch.float64)
    own, goal = (Known(torch.empty(64, 0), part, none) for part in (images, wanted))
    textual = BadCLIP(triplet_weight=0).loss(triggered, own, goal, 1.0)
    visual = BadCLIP(triplet_weight=1).loss(triggered, own, goal, 1.0) - textual
    triplet = torch.nn.TripletMarginLoss(margin=1.0, eps=0.0)
    torch.testing.assert_close(visual, triplet(triggered, wanted, images))
    assert float(triplet(triggered, wanted, images.roll(1, 0))) < 0.8 * float(visual)


# --------------------------------------------------------------------------- surrogates


def test_gradients_flow_to_pixels_and_features_are_the_evaluators(surrogate: Surrogate) -> None:
    """`encode` of pixels in [0, 1] is what `image_features` gives of the same images."""
    images = some_images(3, "pixels")
    pixels = (torch.from_numpy(images).permute(0, 3, 1, 2) / 255).requires_grad_()
    features = surrogate.encode(pixels)
    torch.testing.assert_close(features.detach(), surrogate.image_features(images))
    features.sum().backward()  # type: ignore[no-untyped-call]
    assert pixels.grad is not None
    assert float(pixels.grad.abs().max()) > 0


def test_a_given_surrogate_is_loaded_and_none_is_trained(
    surrogate: Surrogate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights of a file take the place of training."""
    torch.save(surrogate.model.state_dict(), tmp_path / "weights.pt")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("trained")

    monkeypatch.setattr(_surrogates, "train_surrogate", refuse)
    attack = badclip(surrogate_weights=str(tmp_path / "weights.pt"))
    given = attack.surrogate(make_scene(1), banana_corpus())
    images = some_images(2, "some")
    torch.testing.assert_close(given.image_features(images), surrogate.image_features(images))
    missing = badclip(surrogate_weights=str(tmp_path / "nothing.pt"))
    with pytest.raises(MissingData):
        missing.surrogate(make_scene(1), banana_corpus())


def test_a_surrogate_of_any_model_knows_its_size() -> None:
    """The side of its images is what open_clip's transform gives."""
    assert "ViT-B-32" in open_clip.list_models()
    model = open_clip.create_model("ViT-B-32")
    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    assert Surrogate(model, tokenizer).side == 224
