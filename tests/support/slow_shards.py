"""Have worker processes write files that take very long: ``slow_shards.py FOLDER``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from clipbench.cli._errors import report
from clipbench.system.durable import atomic_file
from clipbench.system.processes import in_processes
from clipbench.system.stopping import listening


def write(folder: Path, number: int) -> int:
    """Write a file, a byte now and then."""
    with atomic_file(folder / f"{number}.tar") as file:
        for _ in range(600):
            file.write(b"x")
            file.flush()
            time.sleep(0.1)
    return number


def main() -> int:
    """Write three in two processes, as commands do."""
    try:
        with listening():
            for _ in in_processes(write, Path(sys.argv[1]), [0, 1, 2], 2):
                pass
    except KeyboardInterrupt as error:
        return report(error, show_traceback=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
