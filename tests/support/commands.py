"""Command lines of clipbench in this process, and a place for runs of a tiny model."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from as_json import record_in

from clipbench.cli import main


@dataclass(frozen=True)
class Done:
    """What a command left: its exit status and what it printed."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The error; the command must have ended with status 2, that one line, and warnings."""
        assert (self.status, self.out) == (2, ""), self.err
        (line,) = [line for line in self.err.splitlines() if not line.startswith("warning: ")]
        assert line.startswith("clipbench: error: "), self.err
        return line.removeprefix("clipbench: error: ")

    @property
    def result(self) -> dict[str, Any]:
        """The only result; the command must have ended well."""
        assert self.status == 0, self.err
        (result,) = json.loads(self.out)
        return dict(result)


def command(*words: object) -> Done:
    """Run a command line."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(word) for word in words])
    return Done(status, out.getvalue(), err.getvalue())


@dataclass(frozen=True)
class Bench:
    """Runs of one epoch of a tiny model.

    Args:
        folder: holds the cache and the runs.
        model: configuration of the model.
    """

    folder: Path
    model: Path

    @property
    def cache(self) -> Path:
        """The cache."""
        return self.folder / "cache"

    @property
    def runs(self) -> Path:
        """The folder of the runs."""
        return self.folder / "runs"

    def line(self, data: object, *options: object) -> list[object]:
        """Return the words of a run."""
        train = ("--model", self.model, "--epochs", 1, "--batch-size", 8, "--warmup", 0)
        where = ("--cache", self.cache, "--out", self.runs, "--json", "-q")
        return ["run", "--data", data, *train, *where, *options]

    def do(self, data: object, *options: object) -> Done:
        """Do a run on `data`."""
        return command(*self.line(data, *options))

    def run(self, data: object, *options: object) -> dict[str, Any]:
        """Do a run on `data` and return its result, which must be what its folder holds."""
        result = self.do(data, *options).result
        (folder,) = self.runs.glob(f"*_{result['id']}")
        assert record_in(folder / "result.json") == result
        return result
