"""How long a training will take: the defence's phases, timed on a few steps of the real model."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable

import numpy as np
import torch

from clipbench.contracts import Defense, TrainingFacts
from clipbench.models import create_model, image_size_of, model_config
from clipbench.rng import generator
from clipbench.settings import TrainSettings
from clipbench.training.distributed import pick_device
from clipbench.training.optimizer import resolve_precision

SAMPLE = 500  # pairs of the imaginary set on which the phases are counted


def training_seconds(settings: TrainSettings, defense: Defense, pairs_per_epoch: int) -> float:
    """Return an estimate of the seconds a training takes on this machine.

    Raises:
        UnknownName, BadSetting, MissingData, CorruptData: the model, the defence or the weights to
            start from cannot be used.
    """
    trained, looked_at = work_of(settings, defense)
    step, look = _seconds_per_pair(settings)
    return pairs_per_epoch * (trained * step + looked_at * look)


def work_of(settings: TrainSettings, defense: Defense) -> tuple[float, float]:
    """Return how often a pair is trained on, and how often only encoded, over the whole training.

    The defence plans its epochs on an imaginary set in which a tenth of the pairs do not match.
    """
    rng = generator(0, "estimate")
    facts = TrainingFacts(
        SAMPLE, SAMPLE, settings.epochs, settings.batch_size, 8, torch.device("cpu"), 0
    )
    run = defense.start(facts)
    trained = looked_at = 0.0

    def similarity(augment: bool = False) -> torch.Tensor:  # noqa: ARG001
        nonlocal looked_at
        looked_at += 1
        means = np.where(np.arange(SAMPLE) < SAMPLE // 10, 0.0, 0.5)
        return torch.from_numpy(rng.normal(means, 0.1).astype(np.float32))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a guess about an imaginary set is no news
        for epoch in range(settings.epochs):
            for phase in run.phases(epoch, similarity):
                share = 1.0 if phase.keep is None else float(phase.keep.float().mean())
                trained += share * (phase.views - phase.detached_views)
                looked_at += share * phase.detached_views
    return trained, looked_at


def _seconds_per_pair(settings: TrainSettings) -> tuple[float, float]:
    """Return the seconds a pair takes to train on and to encode, one view each."""
    config = model_config(settings.model)
    model, tokenizer = create_model(settings.model, 0, settings.pretrained)
    device = pick_device(settings.device)
    model = model.to(device)
    side, batch = image_size_of(config), min(settings.batch_size, 256)
    images = torch.zeros(batch, 3, side, side, device=device)
    tokens = tokenizer(["a photo of a thing"] * batch).to(device)
    precision = resolve_precision(settings.precision, model, device)

    def encode() -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            image = model.encode_image(images)  # type: ignore[operator]
            text = model.encode_text(tokens)  # type: ignore[operator]
        return (image.float() * text.float()).sum()  # type: ignore[no-any-return]

    def look() -> None:
        with torch.no_grad():
            encode()

    def step() -> None:
        encode().backward()  # type: ignore[no-untyped-call]

    return _fastest(step, device) / batch, _fastest(look, device) / batch


def _fastest(action: Callable[[], None], device: torch.device) -> float:
    seconds = []
    for _ in range(4):
        started = time.perf_counter()
        action()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started)
    return min(seconds)
