"""Kill clipbench at random instants, start the same command again, and compare what it leaves.

    python tests/faults/kills.py FOLDER [--kills 200] [--seed 0] [--seconds 900]

Commands of all kinds take turns, each in folders of its own. Half of the kills come after a random
time, half before a random change of names in the file system, and a command is killed one to four
times. Then it runs to its end, and must leave the bytes, or the results but for their times
and the weights, of one that was left alone, with nothing unfinished, in $TMPDIR neither.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from forked import bytes_of, fork, leftovers, numbers

ROOT = Path(__file__).parents[2]
DATA = ("--data", "shapes:size=300,test_size=100,targets_size=100")
SAFECLIP = "safeclip:unimodal_epochs=1,cross_modal_epochs=1,first_ratio=0.5"
TRAIN = ("--model", "shapes-32", "--batch-size", "64", "--warmup", "2")
POISON = ("--attack", "targeted:targets=2", "--poisons", "8")
GRID = f"""
data: {DATA[1]}
attack: {POISON[1]}
poisons: {POISON[3]}
defense: [none, clip]
train: {{model: shapes-32, batch_size: 64, warmup: 2, epochs: 1, checkpoint_every_s: 0}}
"""


@dataclass(frozen=True)
class Kind:
    """A kind of command.

    Args:
        name: what it is called.
        line: the command line in a folder.
        left: a hash of what it leaves there.
        weight: how many of a hundred kills it gets.
    """

    name: str
    line: Callable[[Path], list[str]]
    left: Callable[[Path], str]
    weight: int


def _run(place: Path, *options: str) -> list[str]:
    where = ("--out", str(place / "runs"), "--cache", str(place / "cache"))
    return ["run", "-q", *DATA, *TRAIN, "--set", "checkpoint_every_s=0", *where, *options]


def _results(place: Path) -> str:
    return numbers(place / "runs")


def _grid(place: Path) -> str:
    (place / "grid.yaml").write_text(GRID)
    return str(place / "grid.yaml")


def _rows() -> list[str]:
    return [str(path) for path in sorted((ROOT / "results/shapes/rows").glob("*.json"))[:40]]


KINDS = (
    Kind(
        "training",
        lambda place: _run(place, *POISON, "--defense", SAFECLIP, "--epochs", "3"),
        _results,
        16,
    ),
    Kind(
        "control",
        lambda place: _run(place, "--attack", "badnets", "--poisons", "8", "--controls"),
        _results,
        4,
    ),
    Kind(
        "data",
        lambda place: [
            *("data", "write", "shapes", "--size", "300", "--out", str(place / "set")),
            *("--cache", str(place / "cache")),
        ],
        lambda place: bytes_of(place / "set"),
        25,
    ),
    Kind(
        "poison",
        lambda place: [
            *("poison", *DATA, *POISON, "--out", str(place / "poisoned")),
            *("--cache", str(place / "cache")),
        ],
        lambda place: bytes_of(place / "poisoned"),
        25,
    ),
    Kind(
        "submit",
        lambda place: ["submit", *_rows(), "--to", str(place / "rows")],
        lambda place: bytes_of(place / "rows"),
        22,
    ),
    Kind(
        "leaderboard",
        lambda place: [
            *("leaderboard", *_rows()[:12], "--write", str(place / "board")),
            *("--html", str(place / "page.html")),
        ],
        bytes_of,
        6,
    ),
    Kind(
        "sweep",
        lambda place: [
            *("sweep", _grid(place), "--jobs", "2", "--no-estimate"),
            *("--out", str(place / "runs"), "--cache", str(place / "cache")),
        ],
        _results,
        2,
    ),
)


class KillAt:
    """Kills its process before some change of names."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, _: str) -> None:
        """Count a change."""
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class Counting:
    """Counts the changes of names of its process, into a file."""

    def __init__(self, file: Path) -> None:
        self.handle, self.seen = os.open(file, os.O_WRONLY | os.O_CREAT), 0

    def __call__(self, _: str) -> None:
        """Count a change."""
        self.seen += 1
        os.pwrite(self.handle, str(self.seen).encode(), 0)


@dataclass(frozen=True)
class Alone:
    """What a command does that is left alone: seconds, changes of names, what it leaves."""

    seconds: float
    changes: int
    left: str


def place_in(work: Path) -> tuple[Path, dict[str, str]]:
    """Return a fresh folder for a command and the environment it works in."""
    place = work / "place"
    shutil.rmtree(place, ignore_errors=True)
    (place / "scratch").mkdir(parents=True)
    return place, {"TMPDIR": str(place / "scratch")}


def alone(kind: Kind, work: Path) -> Alone:
    """Run a command to its end."""
    place, environment = place_in(work)
    counter = work / "changes"
    counter.unlink(missing_ok=True)
    began = time.monotonic()
    child = fork(kind.line(place), work / "log", environment, Counting(counter))
    assert child.wait() == 0, (work / "log").read_text()
    seconds = time.monotonic() - began
    left = leftovers(place)
    assert not left, left
    shutil.rmtree(place / "scratch")
    return Alone(seconds, int(counter.read_text() or 0), kind.left(place))


def killed(kind: Kind, one: Alone, place: Path, work: Path, rng: random.Random) -> bool:
    """Start a command and kill it; tell whether it had not ended before."""
    environment = {"TMPDIR": str(place / "scratch")}
    if one.changes and rng.random() < 0.5:
        hook = KillAt(rng.randint(1, one.changes))
        return fork(kind.line(place), work / "log", environment, hook).wait() == -signal.SIGKILL
    child = fork(kind.line(place), work / "log", environment)
    time.sleep(rng.uniform(0.02, one.seconds))
    os.kill(child.pid, signal.SIGKILL)
    return child.wait() == -signal.SIGKILL


def trial(kind: Kind, one: Alone, work: Path, rng: random.Random) -> tuple[int, str]:
    """Kill a command once or twice and run it to its end; return kills, and what was wrong."""
    place, environment = place_in(work)
    kills = sum(killed(kind, one, place, work, rng) for _ in range(rng.choice([1, 2, 3, 4])))
    child = fork(kind.line(place), work / "log", environment)
    status = child.wait()
    found = leftovers(place)
    shutil.rmtree(place / "scratch")
    if status:
        return kills, f"status {status}: {child.said}"
    if found:
        return kills, f"left {found}"
    return kills, "" if kind.left(place) == one.left else "left something else"


def main() -> int:
    """Do all trials and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=900.0)
    parser.add_argument("--only", choices=[kind.name for kind in KINDS])
    given = parser.parse_args()
    work, rng = given.work.resolve(), random.Random(given.seed)
    work.mkdir(parents=True, exist_ok=True)
    kinds = [kind for kind in KINDS if given.only in (None, kind.name)]
    until = time.monotonic() + given.seconds
    known: dict[str, Alone] = {}
    kills: Counter[str] = Counter()
    wrong = 0
    while kills.total() < given.kills and time.monotonic() < until:
        (kind,) = rng.choices(kinds, [kind.weight for kind in kinds])
        one = known.get(kind.name) or known.setdefault(kind.name, alone(kind, work))
        count, problem = trial(kind, one, work, rng)
        kills[kind.name] += count
        wrong += bool(problem)
        if problem:
            print(f"{kind.name}: {problem}", flush=True)
        print(f"{kills.total()} kills: {dict(kills)}, {wrong} wrong", flush=True)
    shutil.rmtree(work, ignore_errors=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
