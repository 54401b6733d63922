"""The towers that papers train, on torch's fake CUDA tensors: shapes, devices and formats alone.

Nothing is computed, so that whole models pass in a second; operations are torch's own, below its
Python functions, with the autocasting that CUDA has.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import open_clip
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.modules.batchnorm import _BatchNorm

from clipbench.contracts import IntArray
from clipbench.loading.augment import ImageAugmentation, drawn
from clipbench.loading.pairs import Batch
from clipbench.loading.resident import ResidentSquares
from clipbench.parallel.batchnorm import synchronize_batch_norm
from clipbench.parallel.group import Processes
from clipbench.rng import RowStreams
from clipbench.toolkit.losses import clip_loss
from clipbench.toolkit.pool import NearestNeighborPool
from clipbench.training.encoder import Encoder

CUDA = torch.device("cuda:0")
ROWS = 4


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fake tensors, and autocast that believes in them."""
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)  # which fakes can't be
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def tower(name: str) -> nn.Module:
    """A model of open_clip's on fake CUDA, in the memory format that training gives it."""
    config = open_clip.get_model_config(name)
    with CUDA:
        model: nn.Module = open_clip.CLIP(**config, output_dict=True)
    for module in model.modules():  # `Module.to` can't swap fake parameters
        if isinstance(module, nn.Conv2d):
            weight = torch.empty_like(module.weight, memory_format=torch.channels_last)
            module.weight = nn.Parameter(weight)
    return model


class Squares:
    """Squares in memory."""

    def __init__(self, pixels: npt.NDArray[np.uint8]) -> None:
        self._pixels = pixels

    def __len__(self) -> int:
        return len(self._pixels)

    def gather(self, indices: IntArray) -> npt.NDArray[np.uint8]:
        return self._pixels[indices]


def batch(model: Any, views: int) -> Batch:
    side, length = model.visual.image_size, model.context_length
    side = side if isinstance(side, int) else side[0]
    images = torch.empty(views, ROWS, 3, side, side, dtype=torch.uint8, device=CUDA)
    return Batch(images, torch.zeros(views, ROWS, length, dtype=torch.int64, device=CUDA), ROWS)


@pytest.mark.parametrize(
    ("name", "precision"), [("RN50", "bf16"), ("ViT-B-32", "bf16"), ("ViT-B-32", "fp32")]
)
@pytest.mark.usefixtures("fake")
def test_a_tower_and_its_loss_stay_on_the_gpu(name: str, precision: str) -> None:
    """Features and loss are float32 on the device, whatever the towers compute in."""
    model = tower(name)
    encoder = Encoder(model, Processes(device=CUDA), precision)
    seen: set[torch.dtype] = set()
    convolution: Any = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    convolution.register_forward_hook(lambda *call: seen.add(call[-1].dtype))
    features = encoder.features(batch(model, 2), 1)
    loss = clip_loss(features.image[1], features.text[1], features.logit_scale)
    assert (loss.device, loss.dtype, features.image.dtype) == (CUDA, torch.float32, torch.float32)
    assert features.image.shape == (2, ROWS, 1024 if name == "RN50" else 512)
    assert loss.requires_grad
    assert seen == {torch.bfloat16 if precision == "bf16" else torch.float32}


@pytest.mark.usefixtures("fake")
def test_scoring_stays_on_the_gpu() -> None:
    """Features of whole pairs, as they are and of unit length."""
    model = tower("RN50").eval()
    encoder, given = Encoder(model, Processes(device=CUDA), "bf16"), batch(model, 1)
    for unit in (True, False):
        with torch.no_grad():
            image, text = encoder.encode(given.images[0], given.tokens[0], unit=unit)
        assert (image.device, text.device) == (CUDA, CUDA)
        assert (image * text).sum(dim=1).dtype == torch.float32


@pytest.mark.usefixtures("fake")
def test_views_are_made_on_the_gpu() -> None:
    """Both ways: crops of squares, and colors of crops that were cut elsewhere."""
    augmentation = ImageAugmentation(0.5, 1.5, 0.5, 0.4, 0.2, 0.5)
    draws = drawn(RowStreams.named(0, "views", keys=np.arange(ROWS)))
    squares: Tensor = torch.empty(ROWS, 3, 32, 32, device=CUDA)
    crops = torch.empty(ROWS, 3, 32, 32, device=CUDA, dtype=torch.uint8)
    assert augmentation.apply(squares, draws).device == CUDA
    assert augmentation.apply_to_crops(crops, draws).device == CUDA


@pytest.mark.usefixtures("fake")
def test_a_pool_stays_on_the_gpu() -> None:
    """It answers and stores where the features are."""
    pool = NearestNeighborPool(64, 16, 0, "image", CUDA)
    found = pool.nearest(torch.empty(8, 16, device=CUDA))
    pool.push(found)
    pool.load_state_dict(pool.state_dict())
    assert (found.device, pool.features.device) == (CUDA, CUDA)


@pytest.mark.usefixtures("fake")
def test_squares_that_lie_on_the_gpu_are_looked_up_there() -> None:
    """A batch brings numbers of pairs and leaves with pixels, channels last."""
    pixels = np.zeros((9, 32, 32, 3), np.uint8)
    squares = ResidentSquares(Squares(pixels), 32, CUDA)
    found = squares.at(torch.zeros(ROWS, dtype=torch.int64, device=CUDA))
    assert (found.device, found.dtype) == (CUDA, torch.uint8)
    assert found.shape == (ROWS, 3, 32, 32)
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.usefixtures("fake")
def test_batch_norms_of_several_gpus_are_torchs_own() -> None:
    """They make fewer passes over memory; names of weights, and so checkpoints, stay."""
    model = tower("RN50")
    names = list(model.state_dict())
    synchronize_batch_norm(model)
    assert list(model.state_dict()) == names
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    assert norms
    assert all(isinstance(module, nn.SyncBatchNorm) for module in norms)
