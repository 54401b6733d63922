"""What becomes of futures whose jobs can't be looked at, or that are cancelled."""

from __future__ import annotations

from concurrent.futures import wait
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from clipbench.errors import LostProcess
from clipbench.executors import slurm
from clipbench.executors.slurm import SlurmExecutor


class Job:
    """A job that never ends, on a disk that may be gone."""

    job_id = "7"

    def __init__(self, gone: bool) -> None:
        self.gone, self.is_cancelled = gone, False

    def done(self) -> bool:
        if self.gone:
            raise OSError("stale file handle")
        return False

    def cancel(self, check: bool) -> None:  # noqa: ARG002
        self.is_cancelled = True


class Cluster:
    """What takes jobs, in the place of submitit's."""

    def __init__(self, gone: bool) -> None:
        self.gone, self.jobs = gone, list[Job]()

    def batch(self) -> AbstractContextManager[None]:
        return nullcontext()

    def submit(self, *_: object) -> Job:
        self.jobs.append(Job(self.gone))
        return self.jobs[-1]


@pytest.fixture
def executor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SlurmExecutor:
    monkeypatch.setattr(slurm, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(slurm, "TOGETHER_S", 0.02)
    return SlurmExecutor(tmp_path, settings={}, cluster="local")


def test_jobs_that_cannot_be_looked_at_are_lost(executor: SlurmExecutor) -> None:
    """Rather than waited for without an end."""
    executor._submitter = Cluster(gone=True)
    future = executor.submit(print)
    with pytest.raises(LostProcess, match=r"job 7 can't be looked at \(OSError: stale"):
        future.result(10)
    executor.shutdown()


def test_whoever_waits_for_a_cancelled_call_waits_no_longer(executor: SlurmExecutor) -> None:
    """Its job is cancelled, too, if it has one yet."""
    executor._submitter = cluster = Cluster(gone=False)
    futures = [executor.submit(print) for _ in range(3)]
    executor.shutdown(cancel_futures=True)
    assert not wait(futures, 10).not_done
    assert all(future.cancelled() for future in futures)
    assert all(job.is_cancelled for job in cluster.jobs)
