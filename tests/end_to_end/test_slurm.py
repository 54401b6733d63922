"""Sweeps as jobs of a cluster: the same results, and a job that dies fails its own runs.

submitit's local cluster stands for Slurm where there is none; with a real one (see
``slurm/start.sh``) the slow tests send the same jobs to it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_runs import DATA, Place, command, numbers

from clipbench.errors import BadSetting
from clipbench.executors.slurm import SlurmExecutor
from clipbench.sweep.grid import Grid, read_grid
from clipbench.sweep.jobs import by_jobs as as_jobs
from clipbench.sweep.jobs import slurm_folder
from clipbench.sweep.sweep import plan_sweep, sweep
from clipbench.sweep.workers import Event
from clipbench.system.progress import Reporter

GRID: dict[str, Any] = {
    "data": DATA,
    "train": {"batch_size": 128, "warmup": 2, "epochs": 2},
    "controls": True,
    "poisons": 8,
    "grid": [{"attack": "badnets", "defense": ["none", "clip"]}],
}
BROKEN = """
import os, signal
from dataclasses import dataclass
from clipbench.contracts import Phase
from clipbench.toolkit.losses import clip_loss

@dataclass(frozen=True)
class Broken:
    def start(self, facts):  # asked of by plans, too
        return self

    def phases(self, epoch, pairs):
        if "SUBMITIT_EXECUTOR" in os.environ:  # where it is tried before, it works
            os.kill(os.getpid(), signal.SIGKILL)
        yield Phase("all", lambda f: clip_loss(f.image[0], f.text[0], f.logit_scale))

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass

DEFENSE = Broken
"""


def has_slurm() -> bool:
    """Whether a Slurm answers here."""
    if shutil.which("sinfo") is None:
        return False
    answer = subprocess.run(["sinfo", "--noheader"], capture_output=True, check=False, timeout=30)
    return answer.returncode == 0 and bool(answer.stdout.strip())


@pytest.fixture(params=["local", pytest.param("slurm", marks=pytest.mark.slow)])
def cluster(request: pytest.FixtureRequest) -> str:
    """The cluster that jobs go to."""
    if request.param == "slurm" and not has_slurm():
        pytest.skip("no Slurm answers; tests/end_to_end/slurm/start.sh starts one")
    return str(request.param)


@pytest.fixture
def by_jobs(cluster: str) -> Callable[[Grid], list[Event]]:
    """Sweep a grid by jobs and return what happened."""

    def do(grid: Grid) -> list[Event]:
        told: list[Event] = []
        jobs = SlurmExecutor(slurm_folder(grid.out), settings={}, cluster=cluster)
        executor = as_jobs(jobs, grid.cache, grid.out, 1)
        with Reporter(quiet=True) as reporter:
            sweep(grid, plan_sweep(grid, reporter, timed=False), executor, told.append)
        return told

    return do


def grid_of(folder: Path, content: dict[str, Any], *allowed: str) -> Grid:
    file = folder / "grid.yaml"
    file.write_text(yaml.safe_dump(content))
    return read_grid(file, {"out": folder / "runs", "cache": folder / "cache"}, allowed=allowed)


def results(place: Place) -> dict[str, dict[str, Any]]:
    found = [json.loads(file.read_text()) for file in place.out.glob("*/result.json")]
    return {result["id"]: result for result in found}


def test_jobs_give_the_results_of_local_processes(
    tmp_path: Path, by_jobs: Callable[[Grid], list[Event]]
) -> None:
    """Every run is told of as done, and its numbers are those of a sweep on this machine."""
    there, here = Place(tmp_path / "jobs"), Place(tmp_path / "local")
    for place in (there, here):
        place.folder.mkdir()
    grid = grid_of(there.folder, GRID)
    told = by_jobs(grid)
    assert sorted(event.run for event in told) == sorted(config.id for config in grid.configs)
    assert {event.kind for event in told} == {"done"}
    assert (there.out / "slurm").stat().st_mode & 0o077 == 0  # jobs hold what was typed
    grid_of(here.folder, GRID)
    file = str(here.folder / "grid.yaml")
    where = ("--out", here.out, "--cache", here.cache, "--threads", "1", "--no-estimate", "-q")
    assert command("sweep", file, *where).status == 0
    ours, theirs = results(there), results(here)
    assert set(ours) == set(theirs)
    assert len(ours) == 4
    for run in ours:
        assert numbers(ours[run]) == numbers(theirs[run])


def test_a_job_that_dies_fails_its_own_runs(
    tmp_path: Path, by_jobs: Callable[[Grid], list[Event]]
) -> None:
    """What was done before it died is done; what was not is told of, and other jobs go on."""
    file = tmp_path / "broken.py"
    file.write_text(BROKEN)
    blocks = [
        {"attack": "badnets", "defense": ["none", str(file)]},
        {"attack": "sig", "defense": "none"},
    ]
    grid = grid_of(tmp_path, {**GRID, "controls": False, "grid": blocks}, str(file))
    told = by_jobs(grid)
    names = {config.id: (config.attack_name, config.defense_name) for config in grid.configs}
    ended = {names[event.run]: event for event in told}
    assert {name for name, event in ended.items() if event.kind == "done"} == {
        ("badnets", "none"),
        ("sig", "none"),
    }
    failed = ended["badnets", "broken"]
    assert failed.kind == "failed"
    assert failed.text.startswith("job ")


def test_where_there_is_no_slurm_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, before anything is done."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BadSetting, match="--executor slurm can't be used here"):
        SlurmExecutor(tmp_path / "slurm", settings={})


def test_no_line_of_a_path_becomes_one_of_a_job_script(tmp_path: Path) -> None:
    """Slurm would run it, or take it for a setting."""
    for out, settings in (
        (tmp_path / "a\n#SBATCH --uid=0", {}),
        (tmp_path, {"account": "a\nrm"}),
    ):
        with pytest.raises(BadSetting, match="has a character that no job script can hold"):
            SlurmExecutor(slurm_folder(out), settings=settings)
