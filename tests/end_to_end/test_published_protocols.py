"""Each published protocol on pairs of one's own: img2dataset's layout, 224 pixels, RN50.

A few steps of each, with the numbers of pairs and epochs that a small set allows; everything else
is the recipe's.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from own_set import write_crawl, write_test_set
from tiny_runs import command

from clipbench.configuration.protocol import recipe
from clipbench.files import bundled
from clipbench.models.openclip import create_model

CLASSES = ("banana", "cheeseburger", "volcano", "lichen")
FEW = ("--epochs", "1", "--poisons", "4")
RELEASED = ("--pretrained", "RN50.pt")
TRUSTED = ("--trusted", "clean")
PATCH = "badclip:steps=2,optimized_on=8,batch_size=4,surrogate_epochs=1"
# What each is given beside its recipe, with names in the folder of the set.
WORDS = {
    "badclip": (*FEW, *RELEASED, "--attack", PATCH),
    "carlini": ("--epochs", "1"),
    "cleanclip": (*FEW, *TRUSTED, "--defense", "cleanclip:clean_up_epochs=1,trusted_size=16"),
    "huang": FEW,
    "par": (*FEW, *RELEASED, *TRUSTED, "--defense", "par:clean_up_epochs=1,trusted_size=16"),
    "roclip": ("--epochs", "2", "--poisons", "8"),
    "safeclip-paper": ("--epochs", "8"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A crawl, pairs known to be clean, test images, and weights to start from."""
    folder = tmp_path_factory.mktemp("protocols")
    write_crawl(folder / "crawl", (20, 28), side=224, classes=CLASSES)
    write_crawl(folder / "clean", (16,), side=224, classes=CLASSES)
    write_test_set(folder / "held_out", per_class=6, side=224, classes=CLASSES)
    model, _ = create_model("RN50-quickgelu", 0)
    torch.save(model.state_dict(), folder / "RN50.pt")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(bundled.recipes()))
def test_a_protocol_is_planned_beside_its_table_and_done(
    place: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan has every setting of the table that the run has, and the run ends well."""
    monkeypatch.chdir(place)
    run = (
        *("run", "--recipe", name, "--data", "crawl"),
        *("--eval", "clip_benchmark:root=held_out,reserve=4"),
        *("--batch-size", "8", "--device", "cpu", "--no-estimate", "--out", name),
        *("--cache", "cache", *WORDS[name]),
    )
    planned = command(*run, "--dry-run")
    assert planned.status == 0, planned.err
    told = [line.split() for line in planned.out.splitlines()]
    own = ("train.", f"attacks.{recipe(name).attack}.", f"defenses.{recipe(name).defense}.")
    settings = [e.setting for e in recipe(name).table if e.setting.startswith(own)]
    assert [words[0] for words in told if words[0] in settings] == settings
    done = command(*run)
    assert done.status == 0, done.err
    (result,) = [json.loads(file.read_text()) for file in place.glob(f"{name}/*/result.json")]
    assert (result["status"], result["model"]["image_size"]) == ("complete", 224)
    assert result["model"]["name"] == recipe(name).train["model"]
    assert result["metrics"]["attack_success"]["n"] > 0
