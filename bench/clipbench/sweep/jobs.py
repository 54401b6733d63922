"""Runs as jobs of an executor, Slurm's or another: a job for each group of runs.

Results come over the file system that all machines share; a job that was preempted, or that ran
into its time limit, writes a checkpoint, is queued again and goes on there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clipbench.boundary import datasets
from clipbench.configuration.config import RunConfig
from clipbench.configuration.hashed import ContentMore
from clipbench.errors import BadSetting
from clipbench.executors.apart import apart
from clipbench.pipeline.record import RESULT
from clipbench.results.folders import folder_of
from clipbench.sweep.workers import Event, do_one
from clipbench.system.progress import Reporter
from clipbench.system.stopping import Stopped, handing_on
from clipbench.system.threads import share_processors, use_threads

if TYPE_CHECKING:
    from clipbench.sweep.sweep import Executor

LOOK_EVERY_S = 2.0  # for results
Job = futures.Future[list[Event]]  # of what became of each run


@dataclass
class GroupJob:
    """What a job does: the runs of a group, one after the other; it travels to the job.

    Args:
        configs: the runs, as `RunConfig.to_json` gives them.
        cache: folder of clean and poisoned shards.
        out: folder of the runs.
        threads: to compute with; None: as many as torch takes.
    """

    configs: Sequence[ContentMore]
    cache: Path
    out: Path
    threads: int | None

    def __call__(self) -> list[Event]:
        """Do the runs and return what became of each.

        A training run changes the process it is in, so that a thread of another gets one of its
        own.
        """
        if threading.current_thread() is not threading.main_thread():
            return apart(self)
        share_processors()  # a cluster may start jobs without the variables of who submits them
        use_threads(self.threads)
        configs = map(RunConfig.from_json, self.configs)
        with handing_on(), Reporter() as reporter:
            try:
                return [do_one(config, self.cache, self.out, reporter) for config in configs]
            except Stopped as stop:
                reporter.note(f"stopped; {stop.saved or 'no training was at a step'}")
                raise

    def checkpoint(self) -> object:
        """Return what is queued when the job is preempted: the same, of which some is done."""
        from submitit.helpers import DelayedSubmission  # noqa: PLC0415 - optional

        return DelayedSubmission(self)


def require_precision(configs: Sequence[RunConfig]) -> None:
    """Refuse runs whose precision would be settled by this machine, which is not to train them.

    Raises:
        BadSetting: neither the person nor the data set's recipe names one.
    """
    for config in configs:
        recipe = datasets.recipe(config.data.plugin).train
        if {**recipe, **config.explicit}.get("precision", "auto") == "auto":
            raise BadSetting(
                "precision: auto stands for what this machine would train in, and an executor's"
                " jobs run on others; name it in the grid, `train: {precision: bf16}` or fp32."
            )


def by_jobs(executor: futures.Executor, cache: Path, out: Path, threads: int | None) -> Executor:
    """Return what does groups of runs as jobs, whatever does those.

    Args:
        executor: does jobs; what it does them with sees files under the same paths.
        cache: folder of clean and poisoned shards.
        out: folder of the runs.
        threads: of each run.
    """

    def do(groups: Sequence[Sequence[RunConfig]], tell: Callable[[Event], None]) -> None:
        where = (cache.resolve(), out.resolve(), threads)
        waiting = {
            executor.submit(GroupJob([config.to_json() for config in group], *where)): list(group)
            for group in groups
        }
        _follow(waiting, out, tell)

    return do


def slurm_folder(out: Path) -> Path:
    """Return where job scripts and logs of a sweep go."""
    return out.resolve() / "slurm"


def _follow(waiting: dict[Job, list[RunConfig]], out: Path, tell: Callable[[Event], None]) -> None:
    """Tell of runs as their results appear, until all jobs have ended."""
    began = time.time()
    told: set[str] = set()

    def once(event: Event) -> None:
        if event.run not in told:
            told.add(event.run)
            tell(event)

    try:
        while waiting:
            futures.wait(waiting, LOOK_EVERY_S, futures.FIRST_COMPLETED)
            for job, group in [*waiting.items()]:
                has_ended = job.done()
                for config in group:
                    if _is_new(folder_of(config, out) / RESULT, began):
                        once(Event("done", config.id))
                if has_ended:
                    del waiting[job]
                    for event in _outcome(job, group):
                        once(event)
    except BaseException:
        for job in waiting:
            job.cancel()
        raise


def _is_new(result: Path, began: float) -> bool:
    return result.is_file() and result.stat().st_mtime >= began - 60  # clocks may differ a little


def _outcome(job: Job, group: Sequence[RunConfig]) -> list[Event]:
    """Return what became of the runs of a job that has ended."""
    try:
        return job.result()
    except Exception as error:  # noqa: BLE001 - executors raise many kinds
        why = str(error) or type(error).__name__
        return [Event("failed", config.id, why) for config in group]
