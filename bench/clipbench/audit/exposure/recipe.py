"""How a small model is trained on pairs that nobody has tuned anything for.

Settings are those of the embedded data sets for images of 32 pixels. SafeCLIP's numbers were
chosen by success and accuracy on 5,100 pairs of clip art, of four choices tried: more steps of
matching images with captions before pairs are told apart, and a safe set that stays smaller, than
`shapes` takes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from clipbench.models.openclip import image_size_of, model_config
from clipbench.plugins import registry

SAMPLES = 180_000  # pairs that a training run without a defense goes through, if it can choose
FEWEST, MOST = 8, 24  # epochs; on 5,100 pairs of clip art 33 taught no more than 20
_TRAIN: dict[str, Any] = {
    "wd": 0.1,
    "beta2": 0.98,
    "eps": 1e-6,
    "grad_clip_norm": 1.0,
    "lr_schedule": "cosine",
    "crop_scale": 0.8,
    "crop_scale_max": 1.2,
    "flip": 0.5,
    "color_jitter": 0.0,
    "grayscale": 0.0,
    "blur": 0.0,
}
_BATCHES = ((4_000, 256), (1_000, 128), (0, 64))  # from so many pairs on, of so many
_LR, _LR_OF_LARGE = 2e-3, 5e-4
_SMALL = 64  # side in pixels up to which a model is as small as those that come with clipbench
_LONGEST_WARMUP = 100
# SafeCLIP: steps on images and captions apart, then of matching them; its first safe set, and its
# last, to which it grows by the last epoch.
_ALONE, _MATCH = 40, 80
_FIRST, _CAP = 0.3, 0.85
# Epochs of each defense relative to those of plain training: the first of SafeCLIP and RoCLIP
# teach nothing, or little, of how images and captions go together.
_LONGER = {"safeclip": 5 / 3, "roclip": 2.0}


def batch_for(pairs: int) -> int:
    """Return the pairs of a batch: fewer in a small set, whose epochs would have too few steps."""
    return next(batch for least, batch in _BATCHES if pairs >= least)


def epochs_for(pairs: int) -> int:
    """Return the epochs of plain training on so many pairs."""
    return min(MOST, max(FEWEST, round(SAMPLES / pairs)))


def epochs_of(defense: str, epochs: int) -> int:
    """Return the epochs of a defense where plain training has so many."""
    return round(epochs * _LONGER.get(_name("defense", defense), 1.0))


def train_settings(model: str, pairs: int, epochs: int) -> dict[str, Any]:
    """Return the training settings.

    Args:
        model: that is trained.
        pairs: training pairs.
        epochs: of this run.
    """
    batch, small = batch_for(pairs), side_of(model) <= _SMALL
    steps = epochs * max(1, pairs // batch)
    lr = _LR if small else _LR_OF_LARGE
    return {
        **_TRAIN,
        **({"precision": "fp32"} if small else {}),  # the same on every machine
        "model": model,
        "epochs": epochs,
        "batch_size": batch,
        "lr": round(lr * math.sqrt(batch / _BATCHES[0][1]), 6),
        "warmup": min(_LONGEST_WARMUP, max(1, steps // 8)),
    }


def defense_spec(defense: str, pairs: int, epochs: int) -> Mapping[str, object]:
    """Return a defense with parameters for a short training; those that were given stay.

    Args:
        defense: as the command line takes it.
        pairs: training pairs.
        epochs: of this run.
    """
    given = registry.parse("defense", defense)
    ours = _parameters(registry.short_name(given.name), pairs, epochs)
    return {"name": given.name, **ours, **given.parameters}


def attack_spec(attack: str, model: str) -> str:
    """Return a backdoor whose patch a model can see.

    Args:
        attack: as the command line takes it.
        model: that is trained.
    """
    if attack in ("badnets", "label_consistent") and side_of(model) <= _SMALL:
        return f"{attack}:size=0.25,cells=4"  # a patch of 16 of 224 pixels would be one of two
    return attack


def side_of(model: str) -> int:
    """Return the side of a model's images in pixels."""
    return image_size_of(model_config(model))


def _parameters(defense: str, pairs: int, epochs: int) -> dict[str, object]:
    pool = max(256, min(4096, pairs // 5))
    if defense == "safeclip":
        unimodal, matching = (_epochs_of_steps(steps, pairs, epochs) for steps in (_ALONE, _MATCH))
        return {
            "unimodal_epochs": unimodal,
            "cross_modal_epochs": matching,
            "cross_modal_lr_scale": 1.0,
            "unimodal_lr_scale": 0.2,
            "first_ratio": _FIRST,
            "growth": round((_CAP - _FIRST) / max(1, epochs - unimodal - matching - 1), 4),
            "cap": _CAP,
            "pool_size": pool,
        }
    return {"pool_size": pool} if defense == "roclip" else {}


def _epochs_of_steps(steps: int, pairs: int, epochs: int) -> int:
    """Return the epochs of about so many steps, at least 1 and at most a quarter of all."""
    wanted = round(steps * batch_for(pairs) / pairs)
    return max(1, min(wanted, epochs // 4))


def _name(kind: registry.Kind, spec: str) -> str:
    return registry.short_name(registry.parse(kind, spec).name)
