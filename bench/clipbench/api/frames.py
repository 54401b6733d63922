"""Results as a table of pandas: one row per run, with numbers as numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

from clipbench.results.labels import canonical

if TYPE_CHECKING:
    from clipbench.api.results import RunResult

_TEXT, _COUNT, _NUMBER = "object", "Int64", "float64"
_COLUMNS = {
    **dict.fromkeys(("id", "created", "data", "data_parameters"), _TEXT),
    "pairs": _COUNT,
    **dict.fromkeys(("attack", "attack_parameters"), _TEXT),
    "rate": _NUMBER,
    **dict.fromkeys(("count", "targets"), _COUNT),
    **dict.fromkeys(("defense", "defense_parameters", "model"), _TEXT),
    **dict.fromkeys(("seed", "poison_seed"), _COUNT),
    "epochs": _NUMBER,
    "samples_seen": _COUNT,
    "seconds": _NUMBER,
    "peak_memory_bytes": _COUNT,
    **dict.fromkeys(("device", "folder"), _TEXT),
}


def frame_of_runs(results: Iterable[RunResult]) -> pd.DataFrame:
    """Return the frame that `clipbench.api.results.Results.to_frame` describes."""
    results = list(results)
    columns = dict(_COLUMNS)
    for result in results:
        for name, metric in result.metrics.items():
            columns[name] = _NUMBER
            if metric.k is not None:
                columns |= {f"{name}_k": _COUNT, f"{name}_n": _COUNT}
                columns |= {f"{name}_low": _NUMBER, f"{name}_high": _NUMBER}
    records = [_ran(result) | _measured(result) for result in results]
    return pd.DataFrame(records, columns=[*columns], dtype="object").astype(columns)


def _ran(result: RunResult) -> dict[str, object]:
    """Return what was run and what it cost."""
    told = result.told
    data, attack, defense, train = told.data, told.attack, told.defense, told.train
    spent = ("epochs", "samples_seen", "seconds", "peak_memory_bytes", "device")
    return {
        "id": result.id,
        "created": told.created,
        "data": result.data,
        "data_parameters": canonical(data.parameters),
        "pairs": data.pairs,
        "attack": result.attack,
        "attack_parameters": canonical(attack.parameters or {}),
        "rate": result.rate,
        "count": result.count,
        "targets": attack.targets,
        "defense": result.defense,
        "defense_parameters": canonical(defense.parameters),
        "model": result.model,
        "seed": result.seed,
        "poison_seed": result.poison_seed,
        "folder": None if result.folder is None else str(result.folder),
        **{name: None if train is None else getattr(train, name) for name in spent},
    }


def _measured(result: RunResult) -> dict[str, object]:
    """Return the metrics by column."""
    cells: dict[str, object] = {}
    for name, metric in result.metrics.items():
        cells[name] = metric.value
        if metric.k is not None:
            cells |= {f"{name}_k": metric.k, f"{name}_n": metric.n}
            cells |= {f"{name}_low": metric.low, f"{name}_high": metric.high}
    return cells
