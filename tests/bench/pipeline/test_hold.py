"""A folder is held by one process, as long as that lives, where the file system can say so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from clipbench.parallel.bench import Bench
from clipbench.parallel.group import Processes
from clipbench.pipeline.hold import held
from clipbench.system.locks import try_folder

HOLDER = """
import sys, time
from pathlib import Path
from clipbench.system.locks import try_folder
assert try_folder(Path(sys.argv[1])) is not None
print("held", flush=True)
time.sleep(600)
"""


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    """The run is taken up again at once, and nothing is left that somebody would have to remove."""
    folder = tmp_path / "run"
    line = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert try_folder(folder) is None
        process.kill()
    with held(folder, Bench(tmp_path)):
        assert try_folder(folder) is None
    handle = try_folder(folder)
    assert handle is not None
    handle.release()
    assert list(folder.iterdir()) == []


def test_the_first_process_holds_for_all(tmp_path: Path) -> None:
    """The others hold nothing themselves; they wait until it does."""
    waits: list[str] = []

    class Second(Processes):
        def barrier(self) -> None:
            waits.append("for the first")

    with held(tmp_path / "run", Bench(tmp_path, Second(rank=1, count=2))):
        assert not (tmp_path / "run").exists()
        assert waits == ["for the first"]
    assert waits == ["for the first"]
