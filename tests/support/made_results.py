"""A factory of results as a run writes them, so that each test states only what it is about."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from clipbench.evaluation.statistics import Proportion
from clipbench.results.model import SCHEMA
from clipbench.results.result import config_hash

Result = dict[str, Any]
MakeResult = Callable[..., Result]

ENVIRONMENT = {
    "clipbench": "0.1.0",
    "python": "3.11.9",
    "torch": "2.15.0",
    "git": None,
    "hardware": {"cpu": "Example CPU", "cores": 2, "gpus": []},
    "platform": "Linux",
}


def digest(text: str) -> str:
    """Return some SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()


def build(
    *,
    attack: str = "targeted",
    attack_parameters: Mapping[str, Any] | None = None,
    rate: float | None = 0.008,
    count: int = 160,
    defense: str = "none",
    defense_parameters: Mapping[str, Any] | None = None,
    model: str = "shapes-tiny",
    data: str = "shapes",
    seed: int | None = 0,
    success: tuple[int, int] | None = (15, 16),
    top1: tuple[int, int] | None = (8500, 10000),
    metrics: Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    seconds: float = 140.0,
    created: str = "2026-03-01T12:00:00+00:00",
    history: list[dict[str, Any]] | None = None,
) -> Result:
    """Return a valid result; `metrics` are counts (k, n), values, or None to leave one out."""
    clean = attack == "none"
    parameters = {"targets": 16} if attack_parameters is None else dict(attack_parameters)
    config = {
        "attack": {"name": attack, "parameters": {} if clean else parameters},
        "rate": None if clean else rate,
        "defense": {"name": defense, "parameters": dict(defense_parameters or {})},
        "model": model,
        "data": {"name": data, "parameters": {"size": 20000}},
        "train": {"epochs": 20, "lr": 2e-3, **(train or {})},
        "seed": seed,
        **(settings or {}),
    }
    sha = config_hash(config)
    measured: dict[str, Any] = {
        "attack_success": None if clean else success,
        "attack_success_control": None if clean else (0, 16),
        "poisoned_accuracy": None if clean else (1, 16),
        "zeroshot_top1": top1,
        "zeroshot_top5": (9700, 10000),
        "mean_per_class_recall": 0.851,
        "image_to_text_r1": (641, 1000),
        "text_to_image_r1": (630, 1000),
        **(metrics or {}),
    }
    return {
        "schema": SCHEMA,
        "id": sha[:16],
        "created": created,
        "status": "complete",
        "config": config,
        "config_sha256": sha,
        "data": {
            "name": data,
            "parameters": {"size": 20000},
            "pairs": 20000,
            "content_sha256": digest(f"content {seed}"),
            "evaluation": {
                "name": data,
                "classes_sha256": digest("classes"),
                "templates_sha256": digest("templates"),
            },
        },
        "attack": {
            "name": attack,
            "parameters": {} if clean else parameters,
            "rate": None if clean else rate,
            "count": 0 if clean else count,
            "targets": None if clean else 16,
            "per_target": None if clean else count / 16,
            "mode": None if clean else "replace",
            "ledger_sha256": None if clean else digest("ledger"),
            "trigger_sha256": None,
        },
        "defense": {"name": defense, "parameters": dict(defense_parameters or {})},
        "model": {"name": model, "parameters": 912345, "image_size": 32},
        "seed": seed,
        "train": {
            "epochs": 20,
            "samples_seen": 400000,
            "steps": 1562,
            "seconds": seconds,
            "cpu_seconds": seconds,
            "pairs_per_second": 400000 / seconds,
            "peak_memory_bytes": 1 << 30,
            "device": "cpu",
            "precision": "bf16",
            "processes": 1,
        },
        "exposures": None if clean else {"mean": 20.0, "min": 20, "max": 20},
        "metrics": {
            name: Proportion(*value).to_json() if isinstance(value, tuple) else {"value": value}
            for name, value in measured.items()
            if value is not None
        },
        "history": history or [],
        "environment": dict(ENVIRONMENT),
    }


@pytest.fixture
def make_result() -> MakeResult:
    """Return the factory of results."""
    return build


@pytest.fixture
def bench(make_result: MakeResult) -> list[Result]:
    """Return none, clip and safeclip under one attack over three seeds, and none on clean data."""
    results = [make_result(attack="none", seed=0, top1=(8600, 10000))]
    for seed, successes in enumerate((15, 16, 16)):
        common = {"seed": seed, "success": (successes, 16)}
        results.append(make_result(**common, top1=(7200 + 10 * seed, 10000), seconds=100 + seed))
        results.append(
            make_result(**common, defense="clip", top1=(8450 + 20 * seed, 10000), seconds=140)
        )
        results.append(
            make_result(
                seed=seed,
                defense="safeclip",
                defense_parameters={"pool": 4096},
                success=(0, 16),
                top1=(8050 + 40 * seed, 10000),
                seconds=303,
            )
        )
    return results
