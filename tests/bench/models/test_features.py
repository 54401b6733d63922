from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image as PillowImage
from torch import nn

from clipbench.contracts import Image
from clipbench.errors import BadInput, ClipbenchError
from clipbench.models.features import image_features, rank_of, similarity, text_features
from clipbench.rng import generator
from clipbench.system.arithmetic import computing

TOKENIZER = open_clip.SimpleTokenizer(context_length=24)


def make_model(**vision: Any) -> nn.Module:
    """A real two-tower open_clip model, small."""
    torch.manual_seed(0)
    tower = {"image_size": 32, "patch_size": 8, "width": 32, "head_width": 16, "layers": 1}
    text = {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    made: nn.Module = open_clip.CLIP(32, tower | vision, text)
    return made


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """A model that drops patches when in training mode, so that its mode matters."""
    return make_model(patch_dropout=0.5)


def some_images(count: int, height: int = 32, width: int = 32) -> Any:
    """Random pixels."""
    return generator(0, "images").integers(0, 256, (count, height, width, 3)).astype(np.uint8)


def reference(model: Any, images: Sequence[Image], **settings: Any) -> torch.Tensor:
    """Encode image by image with open_clip's own evaluation transform."""
    transform = open_clip.image_transform(32, is_train=False, **settings)
    model.eval()
    with torch.no_grad():
        pixels = [transform(PillowImage.fromarray(image))[None] for image in images]
        return torch.cat([model.encode_image(image, normalize=True) for image in pixels])


@pytest.mark.parametrize("shape", [(32, 32), (40, 40), (32, 48), (50, 20)])
def test_images_go_through_open_clips_evaluation_transform(
    model: nn.Module, shape: tuple[int, int]
) -> None:
    """Whether or not they have the model's size, images are prepared as open_clip does."""
    images = some_images(5, *shape)
    torch.testing.assert_close(
        image_features(model, images, batch_size=3), reference(model, images), atol=1e-6, rtol=0
    )


def test_images_of_mixed_sizes_fit_in_one_batch(model: nn.Module) -> None:
    """A sequence may hold images of any sizes."""
    images = [some_images(1, side, side)[0] for side in (32, 33, 20)]
    torch.testing.assert_close(
        image_features(model, images), reference(model, images), atol=1e-6, rtol=0
    )


def test_the_models_own_preprocessing_is_used() -> None:
    """A model with another mean, deviation, interpolation and resizing is evaluated with those."""
    own = make_model()
    settings = {
        "mean": (0.5, 0.4, 0.3),
        "std": (0.2, 0.3, 0.4),
        "interpolation": "bilinear",
        "resize_mode": "squash",
    }
    open_clip.set_model_preprocess_cfg(own, {"size": 32, **settings})
    for images in (some_images(4), some_images(4, 48, 40)):
        expected = reference(own, images, **settings)
        torch.testing.assert_close(image_features(own, images), expected, atol=1e-6, rtol=0)
        assert (reference(own, images) - expected).abs().max() > 1e-3


@pytest.mark.parametrize("batch_size", [1, 7, 24])
def test_the_batch_size_does_not_matter(model: nn.Module, batch_size: int) -> None:
    """Features of any batch size agree within a millionth."""
    images, texts = some_images(24), [f"the number {n}" for n in range(24)]
    torch.testing.assert_close(
        image_features(model, images, batch_size=batch_size),
        image_features(model, images),
        atol=1e-6,
        rtol=0,
    )
    torch.testing.assert_close(
        text_features(model, TOKENIZER, texts, batch_size=batch_size),
        text_features(model, TOKENIZER, texts),
        atol=1e-6,
        rtol=0,
    )


def test_lists_arrays_and_lazy_sequences_give_the_same(model: nn.Module) -> None:
    """What holds the images does not matter, as long as it has a length and items."""

    class Lazy(Sequence[Image]):
        """Decodes on access."""

        def __len__(self) -> int:
            return 10

        def __getitem__(self, index: Any) -> Any:
            if not 0 <= index < 10:
                raise IndexError(index)
            return some_images(10)[index]

    expected = image_features(model, some_images(10), batch_size=4)
    assert torch.equal(image_features(model, list(some_images(10)), batch_size=4), expected)
    assert torch.equal(image_features(model, Lazy(), batch_size=4), expected)


def test_features_are_unit_float32_without_gradient(model: nn.Module) -> None:
    """Both towers give unit rows on the CPU, detached."""
    for features in (
        image_features(model, some_images(3)),
        text_features(model, TOKENIZER, ["one", "two", "three"]),
    ):
        assert features.dtype == torch.float32
        assert features.shape == (3, 32)
        assert not features.requires_grad
        torch.testing.assert_close(features.norm(dim=1), torch.ones(3))


def test_equal_texts_have_equal_features_and_are_encoded_once(model: nn.Module) -> None:
    """Duplicates can't be told apart by rounding noise, and cost nothing."""
    asked: list[str] = []

    def tokenizer(texts: list[str]) -> torch.Tensor:
        asked.extend(texts)
        tokens: torch.Tensor = TOKENIZER(texts)
        return tokens

    texts = ["a cat", "a dog", "a cat", "a bird", "a dog"]
    features = text_features(model, tokenizer, texts, batch_size=2)
    assert asked == ["a cat", "a dog", "a bird"]
    assert torch.equal(features[0], features[2])
    assert torch.equal(features[1], features[4])
    alone = text_features(model, TOKENIZER, ["a bird"])
    torch.testing.assert_close(features[3], alone[0], atol=1e-6, rtol=0)


def test_the_models_mode_is_restored_module_by_module(model: nn.Module) -> None:
    """A training model with a frozen part is evaluated as a whole and comes back as it was."""
    model.train()
    model.get_submodule("transformer").eval()
    before = {name: module.training for name, module in model.named_modules()}
    first, second = (image_features(model, some_images(4)) for _ in range(2))
    assert torch.equal(first, second)  # patch dropout is off
    assert {name: module.training for name, module in model.named_modules()} == before


def test_a_surrounding_autocast_changes_nothing(model: nn.Module) -> None:
    """Features are computed in float32, whatever precision the caller trains in."""
    expected = image_features(model, some_images(4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(image_features(model, some_images(4)), expected)


def test_evaluation_multiplies_in_fp32(model: nn.Module) -> None:
    """Torch rounds convolutions to TF32 on GPUs unless told not to, and a caller more than that."""
    seen: set[tuple[bool, bool]] = set()

    def note(*_: Any) -> None:
        seen.add((torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32))

    visual: Any = model.visual
    hook = visual.register_forward_hook(note)
    with computing("tf32"):
        image_features(model, some_images(2))
    hook.remove()
    assert seen == {(False, False)}


def test_progress_is_reported_to_the_end(model: nn.Module) -> None:
    """The last report says that all images are done."""
    reports: list[tuple[str, int, int]] = []
    image_features(
        model, some_images(5), batch_size=2, progress=lambda *report: reports.append(report)
    )
    assert [done for _, done, _ in reports] == [0, 2, 4, 5]
    assert {total for *_, total in reports} == {5}


def test_a_model_that_diverged_is_an_error() -> None:
    """NaN is larger than nothing and smaller than nothing; it must never pass for a result."""
    broken: Any = make_model()
    with torch.no_grad():
        broken.visual.proj.fill_(torch.nan)
    with pytest.raises(ClipbenchError, match="diverged"):
        image_features(broken, some_images(2))
    with pytest.raises(ClipbenchError, match="diverged"):
        rank_of(torch.full((2, 3), torch.nan), torch.zeros(2, dtype=torch.int64))


@pytest.mark.parametrize("image", [np.zeros((32, 32, 3), np.float32), np.zeros((32, 32), np.uint8)])
def test_images_of_another_kind_are_an_error(model: nn.Module, image: Any) -> None:
    """Floats and gray images are refused with their number."""
    with pytest.raises(BadInput, match="Test image 1 is"):
        image_features(model, [some_images(1)[0], image])


def test_nothing_to_encode_is_an_error(model: nn.Module) -> None:
    """An empty test set has no metrics."""
    with pytest.raises(BadInput, match="nothing to evaluate"):
        image_features(model, [])


def test_similarity_is_the_cosine_and_equal_columns_tie() -> None:
    """Equal features are equally similar wherever they stand, for sizes that kernels split."""
    rows = torch.nn.functional.normalize(torch.randn(37, 33), dim=1)
    columns = torch.nn.functional.normalize(torch.randn(1, 33), dim=1).expand(1027, -1)
    scores = similarity(rows, columns)
    assert scores.dtype == torch.float32
    assert (scores == scores[:, :1]).all()
    torch.testing.assert_close(scores[:, 0], rows @ columns[0], atol=1e-6, rtol=0)


def test_rank_counts_better_candidates_and_earlier_equals() -> None:
    """Rank 0 is best; of equal scores the earlier candidate comes first."""
    scores = torch.tensor([[0.1, 0.5, 0.5, 0.9]] * 4)
    assert rank_of(scores, torch.arange(4)).tolist() == [3, 1, 2, 0]
