"""Scores by a model that others trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image as Pil
from tiny_training import LENGTH, SIDE, Images, tiny_model

from clipbench.errors import CorruptData
from clipbench.parallel.group import Processes
from clipbench.training import released
from clipbench.training.released import released_similarity


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Return a model's configuration and weights, as somebody released them."""
    folder = tmp_path_factory.mktemp("released")
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": SIDE, "layers": [1, 1, 1, 1], "width": 8, "head_width": 64},
        "text_cfg": {"context_length": LENGTH, "vocab_size": 49408, "width": 16, "heads": 2,
                     "layers": 1},
    }  # fmt: skip
    (folder / "tiny.json").write_text(json.dumps(config))
    torch.save(tiny_model(3).state_dict(), folder / "weights.pt")
    return str(folder / "tiny.json"), str(folder / "weights.pt")


def pairs(count: int) -> Images:
    images = np.random.default_rng(0).integers(0, 256, (count, 40, 56, 3), dtype=np.uint8)
    return Images(images, [f"picture number {number % 7}" for number in range(count)])


def by_open_clip(source: Images, **preprocessing: Any) -> torch.Tensor:
    """Return the similarities of all pairs, through open_clip's own transform and tokenizer."""
    network, numbers = tiny_model(3).eval(), range(len(source))
    transform = open_clip.image_transform(SIDE, is_train=False, **preprocessing)
    tokens = open_clip.SimpleTokenizer(context_length=LENGTH)(source.captions(numbers))
    pixels = torch.stack([transform(Pil.fromarray(source.image(n))) for n in numbers])
    with torch.no_grad():
        images = network.encode_image(pixels, normalize=True)
        texts = network.encode_text(tokens, normalize=True)
    return (images * texts).sum(dim=1)


def test_pairs_are_scored_as_open_clip_scores_them(
    model: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In blocks or not; images of any size go through open_clip's own transform."""
    source = pairs(11)
    found = released_similarity(*model, source, Processes())
    torch.testing.assert_close(found, by_open_clip(source), atol=1e-5, rtol=0)
    monkeypatch.setattr(released, "BLOCK", 4)
    torch.testing.assert_close(released_similarity(*model, source, Processes()), found)


def test_pairs_are_prepared_as_the_description_says(model: tuple[str, str], tmp_path: Path) -> None:
    """Many released weights want another mean and pictures that are squashed."""
    wanted = {"mean": (0.5,) * 3, "std": (0.4,) * 3, "resize_mode": "squash"}
    config = {"model_cfg": json.loads(Path(model[0]).read_text()), "preprocess_cfg": wanted}
    (tmp_path / "squashed.json").write_text(json.dumps(config))
    source = pairs(5)
    found = released_similarity(str(tmp_path / "squashed.json"), model[1], source, Processes())
    torch.testing.assert_close(found, by_open_clip(source, **wanted), atol=2e-6, rtol=0)
    usual = released_similarity(*model, source, Processes())
    assert (found - usual).abs().max() > 1e-4


def test_weights_of_another_model_are_refused(model: tuple[str, str], tmp_path: Path) -> None:
    """Rather than scored with as much of them as fits."""
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(CorruptData, match="another model"):
        released_similarity(model[0], str(tmp_path / "other.pt"), pairs(4), Processes())


def test_weights_that_score_nothing_are_refused(model: tuple[str, str], tmp_path: Path) -> None:
    """Pairs without a number stood last, so that a filter dropped the first tenth of the set."""
    state = tiny_model(3).state_dict()
    state["text_projection"][0, 0] = torch.nan
    torch.save(state, weights := tmp_path / "diverged.pt")
    with pytest.raises(CorruptData, match=r"diverged\.pt gives pairs no finite similarity"):
        released_similarity(model[0], str(weights), pairs(4), Processes())
