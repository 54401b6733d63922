"""Which processes share a cache folder: on several machines it may be one, or each has its own."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from pathlib import Path

from clipbench.parallel.group import Processes
from clipbench.system.durable import make_folder, unfinished
from clipbench.system.progress import Reporter

_makes: dict[Path, bool] = {}  # whether this process makes what a cache lacks
LOOKS, LOOK_EVERY_S = 5, 0.2  # a file of another machine may take a moment to be seen


def at_cache(processes: Processes, cache: Path, reporter: Reporter) -> Processes:
    """Return this process among all, knowing whether it makes what its cache lacks.

    One process makes for each cache: the first for those that see what it writes there, and of the
    others the first of each machine.

    Args:
        processes: this process among all; every one calls this.
        cache: the cache folder as this process names it.
        reporter: told what was found, where there are several machines.
    """
    line = processes.line
    if line is None:
        return processes
    if cache in _makes:
        return replace(processes, makes=_makes[cache])
    make_folder(cache)
    name = unfinished(cache / f"together-{secrets.token_hex(8)}").name  # that goes if it is left
    mark = cache / processes.told(name)
    if processes.is_first:
        mark.write_bytes(b"")
    processes.barrier()
    try:
        own = "" if _sees(mark) else str(cache.absolute())
        given = processes.each(own)
    finally:
        if processes.is_first:
            mark.unlink(missing_ok=True)
    makers = _makers([peer.node for peer in line.peers], given)
    if len(line.nodes) > 1:
        reporter.note(_told(cache, len(line.nodes), len(makers)))
    _makes[cache] = processes.rank in makers
    return replace(processes, makes=_makes[cache])


def _sees(mark: Path) -> bool:
    for _ in range(LOOKS):
        if mark.exists():
            return True
        time.sleep(LOOK_EVERY_S)
    return False


def _makers(nodes: list[str], own: list[str]) -> list[int]:
    """Return who makes: the first, and the first of each machine with a cache of its own."""
    first: dict[tuple[str, str] | None, int] = {}
    for rank, (node, cache) in enumerate(zip(nodes, own, strict=True)):
        first.setdefault((node, cache) if cache else None, rank)
    return sorted(first.values())


def _told(cache: Path, nodes: int, caches: int) -> str:
    if caches == 1:
        return f"{nodes} machines share the cache {cache}"
    return (
        f"{nodes} machines with {caches} caches: each makes its own pairs; to make them once, name"
        " a folder that all of them see with --cache"
    )
