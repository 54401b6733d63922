"""Models by name and weights from files, as strangers have them."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from torch import nn

from clipbench.errors import BadSetting, CorruptData, MissingData
from clipbench.models.features import image_features, text_features
from clipbench.models.openclip import (
    context_length_of,
    create_model,
    heeded_since,
    load_weights,
    model_config,
    model_names,
)
from clipbench.models.openclip import open_clip as with_own_models
from clipbench.parallel.devices import pick_device
from clipbench.training.encoder import mean_and_std

State = dict[str, torch.Tensor]


class Tiny(nn.Module):
    """Two weights, one below another module."""

    def __init__(self) -> None:
        super().__init__()
        self.logit_scale = nn.Parameter(torch.zeros(()))
        self.visual = nn.Linear(2, 3)


@pytest.fixture
def trained() -> State:
    """The weights of a model that learned something."""
    torch.manual_seed(1)
    return Tiny().state_dict()


@pytest.mark.parametrize(
    "named",
    [
        lambda key: f"module.{key}",  # DistributedDataParallel
        lambda key: f"_orig_mod.{key}",  # torch.compile
        lambda key: f"module._orig_mod.{key}",  # both, in either order
        lambda key: f"_orig_mod.module.{key}",
        lambda key: key.replace("visual.", "visual._orig_mod."),  # a part was compiled
    ],
    ids=["distributed", "compiled", "both", "both, the other way", "compiled part"],
)
def test_weights_are_read_under_the_names_that_trainings_give_them(
    named: Any, trained: State, tmp_path: Path
) -> None:
    """What wraps a model goes into the names of its weights, and is no other model."""
    file = tmp_path / "weights.pt"
    torch.save({"epoch": 1, "state_dict": {named(key): v for key, v in trained.items()}}, file)
    model = Tiny()
    load_weights(model, file)
    assert all(torch.equal(value, trained[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("beside", "kind"),
    [
        ({"epoch": np.int64(3)}, "numpy"),
        ({"args": argparse.Namespace(lr=0.1)}, "argparse.Namespace"),
    ],
)
def test_a_sound_checkpoint_with_objects_in_it_is_told_what_it_holds(
    beside: dict[str, Any], kind: str, trained: State, tmp_path: Path
) -> None:
    """Nothing in it is run; and fetching it again, as advised before, would not have helped."""
    file = tmp_path / "weights.pt"
    torch.save({"state_dict": trained, **beside}, file)
    with pytest.raises(CorruptData, match=r"holds other things than weights") as caught:
        load_weights(Tiny(), file)
    assert kind in str(caught.value)
    assert "torch.save({'state_dict'" in str(caught.value)
    assert "etch it again" not in str(caught.value)


def test_a_damaged_checkpoint_is_to_be_fetched_again(trained: State, tmp_path: Path) -> None:
    """That advice stays where it is right."""
    file = tmp_path / "weights.pt"
    torch.save({"state_dict": trained}, file)
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(CorruptData, match="Fetch it again"):
        load_weights(Tiny(), file)


@pytest.mark.parametrize("tag", ["openai", "laion2b_s34b_b79k", "OpenAI"])
def test_a_tag_of_released_weights_is_told_that_nothing_is_downloaded(tag: str) -> None:
    """Users of open_clip give tags; here they learn that a file is wanted."""
    with pytest.raises(MissingData, match=r"downloads nothing.*Released weights"):
        load_weights(Tiny(), Path(tag))


def test_a_path_to_nothing_is_a_path_to_nothing(tmp_path: Path) -> None:
    """Other names are not said to be tags."""
    with pytest.raises(MissingData, match=r"no checkpoint .*check the path"):
        load_weights(Tiny(), tmp_path / "weights.pt")


@pytest.mark.parametrize("name", ["hf-hub:someone/something", "HF-HUB:someone/something"])
def test_no_hub_is_asked_for_a_model(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wrote the name, what is on the network is refused before the network is tried."""

    def asked(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", asked)
    with pytest.raises(BadSetting, match=r"downloads no models.*--model FOLDER"):
        model_config(name)


def test_a_model_that_needs_another_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """open_clip lists models whose tokenizers are of transformers, which may not be here."""
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "transformers" else found(name)
    )
    with pytest.raises(BadSetting, match=r"'ViT-B-16-SigLIP' needs the package transformers"):
        create_model("ViT-B-16-SigLIP", seed=0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"trust_remote_code": True}, "tokenizer_kwargs.trust_remote_code must be left out"),
        ({"bpe_path": "/etc/passwd"}, "tokenizer_kwargs.bpe_path must be left out"),
        ({"clean": "everything"}, "tokenizer_kwargs.clean must be 'canonicalize'"),
        ({"strip_sep_token": 1}, "tokenizer_kwargs.strip_sep_token must be true or false"),
        ({"strip_sep_token": True}, "tokenizer_kwargs.strip_sep_token must be left out"),
        (None, "tokenizer_kwargs must be an object"),
    ],
)
def test_what_a_configuration_would_hand_to_a_tokenizer_is_refused(
    given: object, said: str, tmp_path: Path
) -> None:
    """Arguments such as `trust_remote_code`, with which code of a repository would be run."""
    config = model_config("shapes-32")
    config["text_cfg"]["tokenizer_kwargs"] = given
    (tmp_path / "model.json").write_text(json.dumps(config))
    with pytest.raises(CorruptData, match=re.escape(f"text_cfg.{said}")):
        create_model(str(tmp_path / "model.json"), seed=0)


def test_how_captions_are_cleaned_is_heeded(tmp_path: Path) -> None:
    """SigLIP's descriptions say `canonicalize`, which takes punctuation out of captions, too."""
    config = model_config("shapes-32")
    config["text_cfg"]["tokenizer_kwargs"] = {"clean": "canonicalize"}
    (tmp_path / "model.json").write_text(json.dumps(config))
    texts = ["A dog, running!", "it's_a cat..."]
    found = create_model(str(tmp_path / "model.json"), seed=0)[1](texts)
    length = context_length_of(config)
    own = open_clip.SimpleTokenizer(context_length=length, clean="canonicalize")(texts)
    assert torch.equal(found, own)
    assert not torch.equal(found, open_clip.SimpleTokenizer(context_length=length)(texts))


def test_a_token_that_is_looked_for_by_number_makes_another_run(tmp_path: Path) -> None:
    """Earlier versions trained such a model with other tokens' rows in its place."""

    def heeded(**told: object) -> list[str]:
        config = model_config("shapes-32")
        config["text_cfg"].update(told)
        (tmp_path / "model.json").write_text(json.dumps(config))
        return heeded_since(str(tmp_path / "model.json"))

    assert heeded() == heeded(pad_id=0, eos_id=2) == heeded(pool_type="eos", eos_id=49407) == []
    odd = [
        heeded(pad_id=1),
        heeded(pad_id=2),
        heeded(pool_type="eos"),
        heeded(eos_id=2, pool_type="eos"),
    ]
    assert len({*map(tuple, odd)}) == len(odd)
    assert all(odd)


def test_the_tokenizer_of_another_library_is_told_how_to_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is asked of a hub."""
    config = model_config("shapes-32")
    config["text_cfg"] |= {
        "hf_tokenizer_name": "stranger/tokenizer",
        "tokenizer_kwargs": {"strip_sep_token": True},
    }
    (tmp_path / "model.json").write_text(json.dumps(config))
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: found("json" if name == "transformers" else name)
    )
    asked: list[dict[str, Any]] = []
    module = with_own_models()
    monkeypatch.setattr(
        module, "get_tokenizer", lambda name: asked.append(module.get_model_config(name))
    )
    create_model(str(tmp_path / "model.json"), seed=0)
    assert asked[0]["text_cfg"]["hf_tokenizer_name"] == "stranger/tokenizer"
    assert asked[0]["text_cfg"]["tokenizer_kwargs"] == {"strip_sep_token": True}
    assert os.environ["HF_HUB_OFFLINE"] == "1"


@pytest.mark.parametrize(
    ("name", "why"), [("mps", "must be auto, cpu, cuda or cuda:N"), ("cuda:99", "device is")]
)
def test_a_device_that_is_not_here_is_one_line(name: str, why: str) -> None:
    """One GPU too many, or Apple's, on which nobody has trained: it is said before work begins."""
    with pytest.raises(BadSetting, match=why):
        pick_device(name)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"vision_cfg": {"image_size": 224.0}}, "vision_cfg.image_size must be a whole number"),
        ({"vision_cfg": {"image_size": 0}}, "vision_cfg.image_size must be a whole number"),
        ({"vision_cfg": {"image_size": []}}, "vision_cfg.image_size must be a whole number"),
        ({"vision_cfg": [1]}, "vision_cfg must be an object"),
        ({"text_cfg": None}, "text_cfg must be an object"),
        ({"text_cfg": {"context_length": "many"}}, "text_cfg.context_length must be a whole"),
        ({"embed_dim": "wide"}, "embed_dim must be a whole number"),
    ],
)
def test_a_description_of_a_model_that_says_nonsense_is_refused_before_work(
    change: dict[str, object], said: str, tmp_path: Path
) -> None:
    """It may be a stranger's file; what only failed in training would have cost hours."""
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps({**model_config("shapes-32"), **change}))
    with pytest.raises(CorruptData, match=re.escape(said)):
        model_config(str(path))


def merged(change: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a small model with other values in it."""
    config: dict[str, Any] = {**model_config("shapes-32")}
    for name, value in change.items():
        config[name] = {**config[name], **value} if isinstance(value, dict) else value
    return config


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"vision_cfg": {"timm_model_name": "resnet99z"}}, "Unknown model (resnet99z)"),
        ({"text_cfg": {"heads": 3}}, "embed_dim must be divisible by num_heads"),
        ({"vision_cfg": {"of_tomorrow": 1}}, "unexpected keyword argument 'of_tomorrow'"),
    ],
)
def test_a_description_that_no_model_can_be_made_of_is_one_line(
    change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    """Whatever open_clip, timm or torch raise of it: the file is named, and what is wrong."""
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps(merged(change)))
    with pytest.raises(BadSetting, match=re.escape(said)) as caught:
        create_model(str(path), seed=0)
    assert str(caught.value).endswith(f"Mend its description, {path}.")


COCA = {
    "embed_dim": 32,
    "custom_text": True,
    "vision_cfg": {
        **{"image_size": 32, "patch_size": 16, "width": 32, "head_width": 16, "layers": 1},
        **{"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True},
    },
    "text_cfg": {
        **{"context_length": 16, "vocab_size": 49_408, "width": 32, "heads": 2, "layers": 1},
        **{"embed_cls": True, "output_tokens": True},
    },
    "multimodal_cfg": {
        **{"context_length": 16, "vocab_size": 49_408, "width": 32, "heads": 2, "layers": 1},
        "attn_pooler_heads": 2,
    },
}


def test_a_model_with_a_text_decoder_can_be_measured(tmp_path: Path) -> None:
    """Its features are those of its own forward pass."""
    path = tmp_path / "coca.json"
    path.write_text(json.dumps(COCA))
    model, tokenizer = create_model(str(path), seed=0)
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    texts = ["a dog", "a cat on a mat", "two"]
    found = image_features(model, images), text_features(model, tokenizer, texts)
    mean, std = (torch.tensor(each)[:, None, None] for each in mean_and_std(model))
    pixels = (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std
    with torch.no_grad():
        own = model.eval()(image=pixels, text=tokenizer(texts))
    for features, name in zip(found, ("image_features", "text_features"), strict=True):
        torch.testing.assert_close(features, own[name], rtol=0, atol=1e-6)


def test_sizes_are_read_of_every_model_that_open_clip_knows() -> None:
    """One number or several; what says nothing has open_clip's own default."""
    for name in model_names():
        assert context_length_of(model_config(name)) > 0
