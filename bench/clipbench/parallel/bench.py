"""Where work is done: the cache, the processes that do it together, and who is told about it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from clipbench.contracts import Progress, no_progress
from clipbench.parallel.caches import at_cache
from clipbench.parallel.group import Processes, join_processes
from clipbench.system.progress import Reporter


@dataclass(frozen=True)
class Bench:
    """What every stage of a run works with, whatever the run.

    Args:
        cache: folder of clean and poisoned shards, indexes, decoded images and caption tables.
        processes: this process among all.
        reporter: told about progress.
    """

    cache: Path
    processes: Processes = field(default_factory=Processes)
    reporter: Reporter = field(default_factory=lambda: Reporter(quiet=True))

    @classmethod
    def joined(cls, device: str, cache: Path, reporter: Reporter) -> Bench:
        """Return the bench of this process, which has met the others, if there are any.

        Args:
            device: where to compute: auto, cpu, cuda or cuda:N.
            cache: the cache folder as this process names it.
            reporter: told about progress.
        """
        return cls(cache, at_cache(join_processes(device), cache, reporter), reporter)

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and prints."""
        return self.processes.is_first

    @property
    def progress(self) -> Progress:
        """What is told about steps done; nothing where another process speaks."""
        return self.reporter.progress if self.is_first else no_progress

    def resuming(self, text: str) -> None:
        """Tell where a training run goes on that was stopped."""
        if self.is_first:
            self.reporter.resuming(text)

    def alone(self) -> Bench:
        """Return the bench of this process by itself, after the others have parted."""
        return replace(self, processes=Processes(device=self.processes.device))
