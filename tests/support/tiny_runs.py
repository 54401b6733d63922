"""Runs of the real program that are small enough for tests, and what is compared of them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from as_json import record_in

from clipbench.cli import main

DISTURBED = Path(__file__).with_name("disturbed.py")
DATA = "shapes:size=400,test_size=100,targets_size=100"
PAIRS = 400
TRAIN = ("--batch-size", "128", "--warmup", "2")
# A given first ratio: after so little training the mixture would find nothing to split.
SAFECLIP = "safeclip:unimodal_epochs=1,cross_modal_epochs=1,first_ratio=0.5"
GRID = (
    *("--attack", "targeted:targets=2", "--attack", "badnets", "--poisons", "8"),
    *("--defense", "none", "--defense", "clip", "--defense", SAFECLIP),
    *("--epochs", "3", "--controls"),
)


@dataclass(frozen=True)
class Done:
    """What a command left: its exit status and what it printed."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The error message; the command must have ended with exactly one."""
        last = self.err.splitlines()[-1]
        assert last.startswith("clipbench: error: "), self.err
        assert self.err.count("clipbench: error: ") == 1, self.err
        assert "Traceback" not in self.err
        return last.removeprefix("clipbench: error: ")


def command(*args: object) -> Done:
    """Run a command line in this process, which spares the seconds that imports take."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(arg) for arg in args])
    return Done(status, out.getvalue(), err.getvalue())


def folder_of_run(out: Path, result: Mapping[str, Any]) -> Path:
    """Return the folder in `out` of the run that left a result."""
    (folder,) = out.glob(f"*_{result['id']}")
    return folder


@dataclass(frozen=True)
class Place:
    """A cache and a folder of runs.

    Args:
        folder: holds both, and nothing else.
    """

    folder: Path

    @property
    def cache(self) -> Path:
        """The cache."""
        return self.folder / "cache"

    @property
    def out(self) -> Path:
        """The folder of the runs."""
        return self.folder / "runs"

    def run_folder(self, result: Mapping[str, Any]) -> Path:
        """Return the folder of a run that is done here."""
        return folder_of_run(self.out, result)

    def line(self, name: str, *args: object) -> list[str]:
        """Return a command line that works here."""
        where = ("--cache", self.cache, "--out", self.out, "--data", DATA, *TRAIN)
        return [name, *map(str, (*where, *args))]

    def do(self, name: str, *args: object) -> Done:
        """Run a command here."""
        return command(*self.line(name, *args))

    def run(self, *args: object) -> list[dict[str, Any]]:
        """Do runs and return their results."""
        done = self.do("run", "--json", *args)
        assert done.status == 0, done.err
        results: list[dict[str, Any]] = json.loads(done.out)
        return results

    def disturbed(self, troubles: list[dict[str, Any]], *args: object) -> list[Any]:
        """Do runs in processes of their own, with trouble on the way; see `disturbed.py`."""
        line = self.line("run", "-q", *args)
        answer = subprocess.run(
            [sys.executable, str(DISTURBED), str(self.folder), json.dumps(troubles), *line],
            stdout=subprocess.PIPE,
            check=True,
        )
        found: list[Any] = json.loads(answer.stdout)
        return found

    def only(self, pattern: str) -> Path:
        """Return the one path here that matches a pattern, beside logs of commands."""
        found = self.folder.glob(pattern)
        (path,) = (path for path in found if not path.name.startswith("audit.jsonl"))
        return path

    def result(self) -> dict[str, Any]:
        """Return the result of the only run."""
        return record_in(self.only("runs/*/result.json"))

    def shards(self) -> dict[str, str]:
        """Return the hash of every file of every set: shards, descriptions, ledgers."""
        files = [*self.cache.glob("shapes/**/*"), *self.cache.glob("poisoned/**/*")]
        return {
            os.fspath(file.relative_to(self.cache)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in files
            if file.is_file() and file.parent.name != ".clipbench"  # indexes hold file times
        }

    def weights(self) -> str:
        """Return the hash of the final weights of the only run."""
        return hash_of(self.only("runs/*/model/open_clip_model.safetensors"))


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file; how megabytes differ would take a failing test hours to say."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def numbers(result: dict[str, Any]) -> dict[str, Any]:
    """Return all of a result that must be the same for two runs of one configuration.

    Without what its control adds to it, which is another run.
    """
    measured = ("seconds", "seconds_shared", "cpu_seconds", "pairs_per_second", "peak_memory_bytes")
    train = {key: value for key, value in result["train"].items() if key not in measured}
    same = ("id", "config", "data", "attack", "defense", "model", "seed", "exposures", "metrics")
    found = {**{key: result[key] for key in (*same, "history")}, "train": train}
    control = "attack_success_control"
    found["metrics"] = {k: v for k, v in result["metrics"].items() if k != control}
    return found
