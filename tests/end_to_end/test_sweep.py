"""Sweeps: many runs in parallel processes, killed, resumed, with a plugin that fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
import yaml
from tiny_runs import DATA, SAFECLIP, Place, command, numbers

from clipbench.sweep.grid import read_grid
from clipbench.sweep.placing import Placing
from clipbench.sweep.workers import Event, do_groups

GRID: dict[str, Any] = {
    "data": DATA,
    "train": {"batch_size": 128, "warmup": 2, "epochs": 3},
    "controls": True,
    "poisons": 8,
    "grid": [
        {"attack": "badnets", "defense": ["none", SAFECLIP]},
        {"attack": "badnets", "defense": "none", "seed": 1},
        {"attack": "targeted:targets=2", "defense": "none"},
    ],
}
ATTACKED, RUNS = 4, 7  # each defense has a clean control, and no defense has one of each seed
BROKEN = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Broken:
    how: str = "raises"
    def start(self, facts):
        if self.how == "dies":
            import os, signal
            os.kill(os.getpid(), signal.SIGKILL)
        raise RuntimeError("this defense is broken")

DEFENSE = Broken
"""


def swept(place: Place, *more: object) -> list[str]:
    """A command line that sweeps a grid in a place."""
    where = ["--out", str(place.out), "--cache", str(place.cache)]
    file = str(place.folder / "grid.yaml")
    return ["sweep", file, *where, "--threads", "1", "--no-estimate", *map(str, more)]


def write(place: Place, grid: dict[str, Any]) -> None:
    place.folder.mkdir(exist_ok=True)
    (place.folder / "grid.yaml").write_text(yaml.safe_dump(grid))


def results(place: Place) -> dict[str, dict[str, Any]]:
    found = [json.loads(file.read_text()) for file in place.out.glob("*/result.json")]
    return {result["id"]: result for result in found}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place where the grid was swept without trouble, one run after the other."""
    place = Place(tmp_path_factory.mktemp("alone"))
    write(place, GRID)
    done = command(*swept(place, "--json"))
    assert done.status == 0, done.err
    return place


def test_all_runs_are_done_with_their_controls(alone: Place) -> None:
    """Every run of the grid has a result, and each attacked one its clean control."""
    found = results(alone)
    assert len(found) == RUNS
    attacked = [result for result in found.values() if result["attack"]["count"]]
    assert len(attacked) == ATTACKED
    assert all("attack_success_control" in result["metrics"] for result in attacked)


def test_a_run_of_a_sweep_is_the_run_by_itself(alone: Place, place: Place) -> None:
    """`run` gives the same numbers and the same weights, to the bit."""
    line = ("--attack", "badnets", "--poisons", "8", "--epochs", "3", "--defense", SAFECLIP)
    (result,) = place.run(*line)
    assert numbers(result) == numbers(results(alone)[result["id"]])
    weights = [
        (there.run_folder(result) / "model" / "open_clip_model.safetensors").read_bytes()
        for there in (place, alone)
    ]
    assert weights[0] == weights[1]


def test_killed_twice_and_resumed_it_ends_the_same(alone: Place, place: Place) -> None:
    """Killed with its two processes after a few runs, twice, it then does what is missing."""
    write(place, GRID)
    line = [sys.executable, "-m", "clipbench", *swept(place, "--jobs", "2", "--quiet")]
    for wanted in (1, 4):
        process = subprocess.Popen(line, start_new_session=True)
        while len(results(place)) < wanted:
            assert process.poll() is None
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    before = {path: path.stat().st_mtime_ns for path in place.out.glob("*/train/record.json")}
    assert 4 <= len(before) < RUNS
    done = subprocess.run(line, check=False)
    assert done.returncode == 0
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())
    ours, theirs = results(place), results(alone)
    assert set(ours) == set(theirs)
    for run in theirs:
        assert numbers(ours[run]) == numbers(theirs[run])
        name = "attack_success_control"
        assert ours[run]["metrics"].get(name) == theirs[run]["metrics"].get(name)


def test_a_broken_defense_fails_its_own_runs_alone(place: Place) -> None:
    """One that kills its process and one that raises are told of at once; all others are done."""
    file = place.folder / "broken.py"
    file.write_text(BROKEN)
    defenses = [f"{file}:how=dies", "none", str(file), "clip"]
    block = {"attack": "badnets", "defense": defenses}
    write(place, {**GRID, "controls": False, "grid": [block]})
    refused = command(*swept(place))
    assert f"--allow {file}" in refused.error  # code is run that whoever starts the sweep names
    assert not place.out.exists()
    done = command(*swept(place, "--allow", file))
    assert done.status == 1
    assert "2 of 4 runs failed" in done.error
    assert "RuntimeError: this defense is broken" in done.error
    assert "its process ended with SIGKILL" in done.error
    assert "Traceback" not in done.err
    assert {r["defense"]["name"] for r in results(place).values()} == {"none", "clip"}
    assert "badnets" in done.out
    assert "not begun        1 run, sure to fail: its process ended with SIGKILL" in done.err
    assert (
        done.err.index("not begun") < done.err.index("failed: badnets") < done.err.index("done in")
    )
    file.write_text("from clipbench_defenses.none import NoDefense as DEFENSE\n")
    write(place, {**GRID, "controls": False, "grid": [{**block, "defense": str(file)}]})
    again = command(*swept(place, "--quiet", "--allow", file))
    assert again.status == 0, again.err


MARKING = """
import json, os
from dataclasses import dataclass
from pathlib import Path
from clipbench_defenses.none import NoDefense

@dataclass(frozen=True)
class Marking:
    number: int = 0
    def start(self, facts):
        gpu = os.environ.get("CUDA_VISIBLE_DEVICES")
        mark = Path(__file__).with_name(f"{self.number}.mark")
        mark.write_text(json.dumps([os.getpid(), gpu]))
        return NoDefense().start(facts)

DEFENSE = Marking
"""


def marks(place: Place) -> list[tuple[int, str | None]]:
    """Process and GPU of each run."""
    return [tuple(json.loads(file.read_text())) for file in place.folder.glob("*.mark")]


def test_runs_on_the_same_pairs_are_shared_by_processes(place: Place) -> None:
    """The first makes what they share; then no process is idle while another has runs left."""
    (place.folder / "marking.py").write_text(MARKING)
    defenses = [f"{place.folder / 'marking.py'}:number={number}" for number in range(4)]
    block = {"attack": "badnets", "defense": defenses}
    write(place, {**GRID, "controls": False, "grid": [block]})
    done = command(*swept(place, "--jobs", "2", "--allow", place.folder / "marking.py"))
    assert done.status == 0, done.err
    assert len(results(place)) == len(marks(place)) == 4
    assert len({process for process, _ in marks(place)}) == 2


def test_gpus_are_dealt_out_to_processes(place: Place) -> None:
    """Each sees one, and as many see the one as the other."""
    (place.folder / "marking.py").write_text(MARKING)
    defenses = [f"{place.folder / 'marking.py'}:number={number}" for number in range(4)]
    blocks = [{"attack": attack, "defense": defenses[:2]} for attack in ("badnets", "sig")]
    blocks[1]["defense"] = defenses[2:]
    write(place, {**GRID, "controls": False, "grid": blocks})
    where = {"out": place.out, "cache": place.cache}
    allowed = [str(place.folder / "marking.py")]
    grid = read_grid(place.folder / "grid.yaml", where, allowed=allowed)
    told: list[Event] = []
    there = Placing(jobs=2, threads=1, gpus=("4", "GPU-7f"))
    do_groups(grid.groups, cache=place.cache, out=place.out, place=there, tell=told.append)
    assert [event.text for event in told if event.kind == "failed"] == []
    assert len({*marks(place)}) == 2
    assert {gpu for _, gpu in marks(place)} == {"4", "GPU-7f"}


def test_the_plan_counts_runs_and_time(alone: Place, place: Place) -> None:
    """Before anything starts: how many, of which, and how long; what is done is not planned."""
    write(place, GRID)
    plan = command(*[arg for arg in swept(place, "--dry-run") if arg != "--no-estimate"])
    assert plan.status == 0, plan.err
    assert f"sweep: {RUNS} runs, 0 of them done already, {RUNS} to do on 5 sets" in plan.out
    assert "badnets 3, targeted 1" in plan.out
    assert "time             at most" in plan.out
    several = command(*swept(place, "--dry-run", "--jobs", "auto"))
    assert several.status == 0, several.err
    assert not place.out.exists()
    done = command(*swept(alone, "--dry-run"))
    assert f"{RUNS} of them done already, 0 to do" in done.out


def test_bad_grids_are_one_line(place: Place) -> None:
    """Exit status 2, and what is wrong."""
    missing = command("sweep", place.folder / "nothing.yaml")
    assert (missing.status, "nothing.yaml" in missing.error) == (2, True)
    write(place, {**GRID, "grid": [{"attack": "badnet"}]})
    assert "badnets" in command(*swept(place)).error
    assert command("sweep").status == 2
