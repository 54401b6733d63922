"""One of several processes of a test: does what its argument says, and leaves results in a file.

Run as ``python one_of_several.py CHECK FOLDER`` with torchrun's variables in the environment.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clipbench.contracts import Defense
from clipbench.training.batchnorm import synchronise_batch_norm
from clipbench.training.distributed import Processes, join_processes
from clipbench.training.encoder import Normalisation

ROWS = 7  # do not divide evenly


def collectives(processes: Processes) -> dict[str, Any]:
    """Gather, its gradient, and the sums; each process computes the loss of all rows."""
    weight = torch.nn.Parameter(torch.full((3,), 0.5))
    unused = torch.nn.Parameter(torch.zeros(2))
    everything = torch.arange(2 * ROWS * 3, dtype=torch.float32).view(2, ROWS, 3) / 10
    own = everything[:, processes.rows(ROWS)] * weight
    gathered = processes.gather(own, ROWS)
    scale = torch.nn.Parameter(torch.tensor(2.0))
    common = processes.share_of_common(scale.exp())
    loss = (gathered.sum(dim=0).square() * common).sum()
    loss.backward()
    processes.sum_gradients([weight, unused, scale])
    processes.barrier()
    # What one process makes of it:
    alone = [torch.nn.Parameter(torch.full((3,), 0.5)), torch.nn.Parameter(torch.tensor(2.0))]
    expected = ((everything * alone[0]).sum(dim=0).square() * alone[1].exp()).sum()
    expected.backward()
    return {
        "gathered": gathered,
        "expected_gathered": everything * 0.5,
        "loss": loss,
        "expected_loss": expected,
        "grad": weight.grad,
        "expected_grad": alone[0].grad,
        "scale_grad": scale.grad,
        "expected_scale_grad": alone[1].grad,
        "sum": processes.sum_of(torch.tensor([1.0, processes.rank])),
    }


def network(kind: str) -> nn.Module:
    from timm.layers import BatchNormAct2d  # noqa: PLC0415 - heavy, and not for the other checks

    torch.manual_seed(0)
    norm: nn.Module = BatchNormAct2d(4, eps=1e-3) if kind == "act" else nn.BatchNorm2d(4)
    layers = [nn.Conv2d(3, 4, 3), norm, nn.ReLU(), nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5)]
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(6), nn.BatchNorm1d(6))


def features(model: nn.Module, images: Tensor, steps: int = 3) -> list[Tensor]:
    """Return features over some steps of gradient descent."""
    found: list[Tensor] = []
    for step in range(steps):
        out = model(images[step])
        found.append(out)
    return found


def batch_norm(processes: Processes) -> dict[str, Any]:
    """Outputs, gradients and running statistics, synchronised and of one process with all rows."""
    found: dict[str, Any] = {}
    for kind in ("plain", "act"):
        # Far from zero, so that the difference of squares would lose digits if taken carelessly.
        images = 30 + torch.randn(3, ROWS, 3, 8, 8, generator=torch.Generator().manual_seed(1))
        goal = torch.randn(ROWS, 6, generator=torch.Generator().manual_seed(2))
        alone, together = network(kind), network(kind)
        alone(images[0])  # makes the lazy layer, and changes running statistics of both alike
        together(images[0])
        together.load_state_dict(alone.state_dict())
        synchronise_batch_norm(together)
        rows = processes.rows(ROWS)
        expected = features(alone, images)
        (sum(expected) * goal).square().mean().backward()  # type: ignore[union-attr]
        own = features(together, images[:, rows])
        gathered = processes.gather(torch.stack(own), ROWS)
        (gathered.sum(dim=0) * goal).square().mean().backward()
        parameters = list(together.parameters())
        processes.sum_gradients(parameters)
        found[f"{kind} out"] = gathered
        found[f"expected {kind} out"] = torch.stack(expected)
        for (name, ours), theirs in zip(
            together.named_parameters(), alone.parameters(), strict=True
        ):
            found[f"{kind} grad {name}"] = ours.grad
            found[f"expected {kind} grad {name}"] = theirs.grad
        for name, value in together.state_dict().items():
            found[f"{kind} state {name}"] = value
            found[f"expected {kind} state {name}"] = alone.state_dict()[name]
        with torch.no_grad():
            found[f"{kind} evaluated"] = together.eval()(images[0, :1])  # not a collective
            found[f"expected {kind} evaluated"] = alone.eval()(images[0, :1])
    return found


def use_double() -> None:
    """Compute in double precision from here on, in which rounding cannot hide a difference."""
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]
    from_numpy = torch.from_numpy
    torch.from_numpy = lambda array: from_numpy(
        array.astype(np.float64) if array.dtype == np.float32 else array
    )
    # Pixels are normalised in single precision, the same in every process, and used in double.
    normalise: Any = Normalisation.__call__
    Normalisation.__call__ = lambda self, images, *rest: normalise(  # type: ignore[method-assign]
        self, images if images.dtype == torch.uint8 else images.to(torch.float32), *rest
    ).double()


def training(folder: Path, processes: Processes) -> None:
    """Train with defences on 71 pairs in batches of 18: these and their shares are unequal."""
    from clipbench_defenses.cleanclip import CleanCLIP  # noqa: PLC0415
    from clipbench_defenses.clip import AugmentedClip  # noqa: PLC0415
    from clipbench_defenses.clipscore import ClipScore  # noqa: PLC0415
    from clipbench_defenses.dao import DAO  # noqa: PLC0415
    from clipbench_defenses.none import NoDefense  # noqa: PLC0415
    from clipbench_defenses.par import PAR  # noqa: PLC0415
    from clipbench_defenses.roclip import RoCLIP  # noqa: PLC0415
    from clipbench_defenses.safeclip import SafeCLIP  # noqa: PLC0415

    safeclip = SafeCLIP(unimodal_epochs=1, cross_modal_epochs=1, pool_size=40, first_ratio=0.5)
    defenses: tuple[tuple[str, Defense, int], ...] = (
        ("none", NoDefense(), 2),
        ("clip", AugmentedClip(), 2),
        ("safeclip", safeclip, 4),
        ("safeclip that reuses scores", replace(safeclip, reuse_scores=True), 4),
        ("roclip", RoCLIP(pool_size=40), 2),
        ("dao", DAO(scoring_epochs=1, k=4, block=32), 1),
        ("clipscore", ClipScore(trusted_size=41), 1),
        ("cleanclip", CleanCLIP(trusted_size=41, clean_up_epochs=2), 1),
        ("par", PAR(trusted_size=41, clean_up_epochs=2, clean_up_batch_size=16), 1),
    )
    for name, defense, epochs in defenses:
        train(folder, name, defense, processes, count=71, batch_size=18, epochs=epochs)


FEW = {  # what fits eight pairs, and makes every kind of phase; all else as it is
    "safeclip": "unimodal_epochs=1,cross_modal_epochs=1,pool_size=8,first_ratio=0.5",
    "roclip": "pool_size=8",
    "isolation_forest": "trees=5",
    "clipscore": "trusted_size=8",
    "cleanclip": "trusted_size=8,clean_up_epochs=1,clean_up_batch_size=3",
    "finetune": "trusted_size=8,clean_up_epochs=1,clean_up_batch_size=3",
    "par": "trusted_size=8,clean_up_epochs=1,clean_up_batch_size=3",
    **dict.fromkeys(("dao", "kdist", "lid", "slof"), "k=2,block=8"),
}


def few(folder: Path, processes: Processes) -> None:
    """Train with every defence on eight pairs in batches of three: some have a row for two."""
    from clipbench import registry  # noqa: PLC0415 - heavy, and not for the other checks

    for name in registry.names("defense"):
        defense = registry.build("defense", f"{name}:{FEW[name]}" if name in FEW else name)
        epochs = 3 if name == "safeclip" else 2 if name == "roclip" else 1
        train(folder, name, defense, processes, count=8, batch_size=3, epochs=epochs)


def train(folder: Path, name: str, defense: Defense, processes: Processes, **settings: Any) -> None:
    """Train in double precision, together and then the first process alone.

    It keeps losses, exposures and weights.
    """
    from tiny_training import tiny_trainer  # noqa: PLC0415 - heavy, and not for the other checks

    for among in (processes, Processes()) if processes.is_first else (processes,):
        place = folder / str(among.count)
        trainer = tiny_trainer(place / name, defense, processes=among, **settings)
        trainer.learner.model.double()
        trainer.train()
        if among.is_first:
            found = {
                "losses": [entry["losses"] for entry in trainer.state.history],
                "exposures": torch.from_numpy(trainer.exposures),
                "model": trainer.learner.model.state_dict(),
            }
            torch.save(found, place / f"{name}.pt")


def main(check: str, folder: Path) -> None:
    torch.set_num_threads(1)
    processes = join_processes("cpu")
    if check in ("training", "few"):
        use_double()
        {"training": training, "few": few}[check](folder, processes)
        return
    found = {"collectives": collectives, "batch_norm": batch_norm}[check](processes)
    arrays = {name: value.detach().numpy() for name, value in found.items()}
    np.savez(folder / f"{processes.rank}.npz", **arrays)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
