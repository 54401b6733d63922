"""A surrogate learns from the corpus what goes with what, and is a function of its seed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from clipbench.contracts import Image
from clipbench.errors import BadSetting, UnknownName
from clipbench.training.surrogate import Surrogate, train_surrogate
from clipbench_datasets.shapes import Shapes

COUNT = 768


class Drawn:
    """The first training pairs, in memory."""

    def __init__(self) -> None:
        self._images, _, self._captions = Shapes().arrays("train", 0, COUNT)

    def __len__(self) -> int:
        return COUNT

    def caption(self, index: int) -> str:
        """Return a caption."""
        return self._captions[index]

    def image(self, index: int) -> Image:
        """Return an image."""
        return self._images[index]


@pytest.fixture(scope="module")
def corpus() -> Drawn:
    """Return the pairs."""
    return Drawn()


def trained(corpus: Drawn, seed: int = 0, epochs: int = 4) -> Surrogate:
    return train_surrogate(
        corpus, model="shapes-32", pairs=COUNT, epochs=epochs, lr=3e-3, seed=seed
    )


def test_it_learns_which_captions_go_with_which_images(corpus: Drawn) -> None:
    """After a few passes a pair is more alike than images and captions of different pairs."""
    surrogate = trained(corpus, epochs=12)
    numbers = range(200)
    images = surrogate.image_features([corpus.image(number) for number in numbers])
    texts = surrogate.text_features([corpus.caption(number) for number in numbers])
    own = (images * texts).sum(dim=1)
    other = (images * texts.roll(7, dims=0)).sum(dim=1)
    assert images.shape == texts.shape
    torch.testing.assert_close(images.norm(dim=1), torch.ones(200))
    assert (own > other).float().mean() > 0.75


def test_it_is_a_function_of_its_seed(corpus: Drawn) -> None:
    """The same seed gives the same features, another one others."""
    image = [corpus.image(0)]
    one, same, other = (trained(corpus, seed, epochs=1).image_features(image) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.allclose(one, other)


class Elsewhere(torch.nn.Module):
    """A network on a device that is not the CPU: `meta`, which every machine has."""

    def __init__(self) -> None:
        super().__init__()
        self.visual = SimpleNamespace(image_size=32, image_mean=(0.5,) * 3, image_std=(0.5,) * 3)
        self.weight = torch.nn.Parameter(torch.zeros(1, device="meta"))
        self.seen: list[str] = []

    def encode_image(self, pixels: torch.Tensor, normalize: bool) -> torch.Tensor:
        """Note where pixels are; give features of the CPU, for those of `meta` can't leave it."""
        assert normalize
        self.seen.append(pixels.device.type)
        return torch.ones(len(pixels), 4)


def test_pixels_go_where_its_model_is() -> None:
    """A model that was trained on a GPU gets pixels there, and features come back."""
    network = Elsewhere()
    tokenizer: Any = None
    features = Surrogate(network, tokenizer).encode(torch.zeros(2, 3, 32, 32))
    assert network.seen == ["meta"]
    assert features.device.type == "cpu"


def test_what_cannot_be_trained_is_refused(corpus: Drawn) -> None:
    """One pair has no contrast; a model must exist."""
    with pytest.raises(BadSetting, match="2 pairs and 1 epoch"):
        train_surrogate(corpus, model="shapes-32", pairs=1, epochs=1, lr=1e-3, seed=0)
    with pytest.raises(UnknownName, match="shapes-32"):
        train_surrogate(corpus, model="shapes-31", pairs=9, epochs=1, lr=1e-3, seed=0)
