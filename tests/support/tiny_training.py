"""A training small enough for a test: drawn shapes in memory, a model of few weights.

Every part is the real one: open_clip's residual network with batch norms and its text transformer,
drawn scenes with their captions, augmentation, and whichever defense is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import open_clip
import torch
from torch import nn

from clipbench.checkpoints.stages import SharedStages
from clipbench.configuration.settings import TrainSettings
from clipbench.contracts import Defense, Progress, no_progress, trusted_size
from clipbench.loading.augment import ImageAugmentation
from clipbench.loading.compact import CompactVocabulary
from clipbench.loading.pairs import TrainingPairs
from clipbench.loading.resident import ResidentSquares
from clipbench.loading.text import CaptionTable
from clipbench.parallel.bench import Bench
from clipbench.parallel.group import Processes
from clipbench.training.engine import Trainer
from clipbench.training.plan import Method
from clipbench.training.resume import Checkpoints
from clipbench_datasets.shapes import Shapes

SIDE = 32
LENGTH = 24
SEED = 3
SETTINGS: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 32,
    "lr": 1e-3,
    "warmup": 2,
    "precision": "fp32",
    "device": "cpu",
    "crop_scale": 0.6,
    "color_jitter": 0.4,
    "grayscale": 0.2,
    "blur": 0.3,
    "eda": 0.2,
    "checkpoint_every_s": 1e9,
}


class Images:
    """Decoded images in memory, and the captions they have."""

    def __init__(self, images: npt.NDArray[np.uint8], captions: Sequence[str] = ()) -> None:
        self._images, self._captions = images, captions
        self.image_size = images.shape[1]

    def __len__(self) -> int:
        return len(self._images)

    def gather(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Return images, ``(B, S, S, 3)``."""
        return self._images[indices]

    def image(self, index: int) -> npt.NDArray[np.uint8]:
        """Return an image, ``(S, S, 3)``."""
        return self._images[index]

    def captions(self, indices: npt.NDArray[np.int64] | Sequence[int]) -> list[str]:
        """Return captions."""
        return [self._captions[number] for number in indices]


@cache
def shapes(count: int, seed: int = 0) -> tuple[Images, CaptionTable]:
    """Images and captions of the first scenes of the embedded data set."""
    data = Shapes(size=count, image_size=SIDE, seed=seed)
    images, _, captions = data.arrays("train", 0, count)
    tokenizer = open_clip.SimpleTokenizer(context_length=LENGTH)
    return Images(images, captions), CaptionTable(captions, tokenizer, data.synonyms(), LENGTH)


def tiny_model(seed: int = 0) -> nn.Module:
    """An open_clip model: four residual blocks of 8 channels, one text layer of width 16."""
    torch.manual_seed(seed)
    model: nn.Module = open_clip.CLIP(
        16,
        {"image_size": SIDE, "layers": [1, 1, 1, 1], "width": 8, "head_width": 64},
        {"context_length": LENGTH, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
        output_dict=True,
    )
    return model


def tiny_pairs(model: nn.Module, settings: TrainSettings, count: int) -> TrainingPairs:
    """The first `count` drawn pairs; makes the token table of `model` compact."""
    return tiny_sets(model, settings, count, 0)[0]


def tiny_sets(
    model: nn.Module,
    settings: TrainSettings,
    count: int,
    trusted: int,
    device: torch.device | None = None,
) -> list[TrainingPairs]:
    """The first drawn pairs and, where some are asked for, trusted ones, under one token table."""
    sets = [shapes(count), *([shapes(trusted, seed=1)] if trusted else [])]
    used = np.unique(np.concatenate([captions.vocabulary() for _, captions in sets]))
    vocabulary = CompactVocabulary(model, used)
    augmentation = ImageAugmentation.of(settings)
    how: tuple[Any, ...] = (vocabulary, augmentation, settings.eda, SEED, device)
    resident = device is not None and device.type == "cuda"
    return [
        TrainingPairs(
            ResidentSquares(images, SIDE, device) if resident else images,
            captions,
            *how,
            source=images,
        )
        for images, captions in sets
    ]


def tiny_trainer(
    folder: Path,
    defense: Defense,
    *,
    count: int = 96,
    progress: Progress = no_progress,
    processes: Processes | None = None,
    shared: SharedStages | None = None,
    resuming: Callable[[str], object] = lambda _: None,
    fingerprint: str = "tiny",
    **settings: Any,
) -> Trainer:
    """A trainer at its start, or at the checkpoint that lies in `folder`."""
    chosen = TrainSettings(**{**SETTINGS, **settings})
    model, processes = tiny_model(), processes or Processes()
    sizes = (count, trusted_size(defense))
    sets = tiny_sets(model, chosen, *sizes, processes.device)
    checkpoints = Checkpoints(folder, fingerprint, chosen.checkpoint_every_s, processes, shared)
    bench = Told(folder, processes, progress, resuming)
    return Trainer(model, sets, Method(defense, chosen, SEED), checkpoints, bench)


class Told(Bench):
    """A bench whose reports go to functions."""

    def __init__(
        self,
        cache: Path,
        processes: Processes,
        progress: Progress = no_progress,
        resuming: Callable[[str], object] = lambda _: None,
    ) -> None:
        super().__init__(cache, processes)
        self.__dict__.update(_progress=progress, _resuming=resuming)

    @property
    def progress(self) -> Progress:
        """The function that is told about steps."""
        found: Progress = self.__dict__["_progress"]
        return found

    def resuming(self, text: str) -> None:
        """Tell the function where a training run goes on."""
        self.__dict__["_resuming"](text)
