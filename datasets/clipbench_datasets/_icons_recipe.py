"""How models are trained on `icons`, and the parameters of attacks and defenses there.

Chosen on the validation split and on clean data alone, but for what `shapes` has found out about
images of 32 pixels and sets of some ten thousand pairs, which is taken from there.
"""

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
SAFECLIP: dict[str, Any] = {
    "unimodal_epochs": 1,
    "cross_modal_epochs": 1,
    "cross_modal_lr_scale": 1.0,
    "unimodal_lr_scale": 0.2,
    "first_ratio": 0.5,
    "growth": 0.1,
    "cap": 0.97,
    "pool_size": 4096,
    "train": {"epochs": 13},
}
ROCLIP: dict[str, Any] = {"pool_size": 4096, "train": {"epochs": 16}}
CLEAN_UP: dict[str, Any] = {
    "trusted_size": 2_000,
    "clean_up_epochs": 20,
    "clean_up_lr_scale": 1.0,
    "clean_up_warmup": TRAIN["warmup"],
    "clean_up_batch_size": None,
    "clean_up_wd": None,
}
DEFENSES: dict[str, dict[str, Any]] = {
    "safeclip": SAFECLIP,
    "roclip": ROCLIP,
    **dict.fromkeys(("finetune", "cleanclip", "par"), CLEAN_UP),
    "clipscore": {"trusted_size": 2_000, "scoring_warmup": TRAIN["warmup"]},
}
# A patch of 16 of 224 pixels would be two of 32.
PATCH: dict[str, Any] = {"size": 0.25, "cells": 4}
SURROGATE: dict[str, Any] = {"surrogate_lr": TRAIN["lr"]}
ATTACKS: dict[str, dict[str, Any]] = {
    "badnets": PATCH,
    "label_consistent": PATCH,
    "dual_key": {**PATCH, "single": 0.5},
    "badclip": {"size": PATCH["size"], **SURROGATE},
    "text_targeted": SURROGATE,
    "text_trigger": {"position": "start", "images": 1, "hit": "image"},
    "adaptive": SURROGATE,
    "blended": {"detail": 32},  # one cell per pixel
    "wanet": {"grid": 4, "strength": 0.5},
    "filter": {"look": "tint"},
}
