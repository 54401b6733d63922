"""Runs as jobs of a Slurm cluster, through submitit: a job for each group of runs.

Results come over the file system that all machines share; a job that was preempted, or that ran
into its time limit, writes a checkpoint, is queued again and goes on there.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipbench import registry
from clipbench.boundary import datasets
from clipbench.config import RunConfig
from clipbench.errors import BadSetting
from clipbench.pipeline.folders import folder_of
from clipbench.pipeline.record import RESULT
from clipbench.progress import Reporter
from clipbench.stopping import Stopped, handing_on
from clipbench.sweep.workers import Event, do_one
from clipbench.threads import share_processors, use_threads
from clipbench.visible import visible

if TYPE_CHECKING:
    from clipbench.sweep.sweep import Executor

LOOK_EVERY_S = 2.0  # for results and at jobs
GRACE_S = 15.0  # for the result of a job that has left the queue to appear on a shared disk
MINUTES = 24 * 60  # of a job, unless the person says otherwise


@dataclass
class GroupJob:
    """What a job does: the runs of a group, one after the other; it travels to the job.

    Args:
        configs: the runs, as `RunConfig.to_json` gives them.
        cache: folder of clean and poisoned shards.
        out: folder of the runs.
        threads: to compute with; None: as many as torch takes.
    """

    configs: list[dict[str, Any]]
    cache: Path
    out: Path
    threads: int | None

    def __call__(self) -> list[tuple[str, str, str]]:
        """Do the runs and return what became of each."""
        share_processors()  # a cluster may start jobs without the variables of who submits them
        use_threads(self.threads)
        configs = map(RunConfig.from_json, self.configs)
        with handing_on(), Reporter() as reporter:
            try:
                return [tuple(do_one(c, self.cache, self.out, reporter)) for c in configs]  # type: ignore[misc]
            except Stopped as stop:
                reporter.note(f"stopped; {stop.saved or 'no training was at a step'}")
                raise

    def checkpoint(self) -> Any:
        """Return what is queued when the job is preempted: the same, of which some is done."""
        from submitit.helpers import DelayedSubmission  # noqa: PLC0415 - optional

        return DelayedSubmission(self)


def require_precision(configs: Sequence[RunConfig]) -> None:
    """Refuse runs whose precision would be settled by this machine, which is not to train them.

    Raises:
        BadSetting: neither the person nor the data set's recipe names one.
    """
    for config in configs:
        recipe = datasets.recipe(registry.build("dataset", config.data)).train
        if {**recipe, **config.explicit}.get("precision", "auto") == "auto":
            raise BadSetting(
                "precision: auto stands for what this machine would train in, and Slurm's jobs run"
                " on others; name it in the grid, `train: {precision: bf16}` or fp32."
            )


def slurm_executor(
    cache: Path,
    out: Path,
    *,
    settings: Mapping[str, str],
    threads: int | None,
    cluster: str = "slurm",
) -> Executor:
    """Return what does groups of runs as jobs of a cluster.

    Args:
        cache: folder of clean and poisoned shards; all machines see it under this path.
        out: folder of the runs, likewise; job scripts and logs go to ``slurm/`` in it.
        settings: of sbatch by their long names, e.g. ``partition``, ``time`` (minutes), ``gres``,
            ``account``; ``array_parallelism`` is the number of jobs at once.
        threads: of each run, and its processors; None: 1 processor is asked for.
        cluster: ``slurm``; ``local`` does the same without Slurm, in processes of this machine.

    Raises:
        BadSetting: submitit is not installed, there is no Slurm here, or it has no such setting.
    """
    try:
        import submitit  # noqa: PLC0415 - optional
    except ImportError as error:
        raise BadSetting(
            "--executor slurm needs submitit; install it with `pip install 'clipbench[slurm]'`."
        ) from error
    for handler in logging.getLogger("submitit").handlers:
        if type(handler) is logging.StreamHandler:
            handler.setStream(sys.stderr)  # what is on standard output is for programs
    for name, text in {"--out": str(out.resolve()), **settings}.items():
        if visible(text) != text:  # these stand in a script, a setting a line
            raise BadSetting(
                f"{name} has a character that no job script can hold: {visible(text)}."
            )
    given = {
        f"slurm_{key}": int(text) if text.isdigit() else text for key, text in settings.items()
    }
    folder = out.resolve() / "slurm"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # a job needs addresses as they were typed, with what they hold
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
        executor.update_parameters(
            name="clipbench",
            timeout_min=MINUTES,
            cpus_per_task=threads or 1,
            **(given if cluster == "slurm" else {}),
        )
    except (RuntimeError, NameError, TypeError, ValueError) as error:
        raise BadSetting(f"--executor {cluster} can't be used here: {error}.") from error

    def do(groups: Sequence[Sequence[RunConfig]], tell: Callable[[Event], None]) -> None:
        where = (cache.resolve(), out.resolve(), threads)
        with executor.batch():
            jobs = [
                executor.submit(GroupJob([config.to_json() for config in group], *where))
                for group in groups
            ]
        queue = _queue if cluster == "slurm" else lambda: None
        _follow(list(zip(jobs, map(list, groups), strict=True)), out, queue, tell)

    return do


def _follow(
    waiting: list[tuple[Any, list[RunConfig]]],
    out: Path,
    queue: Callable[[], set[str] | None],
    tell: Callable[[Event], None],
) -> None:
    """Tell of runs as their results appear, until all jobs have ended."""
    began = time.time()
    told: set[str] = set()

    def once(event: Event) -> None:
        if event.run not in told:
            told.add(event.run)
            tell(event)

    try:
        missed: dict[str, float] = {}  # when a job was first seen to be in no queue
        while waiting:
            time.sleep(LOOK_EVERY_S)
            _note_missing([job.job_id for job, _ in waiting], queue(), missed)
            for job, group in list(waiting):
                ended = job.done()
                for config in group:
                    if _is_new(folder_of(config, out) / RESULT, began):
                        once(Event("done", config.id))
                if ended:
                    events = _outcome(job, group)
                elif time.monotonic() - missed.get(job.job_id, time.monotonic()) > GRACE_S:
                    events = _vanished(job, group)
                else:
                    continue
                waiting.remove((job, group))
                for event in events:
                    once(event)
    except BaseException:
        for job, _ in waiting:
            job.cancel(check=False)
        raise


def _note_missing(jobs: Sequence[str], queued: set[str] | None, missed: dict[str, float]) -> None:
    """Keep since when each job has been in no queue; nothing is known where there is no queue."""
    for job in jobs:
        if queued is None or job in queued:
            missed.pop(job, None)
        else:
            missed.setdefault(job, time.monotonic())


def _queue() -> set[str] | None:
    """Return the jobs that Slurm has in its queue; None: it does not say.

    Without accounting, which many small clusters lack, nothing else tells that a job has died.
    """
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


def _vanished(job: Any, group: Sequence[RunConfig]) -> list[Event]:
    why = f"job {job.job_id} left the queue without a result; its log is {job.paths.stderr}"
    return [Event("failed", config.id, why) for config in group]


def _is_new(result: Path, began: float) -> bool:
    return result.is_file() and result.stat().st_mtime >= began - 60  # clocks may differ a little


def _outcome(job: Any, group: Sequence[RunConfig]) -> list[Event]:
    """Return what became of the runs of a job that has ended."""
    try:
        return [Event(*found) for found in job.result()]
    except Exception as error:  # noqa: BLE001 - submitit raises many kinds
        lines = [line for line in str(error).splitlines() if line.strip()]
        why = f"job {job.job_id} ended as {job.state}: {lines[-1] if lines else 'no reason told'}"
        return [Event("failed", config.id, why) for config in group]
