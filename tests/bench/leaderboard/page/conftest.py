"""Results of real configurations, and of strangers, for the page."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from clipbench.configuration.request import combine
from clipbench.evaluation.statistics import Proportion
from clipbench.results.result import config_hash

Result = dict[str, Any]
MakeResult = Callable[..., Result]

HOSTILE = "</script></style><img src=x onerror=alert(1)>\"'&\u202e"


@pytest.fixture
def as_run(make_result: MakeResult) -> Callable[..., Result]:
    """Return what turns settings, as a request has them, into the result of such a run."""

    def make(**layer: Any) -> Result:
        config = combine(layer).configs()[0]
        given = config.hashed()
        clean = config.is_clean
        result = make_result(
            attack=config.attack_name,
            attack_parameters=config.attack.parameters,
            rate=float(config.rate or 0) or (None if clean else 0.01),
            defense=config.defense_name,
            defense_parameters=config.defense.parameters,
            seed=config.seed,
        )
        sha = config_hash(given)
        result["data"] |= {"name": config.data_name, "parameters": config.data.parameters}
        if config.poison_seed is not None:
            result["poison_seed"] = config.poison_seed
        return result | {"config": given, "config_sha256": sha, "id": sha[:16]}

    return make


@pytest.fixture
def told(make_result: MakeResult, bench: list[Result]) -> list[Result]:
    """Return three defenses over seeds with a history, two rates, and an attack that fails."""
    history = [
        {
            "epoch": epoch,
            "safe_set_size": 9000 + 1000 * epoch,
            "pairs": 20000,
            "poisons_in_epoch": 160,
            "poisons_in_safe_set": 3 * epoch,
            "attack_success": Proportion(round(16 / (1 + math.exp(4 - epoch))), 16).to_json(),
        }
        for epoch in range(1, 9)
    ]
    for result in bench:
        if result["defense"]["name"] == "safeclip":
            result["history"] = history
            result["metrics"]["score_auroc"] = {"value": 0.99}
            result["metrics"]["poison_kept"] = Proportion(3, 160).to_json()
    return [
        *bench,
        make_result(rate=0.004, count=80, success=(14, 16)),
        make_result(attack="wanet", attack_parameters={}, success=(1, 16)),
        make_result(attack="wanet", attack_parameters={}, defense="safeclip", success=(0, 16)),
        make_result(attack="sig", attack_parameters={}, defense="clip", success=(2, 16)),
    ]


@pytest.fixture
def hostile(make_result: MakeResult) -> list[Result]:
    """Return results in which every text that a stranger chooses is an attack on the page."""
    made = []
    for defense in ("none", HOSTILE):
        result = make_result(
            attack=HOSTILE,
            attack_parameters={HOSTILE: HOSTILE},
            defense=defense,
            defense_parameters={HOSTILE: [HOSTILE]},
            model=HOSTILE,
            data=HOSTILE,
            metrics={HOSTILE: 0.5},
            settings={HOSTILE: {HOSTILE: HOSTILE}},
            history=[{"epoch": 1, "attack_success": Proportion(3, 16).to_json()}],
        )
        result["attack"]["crafted"] = {HOSTILE: HOSTILE}
        result["environment"] |= {HOSTILE: HOSTILE, "clipbench": HOSTILE}
        result["evaluations"] = 2 * [{"name": HOSTILE, "metrics": {HOSTILE: {"value": 1.0}}}]
        made.append(result)
    return made
