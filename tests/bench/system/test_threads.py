"""Threads on a busy machine: how they wait, how many there are, and what is said of other work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from math import inf
from pathlib import Path

import pytest

from clipbench.cli import main
from clipbench.system import threads

# A plugin that tells what was so when it was imported, which a command does before it loads torch.
TELLING = """
import json, os, sys
names = ("GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_WAIT_POLICY", "OMP_NUM_THREADS")
found = {name: os.environ.get(name) for name in names}
print(json.dumps({**found, "torch": "torch" in sys.modules}))
raise SystemExit
"""
V1 = "cpu/job/step/cpu.cfs"  # where the first version of control groups tells of processors
MODULE = (sys.executable, "-m", "clipbench")
SCRIPT = (sys.executable, "-c", "import sys; from clipbench.cli import main; sys.exit(main())")


def started(line: tuple[str, ...], plugin: Path, **variables: str) -> Mapping[str, object]:
    """Return what a program finds in its environment when it loads a plugin."""
    plugin.write_text(TELLING)
    own = ("OMP_", "GOMP_", "KMP_")
    kept = {key: text for key, text in os.environ.items() if not key.startswith(own)}
    done = subprocess.run(
        [*line, "run", "--defense", str(plugin)],
        env={**kept, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    found: Mapping[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("line", [MODULE, SCRIPT], ids=["python -m clipbench", "clipbench"])
def test_threads_wait_a_short_time_before_torch_is_loaded(
    line: tuple[str, ...], tmp_path: Path
) -> None:
    """However the program is started; how many threads there are is left as it is."""
    found = started(line, tmp_path / "telling.py")
    assert found == {
        "GOMP_SPINCOUNT": "10000",
        "KMP_BLOCKTIME": "1",
        "OMP_WAIT_POLICY": None,
        "OMP_NUM_THREADS": None,
        "torch": False,
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"OMP_WAIT_POLICY": "active"}, {"OMP_WAIT_POLICY": "active"}),
        ({"GOMP_SPINCOUNT": "5"}, {"GOMP_SPINCOUNT": "5", "KMP_BLOCKTIME": "1"}),
        ({"KMP_BLOCKTIME": "0"}, {"GOMP_SPINCOUNT": "10000", "KMP_BLOCKTIME": "0"}),
        (
            {"OMP_NUM_THREADS": "1"},  # as torchrun sets it: how many, not how they wait
            {"OMP_NUM_THREADS": "1", "GOMP_SPINCOUNT": "10000", "KMP_BLOCKTIME": "1"},
        ),
    ],
)
def test_what_a_person_has_set_is_kept(
    given: dict[str, str], expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that says how threads wait is not replaced, nor joined by one that goes before."""
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    environ = dict(given)
    threads.share_processors(environ)
    assert environ == expected


def test_a_program_that_has_loaded_torch_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenMP has read its variables by then, and what that program starts is its own affair."""
    monkeypatch.setitem(sys.modules, "torch", sys)
    environ: dict[str, str] = {}
    threads.share_processors(environ)
    assert environ == {}


@pytest.mark.parametrize("name", ["run", "train", "detect"])
def test_threads_are_an_option_with_a_variable(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of every command that trains."""
    assert main([name, "--help"]) == 0
    assert "CLIPBENCH_THREADS" in capsys.readouterr().out
    assert main([name, "--threads", "0"]) == 2


def test_as_many_threads_compute_as_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, and in those that it starts."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    try:
        threads.use_threads(None)
        assert torch.get_num_threads() == before
        threads.use_threads(before + 1)
        assert torch.get_num_threads() == before + 1
        assert os.environ["OMP_NUM_THREADS"] == str(before + 1)
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(not Path("/proc/loadavg").exists(), reason="the system does not tell")
def test_other_work_is_noticed_at_once() -> None:
    """Three busy processes are found within half a second of their start."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    try:
        found = max(threads.other_work() or 0.0 for _ in range(3))
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert found >= 2


@pytest.mark.parametrize(
    ("others", "cores", "part"),
    [
        (4.1, 2, "other work is running: load 4.1 on 2 cores; "),
        (1.2, 2, "--threads 1 may be faster"),
        (20.0, 64, "--threads 44 may be faster"),
    ],
)
def test_a_busy_machine_is_told_of(others: float, cores: int, part: str) -> None:
    """With the load, and with as many threads as there are processors left."""
    assert part in threads.told(others, cores)


@pytest.mark.parametrize(("others", "cores"), [(0.3, 2), (0.0, 1), (10.0, 64), (None, 2)])
def test_little_other_work_is_no_news(others: float | None, cores: int) -> None:
    """Nor is what nobody knows."""
    assert threads.told(others, cores) == ""


def test_who_leaves_the_others_their_processors_is_not_told_to() -> None:
    """The quickstart has one thread; that one may be faster would be no news."""
    assert "--threads 1 may be faster" in threads.told(4.0, 2, used=2)
    assert threads.told(4.0, 2, used=1).endswith("training takes longer")


@pytest.mark.parametrize(
    ("files", "granted"),
    [
        ({"job/step/cpu.max": "250000 100000"}, 2.5),
        ({"job/step/cpu.max": "max 100000", "job/cpu.max": "150000 100000"}, 1.5),
        (
            {"cpu/job/step/cpu.cfs_quota_us": "400000", "cpu/job/step/cpu.cfs_period_us": "100000"},
            4,
        ),
        ({"cpu/job/step/cpu.cfs_quota_us": "-1", "cpu/job/step/cpu.cfs_period_us": "100000"}, inf),
        ({"job/step/cpu.max": "nonsense"}, inf),
        ({}, inf),
    ],
)
@pytest.mark.parametrize("version", ["0::/job/step", "1:cpu,cpuacct:/job/step"])
def test_control_groups_grant_processors(
    tmp_path: Path, files: Mapping[str, str], granted: float, version: str
) -> None:
    """Of both versions, the least of a group and those around it; where they are mute, all."""
    if (":cpu" in version) != any(name.startswith("cpu/") for name in files):
        granted = inf
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "groups").write_text(f"7:memory:/elsewhere\n{version}\n")
    assert threads._granted(tmp_path / "groups", tmp_path) == granted


def test_processes_of_one_machine_share_its_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that torchrun starts get a part each, never less than one."""
    monkeypatch.setattr(threads, "_granted", lambda *_: 6.2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {*range(16)}, raising=False)
    assert threads.processors() == 7
    for told, own in (("", 7), ("2", 3), ("16", 1), ("odd", 7)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", told)
        assert threads.own_processors() == own
    monkeypatch.setattr(threads, "_granted", lambda *_: inf)
    assert threads.processors() == 16
