"""Worker processes end with the command that started them, at once and without a word."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "support" / "slow_shards.py"
SOON_S = 3.0  # it takes a tenth of that where nothing else runs


def wait_for(what: Callable[[], bool], seconds: float = 60.0) -> bool:
    until = time.monotonic() + seconds
    while not what() and time.monotonic() < until:
        time.sleep(0.01)
    return what()


def started(folder: Path) -> subprocess.Popen[str]:
    """Return a command whose workers are at their files."""
    folder.mkdir()
    line = [sys.executable, str(SCRIPT), str(folder)]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert wait_for(lambda: len([*folder.iterdir()]) == 2)
    return process


def members(group: int) -> list[int]:
    """Return the living processes of a group."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize(
    ("numbers", "to_all"),
    [
        ([signal.SIGINT], True),  # Ctrl-C: a terminal sends it to all
        ([signal.SIGINT, signal.SIGINT], True),
        ([signal.SIGTERM], False),  # Kubernetes
        ([signal.SIGTERM], True),  # Slurm
        ([signal.SIGHUP], True),  # a terminal that closes
    ],
)
def test_a_command_that_is_stopped_does_not_wait_for_its_workers(
    tmp_path: Path, numbers: list[signal.Signals], *, to_all: bool
) -> None:
    """One line, no traceback, nobody left, and nothing unfinished."""
    with started(tmp_path / "set") as process:
        began = time.monotonic()
        for number in numbers:
            (os.killpg if to_all else os.kill)(process.pid, number)
            time.sleep(0.05)
        status, said = process.wait(60), process.stderr.read() if process.stderr else ""
        took = time.monotonic() - began
    assert status in (128 + numbers[0], -numbers[0]), said  # by a second one while Python ends
    assert len(said.splitlines()) == 1
    assert "the same command goes on where this one stopped" in said
    assert took < SOON_S
    assert wait_for(lambda: not members(process.pid), SOON_S)
    assert [*(tmp_path / "set").iterdir()] == []


def test_workers_of_a_killed_command_leave(tmp_path: Path) -> None:
    """They have nobody to write for; what they have not finished goes with the next command."""
    with started(tmp_path / "set") as process:
        process.kill()
        assert wait_for(lambda: not members(process.pid), SOON_S)
