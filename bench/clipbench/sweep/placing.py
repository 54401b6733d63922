"""Where the runs of a sweep compute: how many at once, with how many threads, on which GPUs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from clipbench.errors import BadSetting
from clipbench.system.threads import processors


@dataclass(frozen=True)
class Placing:
    """Where runs compute.

    Args:
        jobs: processes at once.
        threads: of each.
        gpus: as ``CUDA_VISIBLE_DEVICES`` names them, dealt out to the processes, of which each sees
            one; (): all processes see what this one sees.
    """

    jobs: int
    threads: int
    gpus: tuple[str, ...] = ()


def placing(jobs: int | None, threads: int | None, devices: Iterable[str]) -> Placing:
    """Return where runs compute on this machine.

    Args:
        jobs: processes at once; None: one a GPU, or, where runs have none, one for each `threads`
            processors. Memory is not looked at.
        threads: of each; None: the processors are dealt out evenly.
        devices: what the runs are to be trained on, as the setting ``device`` names it.

    Raises:
        BadSetting: there is to be no process or no thread.
    """
    cores = processors()
    gpus = _gpus() if {*devices} <= {"auto", "cuda"} else ()
    if jobs is None:
        jobs = len(gpus) or max(1, cores // (threads or 1))
    share = threads or max(1, cores // max(1, jobs))
    if jobs < 1 or share < 1:
        raise BadSetting(f"A sweep needs at least 1 job and 1 thread. Got {jobs} and {share}.")
    return Placing(jobs, share, gpus if jobs > 1 and len(gpus) > 1 else ())


def _gpus() -> tuple[str, ...]:
    """Return the names of the GPUs that this process sees."""
    import torch  # noqa: PLC0415 - heavy

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = named.split(",") if named else map(str, range(count))
    return tuple(name.strip() for name in names)[:count]
