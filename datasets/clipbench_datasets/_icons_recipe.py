"""How models are trained on `icons`, and the parameters of attacks and defenses there.

Chosen on the validation split and on clean data alone, but for what `shapes` has found out about
images of 32 pixels and sets of some ten thousand pairs, which is taken from there.
"""

from __future__ import annotations

from typing import Any

from . import _shapes_recipe as shapes

TRAIN: dict[str, Any] = {
    "model": "icons-32",
    "batch_size": 256,
    "lr": 2e-3,
    "wd": 0.1,
    "warmup": 100,
    "crop_scale": 0.8,
    "crop_scale_max": 1.2,
    "flip": 0.0,  # an arrow to the left is none to the right
    # Ink and ground are drawn for each icon anyway, and strokes of one pixel are gone when blurred.
    "color_jitter": 0.0,
    "grayscale": 0.0,
    "blur": 0.0,
    # As open_clip trains vision transformers (Radford et al. 2021, appendix F).
    "beta2": 0.98,
    "eps": 1e-6,
    "grad_clip_norm": 1.0,
    "lr_schedule": "cosine",
    # The same on every machine, so that a row and its control compare wherever each was trained.
    "precision": "fp32",
    "epochs": 8,
}
# SafeCLIP's first epochs look at images and captions apart, and RoCLIP's odd ones match images with
# a pool: each is given more epochs in the proportion in which it is on `shapes`.
CLEAN_UP = {**shapes.CLEAN_UP, "clean_up_warmup": TRAIN["warmup"]}
DEFENSES: dict[str, dict[str, object]] = {
    "safeclip": {**shapes.SAFECLIP, "train": {"epochs": 13}},
    "roclip": {**shapes.ROCLIP, "train": {"epochs": 16}},
    **dict.fromkeys(("finetune", "cleanclip", "par"), CLEAN_UP),
    "clipscore": {"trusted_size": 2_000, "scoring_warmup": TRAIN["warmup"]},
}
ATTACKS = shapes.attacks_at(TRAIN["lr"])
