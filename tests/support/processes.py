"""Starts the processes of a distributed run as torchrun does, without its agent to watch them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HELPERS = Path(__file__).parent


def environment(rank: int, count: int, port: int) -> dict[str, str]:
    """The variables that torchrun sets, and one thread a process."""
    own = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": port}
    return {
        **os.environ,
        **{name: str(value) for name, value in own.items()},
        "MASTER_ADDR": "127.0.0.1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(
            [str(HELPERS), *filter(None, [os.environ.get("PYTHONPATH")])]
        ),
    }


def start(arguments: Sequence[str], count: int) -> list[subprocess.Popen[str]]:
    """Start `count` processes of one run of ``python ARGUMENTS``."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return [
        subprocess.Popen(
            [sys.executable, *arguments],
            env=environment(rank, count, port),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


def finish(processes: Sequence[subprocess.Popen[str]], timeout_s: float = 120) -> list[str]:
    """Wait for all to end well and return what each wrote to stderr."""
    try:
        said = [process.communicate(timeout=timeout_s)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, text in zip(processes, said, strict=True):
        assert process.returncode == 0, text
    return said
