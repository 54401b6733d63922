"""How this program's threads share the processors with other work.

OpenMP's threads wait for each other some thousand times a second, and while they wait they spin: by
default for milliseconds, on some processors for more than a time slice of the kernel's. On a busy
machine the thread that is waited for may be the one that got no processor, and the others burn
theirs. A short spin costs nothing alone and gives the processor away where somebody else wants it;
docs/performance.md has the numbers. Which numbers a training run ends with does not depend on it.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import MutableMapping
from pathlib import Path

# What says how threads wait: of GNU's OpenMP (wheels for Linux), and of LLVM's and Intel's (macOS,
# conda). The first is a count of spins, the other milliseconds.
SPINS, BLOCK_TIME = "GOMP_SPINCOUNT", "KMP_BLOCKTIME"
_SHORT = {SPINS: "10000", BLOCK_TIME: "1"}
_POLICY = "OMP_WAIT_POLICY"  # says it of all of them

LOOKS, LOOK_EVERY_S = 10, 0.02


def share_processors(environ: MutableMapping[str, str] | None = None) -> None:
    """Let OpenMP's threads wait politely, in this process and those that it starts.

    Nothing changes where a person has said how they are to wait, or where torch is loaded already,
    for OpenMP reads its variables once. Not how many threads there are, either: last digits of
    numbers may depend on that, and they must not depend on what else a machine is doing.

    Args:
        environ: variables; None: of this process.
    """
    variables = os.environ if environ is None else environ
    if "torch" in sys.modules or _POLICY in variables:
        return
    for name, value in _SHORT.items():
        variables.setdefault(name, value)


def use_threads(count: int | None) -> None:
    """Compute with so many threads, in this process and those that it starts; loads torch.

    Args:
        count: threads; None: as many as OpenMP takes, which are all processors unless a variable
            says otherwise.
    """
    if count is None:
        return
    os.environ["OMP_NUM_THREADS"] = str(count)
    import torch  # noqa: PLC0415 - heavy

    torch.set_num_threads(count)


def processors() -> int:
    """Return how many processors this process may use.

    They are those that it is bound to, as Slurm binds a job, and no more than its control groups
    give it time on, as containers have it; a part of one counts as a whole.
    """
    bound = hasattr(os, "sched_getaffinity")
    count = len(os.sched_getaffinity(0)) if bound else os.cpu_count() or 1
    granted = _granted(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))
    return max(1, math.ceil(min(count, granted)))


def local_processes() -> int:
    """Return how many processes torchrun started on this machine, this one included."""
    told = os.environ.get("LOCAL_WORLD_SIZE", "")
    return max(1, int(told)) if told.isdecimal() else 1


def own_processors() -> int:
    """Return this process's share of the processors; at least one."""
    return max(1, processors() // local_processes())


def _granted(groups: Path, root: Path) -> float:
    """Return the CPU time a second that the control groups of this process grant it.

    Args:
        groups: names this process's groups, as /proc/self/cgroup does.
        root: where they are mounted.

    Returns:
        The least of the groups and those around them; infinity where nothing is said.
    """
    try:
        lines = groups.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return math.inf
    found = math.inf
    for line in lines:
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / "cpu" if controllers else root
        own = top / path.lstrip("/")
        for folder in (own, *own.parents):
            if folder == top or top in folder.parents:
                found = min(found, _quota(folder))
    return found


def _quota(folder: Path) -> float:
    """Return what one control group says of processors, of the second or the first version."""
    try:
        if (told := folder / "cpu.max").exists():
            quota, period = told.read_text(encoding="ascii").split()
        else:
            quota, period = (
                (folder / f"cpu.cfs_{name}_us").read_text(encoding="ascii")
                for name in ("quota", "period")
            )
        return float(quota) / float(period) if float(quota) > 0 else math.inf
    except (OSError, ValueError, ZeroDivisionError):  # "max", or no such file
        return math.inf


def other_work() -> float | None:
    """Return how many other threads of this machine want a processor; takes a fifth of a second.

    Returns:
        Their mean number, from looking again and again; where the system does not tell, the load
        average of the last minute, in which this process counts; None: it does not tell that.
    """
    try:
        counts = [_runnable() for _ in range(LOOKS)]
    except (OSError, ValueError, IndexError):
        return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return sum(counts) / len(counts)


def _runnable() -> int:
    """Return how many threads but this one run or want to, after a while of waiting."""
    time.sleep(LOOK_EVERY_S)
    running = Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[0]
    return max(0, int(running) - 1)


def news() -> str:
    """Return a warning of other work on this machine now; nothing where there is little."""
    used = os.environ.get("OMP_NUM_THREADS", "")
    return told(other_work(), os.cpu_count() or 1, int(used) if used.isdecimal() else None)


def told(others: float | None, cores: int, used: int | None = None) -> str:
    """Return a warning of other work; nothing where there is little.

    Args:
        others: threads that want a processor.
        cores: processors there are.
        used: threads that this program was told to compute with; None: it was told nothing.
    """
    if others is None or others < max(0.5, cores / 4):
        return ""
    free = max(1, round(cores - others))
    threads = f"--threads {free}" if free < cores else "fewer --threads"
    longer = f"other work is running: load {others:.1f} on {cores} cores; training takes longer"
    if used is not None and used <= free:
        return longer
    return f"{longer}, and {threads} may be faster (another number may change last digits)"
