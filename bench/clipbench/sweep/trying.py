"""Plugins of a sweep, tried before its runs in a process that they may bring down."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from clipbench.configuration.config import RunConfig
from clipbench.errors import ClipbenchError, PluginFault
from clipbench.plugins.faults import before_work
from clipbench.sweep.placing import Placing
from clipbench.sweep.workers import Event, do_groups
from clipbench.system.progress import Reporter


def sure_to_fail(
    configs: Iterable[RunConfig], cache: Path, out: Path, reporter: Reporter
) -> dict[str, str]:
    """Return the runs that a plugin of theirs is sure to fail, by id, and why.

    Plugins that are no part of clipbench are tried, those of a run together, in a process of their
    own: one that ends its process, as a segmentation fault does, ends no sweep.

    Args:
        configs: the runs.
        cache: folder of clean and poisoned shards; nothing is made in it.
        out: folder of the runs, likewise.
        reporter: told how many were tried.
    """
    from clipbench.planning.tried import outside_of  # noqa: PLC0415 - heavy

    alike: dict[str, list[RunConfig]] = {}
    for config in configs:
        if plugins := outside_of(config):
            content = config.to_json()
            rest = [content["data"], content["evals"], content["train"]]
            outside = [part.to_json() for part in plugins]
            alike.setdefault(json.dumps([outside, *rest]), []).append(config)
    first = {same[0].id: same for same in alike.values()}
    failing: dict[str, str] = {}
    ended: list[str] = []

    def tell(event: Event) -> None:
        if event.kind == "failed":
            failing.update({config.id: event.text for config in first[event.run]})
        if event.kind in ("done", "failed"):
            ended.append(event.run)
        reporter.progress("trying plugins (kinds of runs)", len(ended), len(first))

    groups = [[same[0]] for same in first.values()]
    do_groups(groups, cache=cache, out=out, place=Placing(1, 1), tell=tell, do=try_one)
    return failing


def try_one(config: RunConfig, cache: Path, out: Path, reporter: Reporter) -> Event:  # noqa: ARG001
    """Try the plugins of a run; what else is wrong with it is left to its plan to find."""
    from clipbench.planning.parts import Parts  # noqa: PLC0415 - heavy
    from clipbench.planning.tried import try_plugins  # noqa: PLC0415 - heavy

    try:
        with before_work():
            try_plugins(config, Parts.of(config))
    except PluginFault as fault:
        return Event("failed", config.id, str(fault))
    except ClipbenchError:
        pass
    return Event("done", config.id)
