"""What is computed on a GPU is what is computed on the CPU, as far as that shows without a GPU.

On a pretended one: see `pretended_gpu`. What a GPU itself makes of it, `make gpu` tells.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from clipbench import registry
from clipbench.training.distributed import Processes
from clipbench.training.engine import Trainer

sys.path.insert(0, str(Path(__file__).parent / "helpers"))
from pretended_gpu import DEVICE, pretended_gpu
from tiny_training import tiny_trainer

SMALL: dict[str, Any] = {
    "unimodal_epochs": 1,
    "cross_modal_epochs": 1,
    "pool_size": 40,
    "first_ratio": 0.5,
    "scoring_epochs": 1,
    "k": 4,
    "block": 32,
    "trees": 10,
    "trusted_size": 20,
    "clean_up_epochs": 1,
}


def trainer(folder: Path, name: str, device: torch.device, **settings: Any) -> Trainer:
    """A training with a defence, each stage as short as can be."""
    fields = {item.name for item in dataclasses.fields(registry.build("defense", name))}
    small = {key: value for key, value in SMALL.items() if key in fields}
    defense = registry.build("defense", {"name": name, **small})
    where = Processes(device=device)
    chosen = {"count": 40, "batch_size": 20, "epochs": 3, **settings}
    return tiny_trainer(folder, defense, processes=where, **chosen)


def trained(folder: Path, name: str, device: torch.device, **settings: Any) -> Trainer:
    found = trainer(folder, name, device, **settings)
    found.train()
    return found


def on_cpu(found: Trainer) -> list[torch.Tensor]:
    return list(found.learner.model.state_dict().values())


@pytest.mark.parametrize("name", registry.names("defense"))
def test_every_defense_trains_on_a_gpu_what_it_trains_on_the_cpu(name: str, tmp_path: Path) -> None:
    """No tensor is on the wrong device, and weights, losses and scores are the same to the bit."""
    here = trained(tmp_path / "here", name, torch.device("cpu"))
    with pretended_gpu():
        there = trained(tmp_path / "there", name, DEVICE)
        assert {weight.device for weight in there.learner.model.parameters()} == {DEVICE}
    losses = [[entry["losses"] for entry in found.state.history] for found in (here, there)]
    assert losses[0] == losses[1]
    assert all(map(torch.equal, on_cpu(here), on_cpu(there)))
    scores = [found.set_scores for found in (here, there)]
    assert (scores[0] is None) == (scores[1] is None)
    assert scores[0] is None or scores[1] is None or torch.equal(scores[0], scores[1])


def test_a_tensor_on_the_wrong_device_is_refused() -> None:
    """The pretended GPU is as strict as CUDA: only numbers without an axis may be elsewhere."""
    with pretended_gpu():
        there, here = torch.ones(3, device="cuda"), torch.ones(3)
        assert torch.equal((there * torch.tensor(2.0)).cpu(), 2 * here)
        assert (there[:2] + 1).device == DEVICE
        with pytest.raises(RuntimeError, match="same device"):
            there + here
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
