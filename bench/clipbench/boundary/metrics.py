"""Calls into a metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clipbench.contracts import Measured, Metric
from clipbench.plugins.faults import Call, kind_of


def measure(metric: Metric, measured: Measured) -> Mapping[str, Any]:
    """Return what a metric measured, by name.

    Raises:
        BrokenContract: it is no mapping of names.
    """
    call = Call("metric", metric, "measure", f"on {measured.evaluation.name}")
    with call:
        found: Any = metric.measure(measured)
    if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
        raise call.broken(f"it must return a mapping of names to values. Got {kind_of(found)}.")
    return found
