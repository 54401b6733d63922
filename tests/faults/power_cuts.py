"""Cut the power while clipbench runs, again and again, and have the same command go on.

    python tests/faults/power_cuts.py FOLDER [--cuts 50] [--runs 5] [--seed 0]

Needs root and loop devices. An ext4 lies in a file on another ext4, and a run works in it. At
instants drawn at random, half of them at a change of names, the outer file system is frozen and
the inner one's file copied: that holds what had reached the "disk" by then, for what is in memory
alone is not in it. Each copy is mounted, which replays its journal, and the same command runs in it
to its end. Its results must be those of a run that was left alone, but for times, and its weights
the same to the byte, with nothing unfinished left. Printed is a line a cut, and how many went
on.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from forked import fork, leftovers, numbers

DATA = ("--data", "shapes:size=300,test_size=100,targets_size=100")
SAFECLIP = "safeclip:unimodal_epochs=1,cross_modal_epochs=1,first_ratio=0.5"
STEPS = ("--set", "checkpoint_every_s=0")
RUNS = (
    ("--attack", "targeted:targets=2", "--poisons", "8", "--defense", SAFECLIP, "--epochs", "3"),
    ("--attack", "badnets", "--poisons", "8", "--defense", "clip", "--epochs", "2", "--controls"),
    ("--defense", "none", "--epochs", "2", "--save-frequency", "1"),
    ("--attack", "blended", "--poisons", "8", "--defense", "roclip", "--epochs", "2"),
    ("--attack", "badnets", "--poisons", "8", "--defense", SAFECLIP, "--epochs", "3"),
)
MOUNTS = ("", "noauto_da_alloc", "noauto_da_alloc,data=writeback")
INNER = "400M"
OUTER = "1200M"


@contextmanager
def mounted(image: Path, where: Path, options: str = "") -> Iterator[None]:
    """Mount an image, which replays its journal where it needs that."""
    where.mkdir(exist_ok=True)
    subprocess.run(
        ["mount", "-o", ",".join(filter(None, ["loop", options])), image, where], check=True
    )
    try:
        yield
    finally:
        subprocess.run(["umount", where], check=True)


def made(image: Path, size: str) -> Path:
    """Make an ext4 in a file."""
    image.unlink(missing_ok=True)
    subprocess.run(["truncate", "-s", size, image], check=True)
    subprocess.run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0", image], check=True)
    return image


class Bench:
    """A folder with an inner file system in an outer one.

    Args:
        work: an empty folder.
    """

    def __init__(self, work: Path) -> None:
        self.work = work
        self.outer, self.inner = work / "outer", work / "disk"
        self.image = self.outer / "disk.img"

    def line(self, options: tuple[str, ...]) -> list[str]:
        """Return a command that works on the inner disk."""
        where = ("--out", str(self.inner / "runs"), "--cache", str(self.inner / "cache"))
        train = ("--model", "shapes-32", "--batch-size", "64", "--warmup", "2")
        return ["run", "-q", *DATA, *train, *STEPS, *where, *options]

    @property
    def environment(self) -> dict[str, str]:
        """Return what a process needs to keep all it keeps on the inner disk."""
        return {"TMPDIR": str(self.inner / "tmp"), "HOME": str(self.inner / "home")}

    def prepare(self) -> None:
        """Make the folders that a machine has."""
        for name in ("tmp", "home"):
            (self.inner / name).mkdir()
        os.sync()

    def cut(self, copy: Path) -> None:
        """Copy what the inner disk holds at this instant."""
        subprocess.run(["fsfreeze", "-f", self.outer], check=True)
        try:
            subprocess.run(["cp", "--sparse=always", self.image, copy], check=True)
        finally:
            subprocess.run(["fsfreeze", "-u", self.outer], check=True)

    def run(self, options: tuple[str, ...]) -> tuple[int, str]:
        """Run a command to its end; return its status and what it said last."""
        child = fork(self.line(options), self.work / "log", self.environment)
        return child.wait(), child.said


class Stops:
    """Stops a process at some of its changes of names, for whoever looks at it then."""

    def __init__(self, at: set[int]) -> None:
        self.at, self.seen = at, 0

    def __call__(self, _: str) -> None:
        """Count a change."""
        self.seen += 1
        if self.seen in self.at:
            os.kill(os.getpid(), signal.SIGSTOP)


def cuts_of(bench: Bench, options: tuple[str, ...], count: int, rng: random.Random) -> list[Path]:
    """Run a command to its end, and return copies of its disk from on the way."""
    mount = rng.choice(MOUNTS)
    made(bench.image, INNER)
    copies: list[Path] = []
    with mounted(bench.image, bench.inner, mount):
        bench.prepare()
        by_name = set(rng.sample(range(1, 90), count // 2))
        child = fork(bench.line(options), bench.work / "log", bench.environment, Stops(by_name))
        due = sorted(rng.uniform(0.0, 12.0) for _ in range(count - len(by_name)))
        started = time.monotonic()
        while True:
            pid, status = os.waitpid(child.pid, os.WNOHANG | os.WUNTRACED)
            stopped = pid and os.WIFSTOPPED(status)
            if pid and not stopped:
                break
            late = bool(due) and time.monotonic() - started >= due[0]
            if stopped or late:
                if late and not stopped:
                    due.pop(0)
                copies.append(bench.work / f"cut{len(copies)}.img")
                bench.cut(copies[-1])
            if stopped:
                time.sleep(rng.choice([0.0, 0.0, 0.02]))
                os.kill(child.pid, signal.SIGCONT)
            time.sleep(0.005)
        assert os.waitstatus_to_exitcode(status) == 0, child.said
    return copies


def main() -> int:
    """Do all trials and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--cuts", type=int, default=50)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # nothing stays mounted
    work = given.work.resolve()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    rng, bench = random.Random(given.seed), Bench(work)
    good = done = 0
    made(work / "outer.img", OUTER)
    with mounted(work / "outer.img", bench.outer):
        for number in range(given.runs):
            options = RUNS[(number + given.seed) % len(RUNS)]
            made(bench.image, INNER)
            with mounted(bench.image, bench.inner):
                bench.prepare()
                assert bench.run(options)[0] == 0, (work / "log").read_text()
                reference = numbers(bench.inner / "runs")
            for copy in cuts_of(bench, options, given.cuts // given.runs, rng):
                shutil.move(copy, bench.image)
                with mounted(bench.image, bench.inner):
                    status, said = bench.run(options)
                    same = numbers(bench.inner / "runs") == reference
                    left = leftovers(bench.inner)
                fine = status == 0 and same and not left
                good, done = good + fine, done + 1
                told = "" if fine else f" status {status}, same {same}, left {left}: {said}"
                print(
                    f"run {number} {copy.stem}: {'went on' if fine else 'FAILED'}{told}", flush=True
                )
    (work / "outer.img").unlink()
    print(f"{good} of {done} cuts went on with the same numbers", flush=True)
    return 0 if good == done else 1


if __name__ == "__main__":
    sys.exit(main())
