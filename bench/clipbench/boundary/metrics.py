"""Calls into a metric."""

from __future__ import annotations

from collections.abc import Mapping

from clipbench.contracts import Measured, Metric
from clipbench.plugins.faults import Call, kind_of


def measure(metric: Metric, measured: Measured) -> Mapping[str, object]:
    """Return what a metric measured, by name.

    Raises:
        BrokenContract: it is no mapping of names.
    """
    call = Call("metric", metric, "measure", f"on {measured.evaluation.name}")
    with call:
        found: object = metric.measure(measured)
    if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
        raise call.broken(f"it must return a mapping of names to values. Got {kind_of(found)}.")
    return found
