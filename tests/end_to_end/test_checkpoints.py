"""Final weights are open_clip's: it loads them, and they are the model that was trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_runs import DATA, SAFECLIP, Place, command
from torch import Tensor, nn
from torch.nn import functional as F

from clipbench.models.features import image_features, text_features
from clipbench.models.openclip import open_clip
from clipbench.plugins import registry
from clipbench.training import session

Grid = tuple[Place, list[dict[str, Any]]]
ResultOf = Callable[[str, str], dict[str, Any]]
CAPTIONS = ["a red circle on the left", "a photo of a green star.", "something never seen: zebra"]


@pytest.fixture
def trained(place: Place, monkeypatch: pytest.MonkeyPatch) -> tuple[nn.Module, Path]:
    """Return a model as it is in memory when training ends, and the file that was written."""
    models: list[nn.Module] = []
    save = session.save_model

    def remember(model: nn.Module, *args: Any) -> Path:
        models.append(model)
        return save(model, *args)

    monkeypatch.setattr(session, "save_model", remember)
    place.run("--epochs", "1")
    return models[0], place.only("runs/*/model/open_clip_model.safetensors")


@pytest.mark.parametrize("way", ["pretrained file", "local folder"])
def test_open_clip_loads_the_model_that_was_trained(
    trained: tuple[nn.Module, Path], way: str
) -> None:
    """``create_model_and_transforms`` gives the same embeddings, with open_clip's own transform."""
    model, file = trained
    if way == "pretrained file":
        name, options = "shapes-32", {"pretrained": str(file)}
    else:
        name, options = f"local-dir:{file.parent}", {}
    loaded, _, transform = open_clip().create_model_and_transforms(name, **options)
    tokenizer = open_clip().get_tokenizer(name)
    loaded.eval()
    images = list(registry.build("dataset", DATA).evaluation().test.images[:20])
    batch = torch.stack([transform(Image.fromarray(np.asarray(image))) for image in images])
    with torch.no_grad():
        seen: Tensor = F.normalize(loaded.encode_image(batch), dim=1)
        read: Tensor = F.normalize(loaded.encode_text(tokenizer(CAPTIONS)), dim=1)
    torch.testing.assert_close(seen, image_features(model, images), atol=1e-5, rtol=0)
    features = text_features(model, tokenizer, CAPTIONS)
    torch.testing.assert_close(read, features, atol=1e-5, rtol=0)
    assert (seen - seen[0]).abs().max() > 1e-3  # images are told apart
    assert torch.equal(loaded.logit_scale, model.logit_scale)


@pytest.mark.parametrize(
    ("attack", "defense"), [("targeted", "safeclip"), ("badnets", "none"), ("none", "clip")]
)
def test_evaluating_the_weights_gives_the_metrics_of_the_run(
    grid: Grid, result_of: ResultOf, attack: str, defense: str
) -> None:
    """``clipbench evaluate`` measures on the saved weights what the run measured."""
    place, result = grid[0], result_of(attack, defense)
    args: list[object] = ["--checkpoint", place.run_folder(result) / "model", "--data", DATA]
    for book in place.cache.glob("poisoned/*/ledger"):
        head = json.loads((book / "ledger.json").read_text())
        if (head["attack"], head["count"]) == (attack, result["attack"]["count"]):
            args += ["--ledger", book]
    done = command("evaluate", *args, "--model", "shapes-32", "--json")
    assert done.status == 0, done.err
    (evaluated,) = json.loads(done.out)
    measured = evaluated["metrics"]
    assert measured.items() <= result["metrics"].items()
    assert {"zeroshot_top1", "mean_per_class_recall", "image_to_text_r5"} <= set(measured)
    of_attack = {"attack_success", "attack_success_top5", "attack_margin", "poisoned_accuracy"}
    assert set(measured) & of_attack == (set() if attack == "none" else of_attack)


def test_a_run_can_be_measured_by_its_folder_and_an_epoch_by_its_file(place: Place) -> None:
    """Besides a weights file, ``--checkpoint`` takes a run's folder and weights kept by epoch.

    What it was measured on stands first, for it need not be what the run was measured on.
    """
    (result,) = place.run("--defense", SAFECLIP, "--epochs", "3", "--set", "save_frequency=3")
    folder = place.run_folder(result)
    tables = []
    for checkpoint in (folder, folder / "train" / "epochs" / "0003.pt"):
        line = ("--checkpoint", checkpoint, "--model", "shapes-32", "--data", DATA)
        done = command("evaluate", *line)
        assert done.status == 0, done.err
        tables.append(done.out)
    assert tables[0] == tables[1]
    share = result["metrics"]["zeroshot_top1"]
    name, top1, *_ = tables[0].splitlines()
    assert name == "shapes"
    assert f"{share['k']}/100" in top1
