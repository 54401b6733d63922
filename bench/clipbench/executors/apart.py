"""Work in a Python process of its own, for executors that work in threads, as Dask's workers do.

A training sets seeds, threads and signal handlers of its process, so that two can't share one.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from clipbench.errors import LostProcess

Result = TypeVar("Result")


def apart(work: Callable[[], Result]) -> Result:
    """Do picklable work in a process that ends with this one, and return what it returns.

    Raises:
        LostProcess: it ended without a result.
    """
    with tempfile.TemporaryDirectory(prefix="clipbench-apart-") as folder:
        given, made = Path(folder, "work"), Path(folder, "result")
        given.write_bytes(pickle.dumps(work))
        line = [sys.executable, "-m", __name__, str(given), str(made)]
        process = subprocess.Popen(line, stdin=subprocess.PIPE)  # noqa: S603 - this program
        status = process.wait()
        assert process.stdin is not None
        process.stdin.close()
        if status or not made.is_file():
            raise LostProcess(f"A process ended with status {status} and left no result.")
        found: Result = pickle.loads(made.read_bytes())  # noqa: S301 - from that process
        return found


def main() -> None:
    """Do what a file holds, write what it returns, and stop when whoever waits is gone."""
    given, made = map(Path, sys.argv[1:])

    def watch() -> None:
        while os.read(0, 1024):  # nothing comes; what Python buffers could not be left at the end
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
    made.write_bytes(pickle.dumps(pickle.loads(given.read_bytes())()))  # noqa: S301


if __name__ == "__main__":
    main()
