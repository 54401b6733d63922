"""Work is spread over processes from any script, also from one that is not written for that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Larger than a pipe holds: a process that never came to read it made the script wait for good.
LARGE = 200_000
SCRIPT = """
from operator import getitem
from clipbench.system.processes import in_processes

print("began")
print(sorted(in_processes(getitem, "x" * {size}, range(3), 2)))
"""
OWN = """
from clipbench.system.processes import in_processes

def own(context, number):
    return context * number

if __name__ == "__main__":
    print("began")
    print(sorted(in_processes(own, 2, range(3), 2)))
"""

WARNING = """
import warnings
from clipbench.system.processes import in_processes

def own(context, number):
    warnings.warn(context)

if __name__ == "__main__":
    for _ in in_processes(own, "a shard\\nis odd", range(2), 2):
        pass
"""


def output_of(script: Path, text: str) -> list[str]:
    """Return the lines that a script prints."""
    script.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("size", [10, LARGE])
def test_a_script_is_not_run_again_by_its_workers(tmp_path: Path, size: int) -> None:
    """As those of docs/python.md are written: nothing but the calls, one after another."""
    found = output_of(tmp_path / "script.py", SCRIPT.format(size=size))
    assert found == ["began", "['x', 'x', 'x']"]


def test_a_script_may_spread_work_of_its_own(tmp_path: Path) -> None:
    """Then it must be written for that, and is imported."""
    assert output_of(tmp_path / "script.py", OWN) == ["began", "[0, 2, 4]"]


def test_what_a_process_warns_of_is_one_line(tmp_path: Path) -> None:
    """As in the process that waits: without a place in the code, and the code that is there."""
    script = tmp_path / "script.py"
    script.write_text(WARNING, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=600, check=True
    )
    assert {*done.stderr.splitlines()} == {"warning: a shard is odd"}
