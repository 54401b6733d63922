"""Where the file system has no locks, a file says who holds a folder."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from clipbench.system import locks
from clipbench.system.durable import clear_leftovers, unfinished
from clipbench.system.locks import locked_folder, try_folder
from clipbench.system.owners import this_process

NO_LOCKS = """
import errno, fcntl, sys, time
from pathlib import Path

def refuse(*_):
    raise OSError(errno.ENOLCK, "No locks available")

fcntl.flock = refuse
from clipbench.system.durable import unfinished
from clipbench.system.locks import locked_folder, try_folder
"""
HOLDER = f"""{NO_LOCKS}
folder = Path(sys.argv[1])
assert try_folder(folder) is not None
unfinished(folder / "shard.tar").write_bytes(b"part")
print("held", flush=True)
time.sleep(600)
"""
WRITER = f"""{NO_LOCKS}
folder = Path(sys.argv[1])
for _ in range(20):
    with locked_folder(folder):
        count = folder / "count"
        number = int(count.read_text()) if count.exists() else 0
        time.sleep(0.002)
        count.write_text(str(number + 1))
"""


@pytest.fixture(params=[errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS], ids=errno.errorcode.get)
def without_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the system refuse to lock, as some network file systems do."""

    def refuse(*_: object) -> NoReturn:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.usefixtures("without_locks")
def test_a_folder_is_held_by_one_and_nothing_is_left(tmp_path: Path) -> None:
    """The second gets nothing until the first lets go."""
    folder = tmp_path / "run"
    first = try_folder(folder)
    assert first is not None
    assert try_folder(folder) is None
    first.release()
    with locked_folder(folder):
        assert try_folder(folder) is None
    assert [*tmp_path.iterdir()] == [folder]


@pytest.mark.usefixtures("without_locks")
def test_a_killed_process_holds_nothing_and_a_living_one_keeps_its_files(tmp_path: Path) -> None:
    """While it lives, its unfinished file stays, too; both go when it is gone."""
    folder = tmp_path / "run"
    line = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert try_folder(folder) is None
        clear_leftovers(folder)
        assert len([*folder.iterdir()]) == 1
        process.kill()
    held = try_folder(folder)
    assert held is not None
    held.release()
    clear_leftovers(folder)
    assert [*folder.iterdir()] == []
    assert [*tmp_path.iterdir()] == [folder]


def test_two_processes_without_locks_work_one_after_the_other(tmp_path: Path) -> None:
    """Neither loses what the other wrote."""
    line = [sys.executable, "-c", WRITER, str(tmp_path / "set")]
    both = [subprocess.Popen(line) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert (tmp_path / "set" / "count").read_text() == "40"
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.usefixtures("without_locks")
def test_a_holder_on_another_machine_is_waited_for_while_it_shows_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody here sees its process; it touches its file, and once it is silent it is gone."""
    monkeypatch.setattr(locks, "SILENT_S", 0.2)
    other = tmp_path / ".run.lock"
    other.write_text(str(replace(this_process(), host="aaaaaa")))
    for number in range(5):
        os.utime(other, ns=(number, number))
        assert try_folder(tmp_path / "run") is None
        time.sleep(0.1)
    assert try_folder(tmp_path / "run") is None
    time.sleep(0.25)
    assert try_folder(tmp_path / "run") is not None


@pytest.mark.usefixtures("without_locks")
def test_a_holder_shows_that_it_is_at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file is touched as long as it holds the folder."""
    monkeypatch.setattr(locks, "TOUCH_EVERY_S", 0.01)
    held = try_folder(tmp_path / "run")
    assert held is not None
    file = tmp_path / ".run.lock"
    os.utime(file, ns=(0, 0))
    until = time.monotonic() + 5
    while file.stat().st_mtime_ns == 0 and time.monotonic() < until:
        time.sleep(0.01)
    assert file.stat().st_mtime_ns > 0
    held.release()
    assert not file.exists()


def test_names_of_unfinished_files_differ_between_processes(tmp_path: Path) -> None:
    """Two that write the same file do not write into, or remove, each other's."""
    code = "import sys; from pathlib import Path; from clipbench.system.durable import unfinished;"
    line = [sys.executable, "-c", f"{code} print(unfinished(Path(sys.argv[1])).name)", "a"]
    names = {subprocess.check_output(line, text=True) for _ in range(2)}
    assert len({*names, unfinished(tmp_path / "a").name}) == 3
