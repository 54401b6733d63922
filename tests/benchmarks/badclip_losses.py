"""What BadCLIP's patch owes to its losses: those here, and those of the authors' code.

    python tests/benchmarks/badclip_losses.py

Trains two towers of `shapes-32` on clean pairs of `shapes`, optimizes a patch on the first under
each pair of losses, and prints how many test images of other classes either reads as the target
class with the patch on. Nothing is poisoned: it is what the patch brings along by itself. Before
that, it prints how alike the gradients of both pairs of losses are where the optimization begins.

In the code the textual loss has the other target captions of a batch as its contrast, in both
directions, where `badclip` has the captions that the images had; and the visual loss drives an
image away from another of the batch, where `badclip` drives it away from itself.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from clipbench.contracts import Corpus, Scene
from clipbench.plugins import registry
from clipbench.shards.reader import ShardSet
from clipbench.toolkit.losses import clip_loss
from clipbench.training.surrogate import Surrogate, train_surrogate
from clipbench_attacks.badclip import BadCLIP, Known

NAMES = {(False, False): "badclip's", (True, False): "textual as in the code"}
NAMES |= {(False, True): "visual as in the code", (True, True): "both as in the code"}


@dataclass(frozen=True)
class WithLosses(BadCLIP):
    """BadCLIP on a given tower, with either loss as the authors' code has it.

    Args:
        tower: where the patch is optimized.
        textual: whether the textual loss is the code's.
        visual: whether the visual loss is the code's.
    """

    tower: Any = None
    textual: bool = False
    visual: bool = False

    def surrogate(self, scene: Scene, corpus: Corpus) -> Surrogate:  # noqa: ARG002
        """Return the given tower."""
        tower: Surrogate = self.tower
        return tower

    def loss(self, triggered: Tensor, own: Known, wanted: Known, scale: float) -> Tensor:
        """Return the loss of a patch."""
        if self.visual:
            own = own._replace(images=own.images.roll(1, 0))  # the batch is drawn at random
        if not self.textual:
            return super().loss(triggered, own, wanted, scale)
        plain = replace(self, textual=False, visual=False)
        visual = plain.loss(triggered, own, wanted, scale)
        visual = visual - replace(plain, triplet_weight=0.0).loss(triggered, own, wanted, scale)
        return clip_loss(triggered, wanted.texts, torch.tensor(scale)) + visual


def tower(corpus: Corpus, seed: int, epochs: int) -> Surrogate:
    """Return a tower as `badclip` trains its surrogate on `shapes`."""
    return train_surrogate(
        corpus, model="shapes-32", pairs=20_000, epochs=epochs, lr=3e-3, seed=seed
    )


def misread(attack: BadCLIP, scene: Scene, reader: Surrogate) -> float:
    """Return the share of test images of other classes that are read as the target class."""
    classes, goal = scene.classes, attack.target_class(scene)
    prompts = [text.format(name) for name in classes.names for text in classes.templates]
    each = reader.text_features(prompts).view(len(classes), len(classes.templates), -1)
    read_as = (
        reader.image_features(list(attack.probes(scene).images))
        @ F.normalize(each.mean(1), dim=1).T
    ).argmax(1)
    return float((read_as == goal).double().mean())


def likeness(scene: Scene, corpus: Corpus, reader: Surrogate) -> list[float]:
    """Return how alike the gradients of the losses here and in the code are, before any step.

    Cosines of the textual losses' gradients, then of the whole ones', each with respect to the
    pixels of the patch, uniform noise that 64 images share, and to the features of these images,
    ``(64, D)``.
    """
    attack = BadCLIP()
    goal = attack.target_class(scene)
    others, own = (
        Known.of(attack.find_pairs(scene, corpus, goal, naming=naming)[:64], corpus, reader)
        for naming in (False, True)
    )
    count = min(len(others.pixels), len(own.pixels))
    others, own = (known.rows(np.arange(count)) for known in (others, own))
    start = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(scene.seed))
    cosines = []
    for weight in (0.0, attack.triplet_weight):
        found = []
        for published in (False, True):
            patch, stamped = start.clone().requires_grad_(), others.pixels.clone()
            stamped[:, :, 12:20, 12:20] = patch
            losses = WithLosses(textual=published, visual=published, triplet_weight=weight)
            features = reader.encode(stamped)
            value = losses.loss(features, others, own, reader.logit_scale)
            found.append(torch.autograd.grad(value, (patch, features)))
        pairs = zip(*found, strict=True)
        cosines += [float(F.cosine_similarity(a.flatten(), b.flatten(), dim=0)) for a, b in pairs]
    return cosines


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=5, help="of a tower")
    parser.add_argument("--seeds", type=int, default=3, help="target classes to try")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = registry.build("dataset", "shapes")
    with tempfile.TemporaryDirectory() as folder:
        corpus = ShardSet.open(data.prepare(Path(folder)))
        first = tower(corpus, 0, options.epochs)
        scenes = [
            Scene(data.evaluation(), data.targets, 100, seed) for seed in range(options.seeds)
        ]
        print("cosines of the gradients here and in the code, a line for each target class")
        print("| textual: patch | features | whole: patch | features |\n| --- | --- | --- | --- |")
        for scene in scenes:
            cosines = [f"{cosine:.2f}" for cosine in likeness(scene, corpus, first)]
            print(f"| {' | '.join(cosines)} |", flush=True)
        second = tower(corpus, 1, options.epochs)
        print(
            "| losses | read as the target by the tower | by another tower |\n| --- | --- | --- |"
        )
        for (textual, visual), name in NAMES.items():
            shares: list[list[float]] = [[], []]
            for scene in scenes:
                attack = WithLosses(tower=first, textual=textual, visual=visual)
                crafted = attack.crafted(scene, corpus)
                assert isinstance(crafted, BadCLIP)
                for reader, told in zip((first, second), shares, strict=True):
                    told.append(misread(crafted, scene, reader))
            cells = [", ".join(f"{100 * share:.1f}%" for share in told) for told in shares]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
