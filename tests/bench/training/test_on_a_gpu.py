"""What is computed on a GPU is what is computed on the CPU, as far as that shows without a GPU.

On a pretended one: see `pretended_gpu`. What a GPU itself makes of it, `make gpu` tells.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from photographs import write_photographs
from pretended_gpu import DEVICE, pretended_gpu
from tiny_training import SETTINGS, tiny_model, tiny_sets, tiny_trainer

from clipbench.configuration.settings import TrainSettings
from clipbench.errors import ClipbenchError
from clipbench.loading.decoded import DecodedImages
from clipbench.loading.pairs import BatchRequest, DeviceStore
from clipbench.loading.resident import resident
from clipbench.parallel.group import Processes
from clipbench.plugins import registry
from clipbench.training.engine import Trainer

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
    """A training with a defense, each stage as short as can be."""
    fields = {item.name for item in dataclasses.fields(registry.build("defense", name))}
    small = {key: value for key, value in SMALL.items() if key in fields}
    defense = registry.build("defense", {"name": name, **small})
    where = Processes(device=device)
    chosen = {"count": 20, "batch_size": 20, "epochs": 3, **settings}
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
    losses = [[entry.losses for entry in found.state.history] for found in (here, there)]
    assert losses[0] == losses[1]
    assert all(map(torch.equal, on_cpu(here), on_cpu(there)))
    scores = [found.set_scores for found in (here, there)]
    assert (scores[0] is None) == (scores[1] is None)
    assert scores[0] is None or scores[1] is None or torch.equal(scores[0], scores[1])


@pytest.mark.parametrize("name", ["none", "clip", "roclip", "cleanclip", "safeclip", "par"])
def test_nothing_in_a_step_waits_for_the_gpu(name: str, tmp_path: Path) -> None:
    """Twice as many steps wait as often as half of them: at the start and the end of a phase."""
    waits = []
    for count in (40, 80):
        with pretended_gpu() as gpu:
            trained(tmp_path / str(count), name, DEVICE, count=count, epochs=3)
        waits.append(gpu.waits)
    assert waits[0] == waits[1]


def test_a_loss_that_is_not_finite_is_found_at_the_end_of_its_phase(tmp_path: Path) -> None:
    """On a GPU later than on the CPU, but before a checkpoint could keep what came of it."""
    with pretended_gpu(), pytest.raises(ClipbenchError, match=r"nan in epoch 1, step [12]\."):
        trained(tmp_path, "none", DEVICE, count=40, lr=1e30)
    assert not (tmp_path / "checkpoint.pt").exists()


@pytest.mark.parametrize("augment", [False, True])
def test_squares_on_the_gpu_are_those_of_the_cache(augment: bool) -> None:
    """A batch of them is to the bit the batch that the processor reads, with fewer bytes moved."""
    settings = TrainSettings(**SETTINGS)
    request = BatchRequest(np.array([7, 3, 3, 30, 0]), slice(1, 5), 2, augment, ("a", 1))
    here = tiny_sets(tiny_model(), settings, 40, 0)[0].make(request)
    with pretended_gpu():
        there = tiny_sets(tiny_model(), settings, 40, 0, DEVICE)[0].make(request)
        assert there.images.device == there.tokens.device == DEVICE
        pixels, tokens = there.images.cpu(), there.tokens.cpu()
    assert torch.equal(here.images, pixels)
    assert torch.equal(here.tokens, tokens)


def test_squares_go_to_a_gpu_that_has_room_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third of what is free, so that the model finds its memory; a CPU keeps the mapped files."""
    shards = write_photographs(tmp_path / "set", 6, 16)
    kept = DecodedImages.open(shards, 16, tmp_path / "cache")
    assert resident(kept, torch.device("cpu")) is kept
    with pretended_gpu():
        for free, fits in ((3 * kept.nbytes, True), (3 * kept.nbytes - 3, False)):
            monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free, 0))
            found = resident(kept, DEVICE)
            assert (found is not kept) == fits
            assert isinstance(found, DeviceStore) == fits
            assert np.array_equal(found.gather(np.arange(6)), kept.gather(np.arange(6)))


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
