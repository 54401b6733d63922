"""One of several processes of a test: does what its argument says, and leaves results in a file.

Run as ``python one_of_several.py FOLDER`` with torchrun's variables in the environment. Starting
processes costs more than what they do: these do it all.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from clipbench.contracts import (
    Defense,
    EpochPairs,
    Features,
    Phase,
    StatelessRun,
    TrainingFacts,
)
from clipbench.errors import LostProcess
from clipbench.parallel.batchnorm import synchronize_batch_norm
from clipbench.parallel.caches import at_cache
from clipbench.parallel.gradients import GradientSum
from clipbench.parallel.group import Processes, join_processes, watched
from clipbench.system.progress import Reporter
from clipbench.toolkit.losses import clip_loss
from clipbench.training.encoder import Normalization
from clipbench.training.engine import Trainer

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
    with GradientSum([weight, unused, scale], processes).summed():
        loss.backward()
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


def overlap(processes: Processes) -> dict[str, Any]:
    """Gradients of three layers, and how many sums were on their way before the first layer's.

    The middle layer takes no part in the second pass, so that its buckets are never complete.
    """
    layers = nn.ModuleList(nn.Linear(3, 3) for _ in range(3))
    processes.spread(layers.state_dict().values())
    total = GradientSum(list(layers.parameters()), processes, bucket_bytes=4)  # a bucket for each
    sent: list[int] = []
    before: list[int] = []
    layers[0].weight.register_hook(lambda _: before.append(len(sent)))
    reduce = dist.all_reduce
    dist.all_reduce = lambda *given, **how: (sent.append(1), reduce(*given, **how))[1]
    rows = torch.arange(ROWS * 3.0).view(ROWS, 3)
    found: dict[str, Any] = {}
    for name, used in (("whole", (0, 1, 2)), ("partly", (0, 2))):
        model = nn.Sequential(*(layers[number] for number in used))
        layers.zero_grad(set_to_none=True)
        sent.clear()
        with total.summed():
            model(rows[processes.rows(ROWS)]).square().sum().backward()
        found[f"{name} sent"] = [before[-1], len(sent)]
        found[name] = gradients(layers)
        layers.zero_grad(set_to_none=True)
        model(rows).square().sum().backward()  # outside: this process alone, with all rows
        found[f"expected {name}"] = gradients(layers)
    dist.all_reduce = reduce
    return found


def gradients(layers: nn.ModuleList) -> Tensor:
    """Return the gradients of the layers' weights; NaN for one that took no part."""
    none = torch.full((3, 3), torch.nan)
    return torch.stack([none if one.weight.grad is None else one.weight.grad for one in layers])


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
    """Outputs, gradients and running statistics, synchronized and of one process with all rows."""
    found: dict[str, Any] = {}
    for kind in ("plain", "act"):
        # Far from zero, so that the difference of squares would lose digits if taken carelessly.
        images = 30 + torch.randn(3, ROWS, 3, 8, 8, generator=torch.Generator().manual_seed(1))
        goal = torch.randn(ROWS, 6, generator=torch.Generator().manual_seed(2))
        alone, together = network(kind), network(kind)
        alone(images[0])  # makes the lazy layer, and changes running statistics of both alike
        together(images[0])
        together.load_state_dict(alone.state_dict())
        synchronize_batch_norm(together)
        rows = processes.rows(ROWS)
        expected = features(alone, images)
        (sum(expected) * goal).square().mean().backward()  # type: ignore[union-attr]
        own = features(together, images[:, rows])
        gathered = processes.gather(torch.stack(own), ROWS)
        with GradientSum(list(together.parameters()), processes, bucket_bytes=200).summed():
            (gathered.sum(dim=0) * goal).square().mean().backward()
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
    # Pixels are normalized in single precision, the same in every process, and used in double.
    normalize: Any = Normalization.__call__
    Normalization.__call__ = lambda self, images, *rest: normalize(  # type: ignore[method-assign]
        self, images if images.dtype == torch.uint8 else images.to(torch.float32), *rest
    ).double()


class Drawing(StatelessRun):
    """A defense whose loss draws random numbers: features of each step are half forgotten."""

    trusted_size = 0

    def start(self, facts: TrainingFacts) -> Drawing:  # noqa: ARG002
        return self

    def phases(self, epoch: int, pairs: EpochPairs) -> Iterator[Phase]:  # noqa: ARG002
        yield Phase("drawing", self.loss)

    def loss(self, features: Features) -> Tensor:
        image, text = (part[0] * (torch.rand(part[0].shape) < 0.5) for part in features[:2])
        return clip_loss(image, text, features.logit_scale)


def training(folder: Path, processes: Processes) -> None:
    """Train with defenses on 71 pairs in batches of 18: these and their shares are unequal."""
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
        ("roclip", RoCLIP(pool_size=40), 2),
        ("dao", DAO(scoring_epochs=1, k=4, block=32), 1),
        ("clipscore", ClipScore(trusted_size=41), 1),
        ("cleanclip", CleanCLIP(trusted_size=41, clean_up_epochs=2), 1),
        ("par", PAR(trusted_size=41, clean_up_epochs=2, clean_up_batch_size=16), 1),
        ("drawing", Drawing(), 2),
    )
    for name, defense, epochs in defenses:
        train(folder, name, defense, processes, count=71, batch_size=18, epochs=epochs)


EIGHT = {"count": 8, "batch_size": 3}
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
    """Train with every defense on eight pairs in batches of three: some have a row for two."""
    from clipbench.plugins import registry  # noqa: PLC0415 - heavy, and not for the other checks

    reusing = f"safeclip:{FEW['safeclip']},reuse_scores=true"
    train(folder, "reused", registry.build("defense", reusing), processes, **EIGHT, epochs=4)
    for name in registry.names("defense"):
        defense = registry.build("defense", f"{name}:{FEW[name]}" if name in FEW else name)
        epochs = 3 if name == "safeclip" else 2 if name == "roclip" else 1
        train(folder, name, defense, processes, **EIGHT, epochs=epochs)


def train(folder: Path, name: str, defense: Defense, processes: Processes, **settings: Any) -> None:
    """Train in double precision, together and then the first process alone.

    It keeps losses, exposures and weights.
    """
    from tiny_training import tiny_trainer  # noqa: PLC0415 - heavy, and not for the other checks

    for among in (processes, Processes()) if processes.is_first else (processes,):
        place = folder / str(among.count)
        place.mkdir(parents=True, exist_ok=True)
        trainer = tiny_trainer(place / name, defense, processes=among, **settings)
        trainer.learner.model.double()
        trainer.train()
        if among.is_first:
            found = {
                "losses": [entry.losses for entry in trainer.state.history],
                "exposures": torch.from_numpy(trainer.exposures),
                "model": trainer.learner.model.state_dict(),
            }
            torch.save(found, place / f"{name}.pt")


def caches(folder: Path, processes: Processes) -> dict[str, Any]:
    """Which processes make, where two of them share a cache and the third has its own."""
    name = "shared" if processes.rank < 2 else "own"
    found = at_cache(processes, folder / name, Reporter(quiet=True))
    made = folder / name / "made"
    seen = [made.exists()]

    def make() -> str:
        seen.append(made.exists())
        if not made.exists():
            made.write_text(str(processes.rank))
        return made.read_text()

    text = found.in_turn(make)
    one = at_cache(processes, folder, Reporter(quiet=True))
    return {"makes": [found.makes, one.makes], "made_by": [int(text)], "seen": seen}


class Doubtful:
    """A defense that decides something else in each process, as rounding may have it."""

    trusted_size = 0

    def start(self, facts: TrainingFacts) -> Doubtful:
        self.facts, self.rank, self.ratio = facts, float(os.environ["RANK"]), 0.0
        return self

    def phases(self, epoch: int, pairs: EpochPairs) -> Iterator[Phase]:
        scores = pairs.score_set(lambda images, _: images.sum(dim=1) + self.rank)
        self.ratio = float(scores.mean())
        keep = torch.ones(len(pairs), dtype=torch.bool)
        keep[: int(3 * self.rank)] = False
        self.factor = 1.0 + self.rank
        yield Phase("kept", self.loss, keep=keep, lr_scale=1.0 + self.rank)
        factor, rate = self.factor, 0.5 + epoch + self.rank
        yield Phase("scheduled", self.loss, lr_factor=lambda step, steps: rate * step / steps)
        self.ratio += factor

    def loss(self, features: Features) -> Tensor:
        return clip_loss(features.image[0], features.text[0], features.logit_scale)

    def state_dict(self) -> dict[str, Any]:
        return {"ratio": self.ratio}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.ratio = state["ratio"]


def decisions(folder: Path, processes: Processes) -> dict[str, Any]:
    """Train with a defense that decides something else in each process."""
    from tiny_training import tiny_trainer  # noqa: PLC0415

    place = folder / "decisions" / str(processes.rank)
    trainer = tiny_trainer(place, Doubtful(), count=24, batch_size=8, processes=processes)
    trainer.train()
    history = trainer.state.history
    assert trainer.set_scores is not None
    return {
        "losses": np.concatenate([entry.losses for entry in history]),
        "pairs": [entry.pairs for entry in history],
        "rates": [entry.lr for entry in history],
        "scores": trainer.set_scores,
        "exposures": trainer.exposures,
        "state": trainer._run.state_dict()["ratio"],
        "weights": weights(trainer),
    }


def weights(trainer: Trainer) -> Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.learner.model.parameters()])


class Killed(BaseException):
    """What stands for SIGKILL."""


def resumed(folder: Path, processes: Processes) -> dict[str, Any]:
    """Train, and train again: killed in the middle of an epoch, each with a folder of its own."""
    from tiny_training import tiny_trainer  # noqa: PLC0415

    from clipbench_defenses.safeclip import SafeCLIP  # noqa: PLC0415

    safeclip = SafeCLIP(unimodal_epochs=1, cross_modal_epochs=1, pool_size=8, first_ratio=0.5)
    settings: dict[str, Any] = {"count": 24, "batch_size": 8, "epochs": 3, "processes": processes}
    place = folder / "resumed" / str(processes.rank)
    whole = tiny_trainer(place / "whole", safeclip, **settings)
    whole.train()

    def kill(*_: object) -> None:
        if killed.state.epoch == 2 and killed.state.step == 2:
            raise Killed

    killed = tiny_trainer(
        place / "killed", safeclip, progress=kill, checkpoint_every_s=0.0, **settings
    )
    with suppress(Killed):
        killed.train()
    told: list[str] = []
    again = tiny_trainer(place / "killed", safeclip, resuming=told.append, **settings)
    again.train()
    return {
        "whole": weights(whole),
        "again": weights(again),
        "told": told,
        "files": [(place / "killed" / "checkpoint.pt").exists()],
    }


def patience(processes: Processes) -> dict[str, Any]:
    """Wait for the first process for longer than an operation of all may take.

    The group before has ended; in the one that begins here a second stands for ten minutes.
    """
    processes.part()
    processes = join_processes("cpu", timeout_s=3.0)
    started = time.monotonic()
    if processes.is_first:
        time.sleep(3.6)
    processes.barrier()
    waited = time.monotonic() - started
    total = processes.sum_of(torch.ones(1))
    if processes.is_first:
        time.sleep(3.6)
    try:
        with watched():
            torch.distributed.barrier()
        failed = ""
    except LostProcess as error:
        failed = str(error)
    return {"waited": [600 * waited], "sum": total, "failed": [failed]}


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    processes = join_processes("cpu")
    for check in (collectives, overlap, batch_norm):
        keep(folder, check.__name__, processes, check(processes))
    for look in (caches, decisions, resumed):
        keep(folder, look.__name__, processes, look(folder, processes))
    single = torch.from_numpy, torch.Tensor.float, Normalization.__call__
    use_double()
    training(folder / "training", processes)
    few(folder / "few", processes)
    torch.set_default_dtype(torch.float32)
    torch.from_numpy, torch.Tensor.float, Normalization.__call__ = single  # type: ignore[method-assign]
    keep(folder, "patience", processes, patience(processes))


def keep(folder: Path, check: str, processes: Processes, found: dict[str, Any]) -> None:
    """Leave what a process found."""
    arrays = {
        name: value.detach().numpy() if isinstance(value, Tensor) else np.array(value)
        for name, value in found.items()
    }
    np.savez(folder / f"{check}.{processes.rank}.npz", **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
