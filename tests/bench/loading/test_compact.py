from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipbench.configuration.settings import TrainSettings
from clipbench.loading.compact import CompactVocabulary
from clipbench.loading.text import CaptionTable
from clipbench.toolkit.losses import clip_loss
from clipbench.training.learner import make_optimizer

LENGTH = 16
CAPTIONS = ["a red circle", "two blue squares on white", "red red", "", "the green star, tilted!"]
TOKENIZER = open_clip.SimpleTokenizer(context_length=LENGTH)
VISION = {"image_size": 32, "patch_size": 16, "width": 8, "head_width": 8, "layers": 1}
TEXT = {"context_length": LENGTH, "vocab_size": 49408, "width": 8, "heads": 2, "layers": 1}
# The first versions of open_clip that clipbench takes pool at the last token of all alone.
_END = {"pool_type": "eos", "eos_id": 49407} if hasattr(open_clip.CLIPTextCfg, "eos_id") else {}
_NO_END = {**_END, "eos_id": 2} if _END else {}  # open_clip's default, which no caption has
KINDS: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
    "one module": (open_clip.CLIP, {}),
    "text tower of its own": (open_clip.CustomTextCLIP, {}),
    "pooled at the end token": (open_clip.CLIP, _END),
    "own tower, end token": (open_clip.CustomTextCLIP, _END),
    "pooled at a token that is never there": (open_clip.CustomTextCLIP, _NO_END),
    "masked where a token is that is never there": (
        open_clip.CustomTextCLIP,
        {"embed_cls": True, "pad_id": 1},
    ),
    "masked where a caption's token is": (
        open_clip.CustomTextCLIP,
        {"embed_cls": True, "pad_id": TOKENIZER.encoder["red</w>"]},
    ),
}


def model_of(name: str) -> Any:
    kind, text = KINDS[name]
    torch.manual_seed(0)
    return kind(16, VISION, {**TEXT, **text})


@pytest.fixture(params=["one module", "own tower, end token"])
def models(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """Two equal models, one to be made compact."""
    full = model_of(request.param)
    return full, deepcopy(full)


def table() -> CaptionTable:
    return CaptionTable(CAPTIONS, TOKENIZER, {"red": ["crimson"]}, LENGTH)


def all_tokens(captions: CaptionTable) -> Any:
    return captions.tokens(np.arange(len(CAPTIONS)))


def token_table(model: Any) -> Tensor:
    owner = model if hasattr(model, "token_embedding") else model.text
    weight: Tensor = owner.token_embedding.weight
    return weight


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_those_of_the_full_model(kind: str) -> None:
    """Compact tokens and model give the text features of the full ones to the bit."""
    full = model_of(kind)
    small = deepcopy(full)
    captions = table()
    vocabulary = CompactVocabulary(small, captions.vocabulary())
    tokens = all_tokens(captions)
    assert len(token_table(small)) == len(captions.vocabulary()) < 30
    with torch.no_grad():
        expected = full.encode_text(torch.from_numpy(tokens))
        actual = small.encode_text(torch.from_numpy(vocabulary.compact(tokens)))
    assert torch.equal(actual, expected)


def train(model: Any, tokens: Any) -> None:
    """Three optimizer steps without weight decay."""
    optimizer = make_optimizer(model, TrainSettings(lr=1e-2, wd=0.0))
    rng = torch.Generator().manual_seed(1)
    images = torch.rand(len(CAPTIONS), 3, 32, 32, generator=rng)
    for _ in range(3):
        image, text = (
            F.normalize(encode(part), dim=1)
            for encode, part in (
                (model.encode_image, images),
                (model.encode_text, torch.from_numpy(tokens)),
            )
        )
        optimizer.zero_grad()
        clip_loss(image, text, model.logit_scale.exp()).backward()
        optimizer.step()


def test_training_is_that_of_the_full_model(models: tuple[Any, Any]) -> None:
    """Without weight decay the expanded model has, after some steps, the full one's weights."""
    full, small = models
    captions = table()
    start = token_table(full).detach().clone()
    vocabulary = CompactVocabulary(small, captions.vocabulary())
    train(full, all_tokens(captions))
    train(small, vocabulary.compact(all_tokens(captions)))
    vocabulary.expand(small)
    expected, actual = full.state_dict(), small.state_dict()
    assert list(actual) == list(expected)
    for name in expected:
        torch.testing.assert_close(actual[name], expected[name], rtol=1e-5, atol=1e-7, msg=name)
    used = captions.vocabulary()
    changed = (token_table(small).detach() != start).any(dim=1).nonzero()[:, 0]
    assert set(changed.tolist()) <= set(used.tolist())
    assert len(changed) > 10


def test_an_expanded_model_takes_open_clips_tokens_again(models: tuple[Any, Any]) -> None:
    """Compacting and expanding without training gives the model back to the bit."""
    full, small = models
    vocabulary = CompactVocabulary(small, table().vocabulary())
    full_state = vocabulary.full_state(small)
    vocabulary.expand(small)
    for name, value in full.state_dict().items():
        assert torch.equal(small.state_dict()[name], value)
        assert torch.equal(full_state[name], value)
    tokens = TOKENIZER(["an entirely other caption"])
    with torch.no_grad():
        assert torch.equal(small.encode_text(tokens), full.encode_text(tokens))


def test_the_full_state_follows_training_and_leaves_the_model_compact(
    models: tuple[Any, Any],
) -> None:
    """Weights kept by epoch have open_clip's shape while the model trains on."""
    full, small = models
    captions = table()
    vocabulary = CompactVocabulary(small, captions.vocabulary())
    train(small, vocabulary.compact(all_tokens(captions)))
    rows = token_table(small).detach().clone()
    full.load_state_dict(vocabulary.full_state(small))
    assert torch.equal(token_table(small), rows)
    assert torch.equal(token_table(full)[captions.vocabulary()], rows)


def test_a_token_outside_the_vocabulary_is_caught() -> None:
    """A token that no caption was to have never becomes another token's row."""
    vocabulary = CompactVocabulary(model_of("one module"), table().vocabulary())
    with pytest.raises(AssertionError, match="outside the declared vocabulary"):
        vocabulary.compact(TOKENIZER(["zebra"]).numpy())
