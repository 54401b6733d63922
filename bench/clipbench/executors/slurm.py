"""An executor of `concurrent.futures` whose work is done by jobs of Slurm, through submitit.

submitit's own executors give jobs, not futures; and on a Slurm without accounting, which many small
clusters are, nothing but the queue tells that a job has died.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, TypeVar

from clipbench.errors import BadSetting, LostProcess
from clipbench.text.visible import visible

LOOK_EVERY_S = 2.0  # at jobs
TOGETHER_S = 0.2  # what is handed in within so long goes as one array of jobs
GRACE_S = 15.0  # for the result of a job that has left the queue to appear on a shared disk
MINUTES = 24 * 60  # of a job, unless the person says otherwise
Result = TypeVar("Result")
_Call = tuple[Callable[..., object], tuple[object, ...], dict[str, object]]


class SlurmExecutor(Executor):
    """Does what it is given in jobs of a cluster, each a process of its own.

    A function that has a method ``checkpoint``, as submitit wants it, is queued again when its job
    is preempted. Canceling a future cancels its job.

    Args:
        folder: for job scripts and logs; all machines see it under this path.
        settings: of sbatch by their long names, e.g. ``partition``, ``time`` (minutes), ``gres``,
            ``account``; ``array_parallelism`` is the number of jobs at once.
        processors: of each job.
        cluster: ``slurm``; ``local`` does the same without Slurm, in processes of this machine.

    Raises:
        BadSetting: submitit is not installed, there is no Slurm here, or it has no such setting.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, str],
        processors: int = 1,
        cluster: str = "slurm",
    ) -> None:
        self._submitter = _submitter(folder, settings, processors, cluster)
        self._queue = queued if cluster == "slurm" else lambda: None
        self._new: list[tuple[Future[Any], _Call]] = []
        self._being_handed_in: list[Future[object]] = []
        self._jobs: dict[Future[object], Any] = {}
        self._missed: dict[str, float] = {}  # when a job was first seen to be in no queue
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_shut = False

    def submit(
        self, fn: Callable[..., Result], /, *args: object, **kwargs: object
    ) -> Future[Result]:
        """Hand in a call; its future is done when its job is."""
        future: Future[Result] = Future()
        with self._change:
            if self._is_shut:
                raise RuntimeError("the executor was shut down")
            self._new.append((future, (fn, args, kwargs)))
            if self._thread is None:
                self._thread = threading.Thread(target=self._follow, daemon=True)
                self._thread.start()
            self._change.notify_all()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; see `concurrent.futures.Executor.shutdown`."""
        with self._change:
            self._is_shut = True
            thread = self._thread
            if cancel_futures:
                waiting = [future for future, _ in self._new]
                for future in [*self._jobs, *self._being_handed_in, *waiting]:
                    future.cancel()
            self._change.notify_all()
        if wait and thread is not None:
            thread.join()

    def _follow(self) -> None:
        """Hand calls to the cluster and look at jobs, until there are none."""
        while True:
            time.sleep(TOGETHER_S)
            with self._change:
                calls, self._new = self._new, []
                self._being_handed_in = [future for future, _ in calls]
            self._hand_in([call for call in calls if _is_wanted(call[0])])
            with self._change:
                self._being_handed_in = []
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - a shared disk's; nobody else ends them
                self._give_up(error)
            with self._change:
                if not self._new:
                    if not self._jobs:
                        self._thread = None
                        return
                    self._change.wait(LOOK_EVERY_S)

    def _give_up(self, error: Exception) -> None:
        """End what waits for jobs that can't be looked at, so that nobody waits for ever."""
        with self._change:
            jobs, self._jobs = self._jobs, {}
        for future, job in jobs.items():
            why = f"job {job.job_id} can't be looked at ({type(error).__name__}: {error})"
            _end(future, error=LostProcess(why))

    def _hand_in(self, calls: list[tuple[Future[object], _Call]]) -> None:
        if not calls:
            return
        try:
            with self._submitter.batch():
                jobs = [self._submitter.submit(fn, *a, **k) for _, (fn, a, k) in calls]
        except Exception as error:  # noqa: BLE001 - whatever sbatch, or a disk, has against it
            for future, _ in calls:
                _end(future, error=error)
            return
        with self._change:
            self._jobs.update(zip((future for future, _ in calls), jobs, strict=True))

    def _look(self) -> None:
        """Take in what has become of the jobs."""
        self._note_missing(self._queue())
        for future, job in [*self._jobs.items()]:
            silent_s = time.monotonic() - self._missed.get(job.job_id, time.monotonic())
            if future.cancelled():
                job.cancel(check=False)
                future.set_running_or_notify_cancel()  # whoever waits for it waits no longer
            elif job.done():
                _end(future, job)
            elif silent_s > GRACE_S:
                why = f"job {job.job_id} left the queue without a result"
                _end(future, error=LostProcess(f"{why}; its log is {job.paths.stderr}"))
            else:
                continue
            with self._change:
                del self._jobs[future]

    def _note_missing(self, there: set[str] | None) -> None:
        """Keep since when each job has been in no queue; nothing is known where there is none."""
        for job in self._jobs.values():
            if there is None or job.job_id in there:
                self._missed.pop(job.job_id, None)
            else:
                self._missed.setdefault(job.job_id, time.monotonic())


def _is_wanted(future: Future[object]) -> bool:
    """Return whether a future was not cancelled; of one that was, whoever waits is told."""
    return not future.cancelled() or future.set_running_or_notify_cancel()


def _end(future: Future[object], job: Any = None, error: Exception | None = None) -> None:
    """Give a future the result of its job, or an error."""
    if not future.set_running_or_notify_cancel():
        return
    found = None
    if error is None:
        try:
            found = job.result()
        except Exception as lost:  # noqa: BLE001 - submitit raises many kinds
            lines = [line for line in str(lost).splitlines() if line.strip()]
            reason = lines[-1] if lines else "no reason told"
            error = LostProcess(f"job {job.job_id} ended as {job.state}: {reason}")
    if error is None:
        future.set_result(found)
    else:
        future.set_exception(error)


def _submitter(folder: Path, settings: Mapping[str, str], processors: int, cluster: str) -> Any:
    """Return submitit's executor."""
    try:
        import submitit  # noqa: PLC0415 - optional
    except ImportError as error:
        raise BadSetting(
            "--executor slurm needs submitit; install it with `pip install 'clipbench[slurm]'`."
        ) from error
    for handler in logging.getLogger("submitit").handlers:
        if type(handler) is logging.StreamHandler:
            handler.setStream(sys.stderr)  # what is on standard output is for programs
    for name, text in {"The folder of job scripts": str(folder.resolve()), **settings}.items():
        if visible(text) != text:  # these stand in a script, a setting a line
            raise BadSetting(
                f"{name} has a character that no job script can hold: {visible(text)}."
            )
    given = {
        f"slurm_{key}": int(text) if text.isdigit() else text for key, text in settings.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # a job needs addresses as they were typed, with what they hold
    try:
        found = submitit.AutoExecutor(folder=folder.resolve(), cluster=cluster)
        found.update_parameters(
            name="clipbench",
            timeout_min=MINUTES,
            cpus_per_task=processors,
            **(given if cluster == "slurm" else {}),
        )
    except (RuntimeError, NameError, TypeError, ValueError) as error:
        raise BadSetting(f"--executor {cluster} can't be used here: {error}.") from error
    return found


def queued() -> set[str] | None:
    """Return the jobs that Slurm has in its queue; None: it does not say."""
    program = shutil.which("squeue")
    if program is None:
        return None
    line = [program, "--noheader", "--array", "--format=%i"]
    try:
        answer = subprocess.run(  # noqa: S603  (by its full path, with fixed arguments)
            line, capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return set(answer.stdout.split()) if answer.returncode == 0 else None
