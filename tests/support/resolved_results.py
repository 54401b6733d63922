"""Results of configurations that this version resolves, so that each test changes one thing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from clipbench.configuration.resolution import resolve
from clipbench.evaluation.statistics import Proportion
from clipbench.results.model import SCHEMA
from clipbench.results.result import config_hash

Result = dict[str, Any]
MakeResult = Callable[..., Result]
DATA = "shapes:size=400,test_size=100,targets_size=100"
ENVIRONMENT = {"clipbench": "0.1.0", "python": "3.11.9", "numpy": "2.0.0", "git": "0" * 40}


def digest(text: str) -> str:
    """Return some SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()


def build(*, success: int = 90, control: int | None = 1, **asked: Any) -> Result:
    """Return the result of 8 poisons among 400 pairs; clean if the attack is none."""
    attack = asked.pop("attack", "badnets")
    clean = attack == "none"
    poisons = {} if clean else {"poisons": 8}
    config = resolve(**{"data": DATA, "attack": attack, **poisons, **asked})
    hashed = config.hashed()
    metrics = {
        "zeroshot_top1": Proportion(70, 100).to_json(),
        "mean_per_class_recall": {"value": 0.7},
    }
    if not clean:
        metrics["attack_success"] = Proportion(success, 99).to_json()
        if control is not None:
            metrics["attack_success_control"] = Proportion(control, 99).to_json()
    return {
        "schema": SCHEMA,
        "id": config.id,
        "created": "2026-03-01T12:00:00+00:00",
        "status": "complete",
        "config": hashed,
        "config_sha256": config_hash(hashed),
        "data": {
            "name": "shapes",
            "parameters": config.data.parameters,
            "pairs": 400,
            "content_sha256": digest("pairs"),
            "evaluation": {
                "name": "shapes",
                "classes_sha256": digest("classes"),
                "templates_sha256": digest("templates"),
            },
        },
        "attack": {
            "name": config.attack_name,
            "parameters": config.attack.parameters,
            "rate": None if clean else 0.02,
            "rate_requested": config.rate and str(config.rate),
            "count": 0 if clean else 8,
            "targets": None if clean else 1,
            "per_target": None if clean else 8.0,
            "mode": None if clean else "replace",
            "ledger_sha256": None if clean else digest("ledger"),
            "trigger_sha256": None if clean else digest("trigger"),
        },
        "defense": {"name": config.defense_name, "parameters": config.defense.parameters},
        "model": {"name": config.train.model, "parameters": 900_000, "image_size": 32},
        "seed": config.seed,
        "train": None,
        "exposures": None,
        "metrics": metrics,
        "history": [],
        "environment": dict(ENVIRONMENT),
    }


def sealed(result: Result) -> Result:
    """Return a result whose hash and id are again those of its configuration."""
    sha256 = config_hash(result["config"])
    return {**result, "config_sha256": sha256, "id": sha256[:16]}


@pytest.fixture
def make_result() -> MakeResult:
    """Return the factory of results."""
    return build


@pytest.fixture
def seal() -> Callable[[Result], Result]:
    """Return what makes a changed configuration's hash right again."""
    return sealed
