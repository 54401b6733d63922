"""How models are trained on `shapes`, and the parameters of attacks and defenses there."""

from __future__ import annotations

from typing import Any

TRAIN: dict[str, Any] = {
    "batch_size": 256,
    "lr": 3e-3,
    "wd": 0.1,
    "warmup": 100,
    # As often larger as smaller than tests show it: a model trained on larger shapes alone takes
    # the smaller ones of tests for stars.
    "crop_scale": 0.9,
    "crop_scale_max": 1.11,
    "flip": 0.5,
    # Colors are half of what captions say here, and images of 32 pixels are blurred as they are.
    "color_jitter": 0.0,
    "grayscale": 0.0,
    "blur": 0.0,
    # As open_clip trains vision transformers (Radford et al. 2021, appendix F).
    "beta2": 0.98,
    "eps": 1e-6,
    "grad_clip_norm": 1.0,
    # As the published rows were trained: of nine epochs the highest rate is 0.95 of `lr`.
    "lr_schedule": "cosine",
    # The same on every machine, so that a row and its control compare wherever each was trained.
    "precision": "fp32",
}
EPOCHS = 9
SAFECLIP_EPOCHS = 15
SAFECLIP = {
    "unimodal_epochs": 1,
    "cross_modal_epochs": 1,
    "cross_modal_lr_scale": 1.0,
    "unimodal_lr_scale": 0.2,
    "first_ratio": 0.5,
    "growth": 0.1,
    "cap": 0.97,
    "pool_size": 4096,
}
# Half of its epochs match images with the pool and teach little of captions: it gets twice as many,
# and a pool in which an image finds its own class, as 2% of a million pairs would be.
ROCLIP_EPOCHS = 18
ROCLIP = {"pool_size": 4096}
# A tenth of the rate for ten epochs, under this warm-up, left a backdoor whole here; this is what
# it takes for one of the three to work, and the other two get the same.
CLEAN_UP = {
    "trusted_size": 2_000,
    "clean_up_epochs": 20,
    "clean_up_lr_scale": 1.0,
    "clean_up_warmup": TRAIN["warmup"],
    "clean_up_batch_size": None,
    "clean_up_wd": None,
}
# A patch of 16 of 224 pixels would be one of two here.
PATCH: dict[str, object] = {"size": 0.25, "cells": 4}


def attacks_at(lr: float) -> dict[str, dict[str, Any]]:
    """Return the parameters of attacks on images of 32 pixels.

    Args:
        lr: learning rate of the victim, at which a surrogate is trained, too.
    """
    surrogate = {"surrogate_lr": lr}
    return {
        "badnets": PATCH,
        "label_consistent": PATCH,
        "dual_key": {**PATCH, "single": 0.5},
        "badclip": {"size": PATCH["size"], **surrogate},
        "text_targeted": surrogate,
        "text_trigger": {"position": "start", "images": 1, "hit": "image"},
        "adaptive": surrogate,
        "blended": {"detail": 32},  # one cell per pixel
        "wanet": {"grid": 4, "strength": 0.5},
        "filter": {"look": "tint"},
        "multi_trigger": {"triggers": ("badnets", "blended:detail=32", "filter:look=tint")},
    }


ATTACKS = attacks_at(TRAIN["lr"])
