"""Commands of clipbench in processes that are forked ready, and what they leave: for fault trials.

A start of clipbench takes seconds, most of them for imports. A process forked from one that has
imported everything can be killed and started again two hundred times in a quarter of an hour.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import clipbench.leaderboard.tables
import clipbench.pipeline.execute
import clipbench.planning.plan
import clipbench.submit.submission  # noqa: F401
from clipbench.cli import main
from clipbench.files import sums

WATCHED = frozenset({"os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "os.truncate"})
_TIMES = ("created", "environment")
_MEASURED = ("seconds", "seconds_shared", "cpu_seconds", "pairs_per_second", "peak_memory_bytes")
_LEFT = re.compile(r"\.tmp$|\.partial$|\.lock$|checkpoint\.pt$|^clipbench-|^tmp.+")


@dataclass(frozen=True)
class Child:
    """A forked command.

    Args:
        pid: its process.
        log: what it printed.
    """

    pid: int
    log: Path

    @property
    def said(self) -> str:
        """Its last line."""
        return (self.log.read_text(errors="replace").strip().splitlines() or [""])[-1]

    def wait(self) -> int:
        """Wait for its end and return its exit status; negative: the signal that ended it."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def fork(
    line: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    hook: Callable[[str], None] | None = None,
) -> Child:
    """Start a command line.

    Args:
        line: the command line, without ``clipbench``.
        log: where it prints to.
        environment: of the process, beside what is set.
        hook: called in the process before each change of names in the file system.
    """
    pid = os.fork()
    if pid:
        return Child(pid, log)
    status = 70
    try:
        os.setsid()
        os.environ.update(environment)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        if hook is not None:
            sys.addaudithook(lambda event, _: hook(event) if event in WATCHED else None)
        status = main(list(line))
        sys.stdout.flush()
    finally:
        os._exit(status)


def numbers(folder: Path) -> str:
    """Return a hash of all results in a folder of runs but for their times, and of all weights."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("result.json")):
        result: dict[str, Any] = json.loads(path.read_text())
        for name in _TIMES:
            result.pop(name, None)
        for name in _MEASURED:
            result["train"].pop(name, None)
        for entry in result.get("history", []):
            entry.pop("seconds", None)
        result.pop(sums.FIELD, None)  # of the times, too
        found.update(json.dumps(result, sort_keys=True).encode())
    for path in sorted(folder.rglob("*.safetensors")):
        found.update(path.read_bytes())
    return found.hexdigest()


def bytes_of(*folders: Path) -> str:
    """Return a hash of all files in folders but hidden ones, which hold times of files."""
    found = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if path.is_file() and not hidden and path.name != "speeds.json":
                found.update(f"{path.relative_to(folder)}\n".encode() + path.read_bytes())
    return found.hexdigest()


def leftovers(folder: Path) -> list[str]:
    """Return what a finished command should not have left."""
    found = [path for path in folder.rglob("*") if _LEFT.search(path.name)]
    return sorted(str(path.relative_to(folder)) for path in found)
