"""Where the runs of a sweep compute."""

from __future__ import annotations

import pytest
import torch

from clipbench.cli import main
from clipbench.errors import BadSetting
from clipbench.sweep.placing import Placing, placing


@pytest.fixture(autouse=True)
def eight_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with eight processors, without a GPU unless a test says otherwise."""
    monkeypatch.setattr("clipbench.sweep.placing.processors", lambda: 8)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize(
    ("jobs", "threads", "expected"),
    [
        (1, None, Placing(1, 8)),
        (3, None, Placing(3, 2)),
        (20, None, Placing(20, 1)),
        (2, 3, Placing(2, 3)),
        (None, None, Placing(8, 1)),
        (None, 3, Placing(2, 3)),
        (None, 12, Placing(1, 12)),
    ],
)
def test_processors_are_dealt_out(jobs: int | None, threads: int | None, expected: Placing) -> None:
    """Threads to jobs, or, with `auto`, jobs to threads."""
    assert placing(jobs, threads, ["auto"]) == expected


def test_gpus_are_dealt_out_where_every_run_takes_any(monkeypatch: pytest.MonkeyPatch) -> None:
    """One a process; one GPU, or one process, is left as it is, and so are GPUs that are named."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert placing(None, None, ["auto", "cuda"]) == Placing(4, 2, ("0", "1", "2", "3"))
    assert placing(6, 1, ["cuda"]) == Placing(6, 1, ("0", "1", "2", "3"))
    assert placing(1, None, ["auto"]) == Placing(1, 8)
    assert placing(2, None, ["auto", "cuda:1"]) == Placing(2, 4)
    assert placing(None, None, ["cpu"]) == Placing(8, 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert placing(None, None, ["auto"]) == Placing(1, 8)
    assert placing(2, None, ["auto"]) == Placing(2, 4)


def test_only_gpus_that_are_visible_are_dealt_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the names that they were made visible by."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, MIG-3a")
    assert placing(None, 1, ["auto"]).gpus == ("5", "MIG-3a")


@pytest.mark.parametrize(("jobs", "threads"), [(0, 1), (1, -1)])
def test_nothing_to_compute_with_is_refused(jobs: int, threads: int) -> None:
    """There must be a process and a thread."""
    with pytest.raises(BadSetting, match="at least 1 job and 1 thread"):
        placing(jobs, threads, ["auto"])


@pytest.mark.parametrize("wrong", ["0", "all", "1.5"])
def test_jobs_are_a_number_or_auto(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, status 2."""
    assert main(["sweep", "grid.yaml", "--jobs", wrong]) == 2
    said = capsys.readouterr().err
    assert "--jobs" in said
    assert wrong in said
    assert said.count("\n") == 1
