"""How models are trained on `icons`, and the parameters of attacks and defenses there."""

from __future__ import annotations

from typing import Any

TRAIN: dict[str, Any] = {
    "model": "icons-32",
    "batch_size": 256,
    "lr": 2e-3,
    "wd": 0.1,
    "warmup": 100,
    "crop_scale": 0.8,
    "crop_scale_max": 1.2,
    "flip": 0.0,  # an arrow to the left is none to the right
    "color_jitter": 0.0,
    "grayscale": 0.0,
    "blur": 0.0,
    "beta2": 0.98,
    "eps": 1e-6,
    "grad_clip_norm": 1.0,
    "lr_schedule": "cosine",
    "precision": "fp32",
    "epochs": 8,
}
