"""Functions of results, for tests that have them as the JSON that ``result.json`` holds.

Tests state a result as JSON, change one thing of it, and hand it on: that says what a file of
another version, or of a stranger, might hold. The bench's functions take results as objects.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from clipbench.results.model import SCHEMA, Result
from clipbench.results.result import read_result

_TRAIN = {
    **{"epochs": 1, "samples_seen": 400, "steps": 4, "seconds": 1.0, "pairs_per_second": 400.0},
    **{"peak_memory_bytes": None, "device": "cpu", "precision": "fp32", "processes": 1},
}
_WHOLE: dict[str, Any] = {
    **{"schema": SCHEMA, "id": "0" * 16, "created": "2026-03-01T12:00:00Z", "status": "complete"},
    **{"config": {}, "config_sha256": "0" * 64, "seed": 0, "train": None, "exposures": None},
    "data": {
        **{"name": "shapes", "parameters": {}, "pairs": 20000, "content_sha256": "0" * 64},
        "evaluation": {"name": "shapes", "classes_sha256": None, "templates_sha256": None},
    },
    "attack": {
        **{"name": "none", "parameters": {}, "rate": None, "count": 0, "targets": None},
        **{"per_target": None, "mode": None, "ledger_sha256": None, "trigger_sha256": None},
    },
    "defense": {"name": "none", "parameters": {}},
    "model": {"name": "shapes-32", "parameters": 1000, "image_size": 32},
    **{"metrics": {}, "history": [], "environment": {"clipbench": "0.1.0", "python": "3.11.9"}},
}


def typed(value: Any) -> Any:
    """Return a value with every result in it as an object; what a test left out is filled in."""
    if isinstance(value, Mapping):
        if is_result(value):
            return Result.of(_filled(value))
        return {key: typed(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)) and any(map(is_result, value)):
        return [typed(part) for part in value]
    return value


def is_result(value: Any) -> bool:
    """Return whether a value is a result, be it in part."""
    parts = ("metrics", "defense")
    return isinstance(value, Mapping) and any(isinstance(value.get(p), Mapping) for p in parts)


def _filled(value: Mapping[str, Any]) -> dict[str, Any]:
    inner = {
        key: {**base, **value[key]}
        for key, base in {**_WHOLE, "train": _TRAIN}.items()
        if isinstance(base, dict) and isinstance(value.get(key), Mapping)
    }
    return {**_WHOLE, **value, **inner}


def of_json(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of results as a function of what ``result.json`` holds."""

    @functools.wraps(function)
    def wrapped(*args: Any, **given: Any) -> Any:
        return function(*map(typed, args), **{key: typed(value) for key, value in given.items()})

    return wrapped


def record_in(path: Path) -> dict[str, Any]:
    """Return what a file of a result holds, checked."""
    return dict(read_result(path).record)
