"""Training on shards of photographs, from the tars to a model that open_clip loads."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from photographs import write_photographs

from clipbench.checkpoints.record import TrainingRecord, peak_memory
from clipbench.configuration.resolution import resolve
from clipbench.errors import BadSetting
from clipbench.loading.text import check_text_tower
from clipbench.models.features import image_features
from clipbench.models.openclip import model_config
from clipbench.parallel.bench import Bench
from clipbench.shards.reader import ShardSet
from clipbench.training.session import train_on

SETTINGS: dict[str, Any] = {
    "epochs": 1,
    "batch_size": 4,
    "warmup": 0,
    "lr": 1e-4,
    "precision": "fp32",
    "device": "cpu",
}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """Four photographs, upright, square and wide, of 240 pixels and more."""
    return write_photographs(tmp_path_factory.mktemp("photographs") / "set", 4, 240)


def trained(
    shards: ShardSet, folder: Path, defense: str = "clip", **settings: Any
) -> TrainingRecord:
    config = resolve(
        data={"name": "shards", "path": shards.source},
        defense=defense,
        train={**SETTINGS, **settings},
    )
    cache = folder / "cache"
    return train_on(shards.source, config, folder / "run", Bench(cache))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["RN50", "ViT-B-32", "ViT-B-16", "RN50-quickgelu"])
def test_a_step_of_a_full_size_model(shards: ShardSet, tmp_path: Path, name: str) -> None:
    """One step at 224 pixels moves the weights, and open_clip loads what it makes."""
    record = trained(shards, tmp_path, model=name)
    assert (record.steps, record.samples_seen, record.num_pairs) == (1, 4, 4)
    assert record.history[0].loss > 0
    assert not (tmp_path / "cache" / "decoded").exists()  # nothing of 224 pixels is kept
    weights = tmp_path / "run" / "model" / "open_clip_model.safetensors"
    model, _, transform = open_clip.create_model_and_transforms(name, pretrained=str(weights))
    assert transform.transforms[0].size == 224
    assert len(model.token_embedding.weight) == 49408
    images = [shards.image(number) for number in range(4)]
    features = image_features(model, images)
    assert features.shape == (4, 1024 if name.startswith("RN50") else 512)
    again = trained(shards, tmp_path / "again", model=name, pretrained=str(weights.parents[1]))
    assert again.history[0].loss != record.history[0].loss


SMALL_224 = """{
    "embed_dim": 16,
    "vision_cfg": {"image_size": 224, "layers": 1, "width": 16, "head_width": 16, "patch_size": 32},
    "text_cfg": {
        "context_length": 16, "vocab_size": 49408, "width": 16, "heads": 1, "layers": 1%s
    }%s
}"""


@pytest.mark.parametrize(
    ("text", "top"),
    [
        ("", ""),
        ("", ', "quick_gelu": true'),
        ("", ', "custom_text": true'),
        (', "pool_type": "last"', ', "custom_text": true, "init_logit_bias": -10'),
    ],
    ids=["plain", "QuickGELU", "text tower of its own", "with a logit bias"],
)
@pytest.mark.parametrize("defense", ["none", "clip"])
def test_kinds_of_models_at_224(
    shards: ShardSet, tmp_path: Path, defense: str, text: str, top: str
) -> None:
    """Small models of open_clip's kinds train on photographs at 224 through the whole path."""
    file = tmp_path / "small.json"
    file.write_text(SMALL_224 % (text, top), encoding="utf-8")
    record = trained(shards, tmp_path, defense, model=str(file), epochs=2, batch_size=2)
    assert (record.steps, record.samples_seen) == (4, 8)
    assert torch.isfinite(torch.tensor([entry.loss for entry in record.history])).all()


@pytest.mark.parametrize("defense", ["none", "clip"])
def test_workers_and_the_cache_change_no_bit(
    shards: ShardSet, tmp_path: Path, defense: str
) -> None:
    """Weights are the same with 0 or 3 workers, and with squares kept or made for each batch."""
    file = tmp_path / "small.json"
    file.write_text(SMALL_224 % ("", ""), encoding="utf-8")
    for crop_from in ("original", "square"):
        weights = set()
        for number, more in enumerate(({"workers": 0}, {"workers": 3}, {"decode_cache_gb": 0})):
            folder = tmp_path / f"{crop_from}{number}"
            trained(
                shards, folder, defense, model=str(file), batch_size=2, crop_from=crop_from, **more
            )
            weights.add((folder / "run" / "model" / "open_clip_model.safetensors").read_bytes())
            kept = (folder / "cache" / "decoded").exists()
            assert kept == (crop_from == "square" and "decode_cache_gb" not in more)
        assert len(weights) == 1


def test_a_model_is_trained_and_saved_with_the_preparation_of_its_description(
    shards: ShardSet, tmp_path: Path
) -> None:
    """Other weights come of another mean; squares go by another name; the model says so itself."""
    described = {"mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "squash"}
    names, weights = set(), set()
    for number, more in enumerate(({}, {"preprocess_cfg": described})):
        folder, file = tmp_path / str(number), tmp_path / f"{number}.json"
        file.write_text(json.dumps({**json.loads(SMALL_224 % ("", "")), **more}))
        trained(shards, folder, model=str(file), batch_size=2, crop_from="square")
        model = folder / "run" / "model"
        weights.add((model / "open_clip_model.safetensors").read_bytes())
        names |= {path.stem.split("-", 2)[2] for path in (folder / "cache/decoded").glob("*.npy")}
        written = json.loads((model / "open_clip_config.json").read_text())["preprocess_cfg"]
        assert written == more.get("preprocess_cfg", written)
    assert len(weights) == 2
    assert names == {"224", "224-squash-bicubic"}


@pytest.mark.skipif(sys.platform != "linux", reason="others keep one number for a process's life")
def test_what_a_process_did_before_is_no_memory_of_its_training(
    shards: ShardSet, tmp_path: Path
) -> None:
    """An estimate of the time, or a larger run, took far more than this one."""
    file = tmp_path / "small.json"
    file.write_text(SMALL_224 % ("", ""), encoding="utf-8")
    torch.ones(10**9, dtype=torch.uint8)
    before = peak_memory(torch.device("cpu"))
    record = trained(shards, tmp_path, model=str(file), batch_size=2)
    assert 0 < record.peak_memory_bytes < before - 5 * 10**8


@pytest.mark.parametrize("name", ["roberta-ViT-B-32", "ViT-B-16-SigLIP"])
def test_models_with_another_tokenizer_are_refused_at_once(name: str) -> None:
    """A tokenizer that augmentation can't follow is said in a line, before it is looked for."""
    with pytest.raises(BadSetting, match=r"byte-pair tokenizer.*Choose a model"):
        check_text_tower(name, model_config(name))
    check_text_tower("ViT-B-32", model_config("ViT-B-32"))
