"""What a machine offers to the work, found out by asking it."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from clipbench.system import threads
from clipbench.system.durable import scratch_folder

OLDEST_PYTHON = (3, 10)
PACKAGES = {  # module to import -> distribution, oldest version
    "torch": ("torch", "2.5"),
    "torchvision": ("torchvision", "0.20"),
    "open_clip": ("open_clip_torch", "2.32"),
    "sklearn": ("scikit-learn", "1.3"),
    "pandas": ("pandas", "2.1"),
    "pyarrow": ("pyarrow", "14"),
}
GIB = 1 << 30


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        name: what it is.
        passed: whether the work can be done as far as this goes.
        message: what was found, and where it is wrong what to do.
    """

    name: str
    passed: bool
    message: str


def examine(cache: Path) -> list[Finding]:
    """Return what this machine offers; the work can be done if all findings passed.

    Args:
        cache: the folder in which clean shards are to be kept; made if it is not there.
    """
    packages = [_package(name, *wanted) for name, wanted in PACKAGES.items()]
    findings = [_python(), *packages, _processor(), _others(), _memory(), *_folder(cache)]
    if packages[0].passed:
        findings.insert(len(packages) + 3, _gpus())
    return findings


def _python() -> Finding:
    wanted = ".".join(map(str, OLDEST_PYTHON))
    passed = sys.version_info[:2] >= OLDEST_PYTHON
    advice = "" if passed else f"; install Python {wanted} or newer"
    return Finding("python", passed, f"{platform.python_version()}{advice}")


def _package(name: str, distribution: str, oldest: str) -> Finding:
    """Import a package, for one that is installed may still be broken."""
    try:
        importlib.import_module(name)
        version = importlib.metadata.version(distribution)
    except (ImportError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        return Finding(name, False, f"cannot be imported ({reason}); install {distribution} again")
    passed = _numbers(version) >= _numbers(oldest)
    return Finding(name, passed, version if passed else f"{version}; install {oldest} or newer")


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: ``2.15.0+cpu`` is (2, 15, 0)."""
    parts = version.partition("+")[0].split(".")
    leading = []
    for part in parts:
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        leading.append(int(digits))
    return tuple(leading)


def _others() -> Finding:
    """Look at what else is running, which decides how fast the work is done."""
    others, cores = threads.other_work(), os.cpu_count() or 1
    if others is None:
        return Finding("other work", True, "whether there is any is unknown on this system")
    quiet = f"little: load {others:.1f} on {cores} cores"
    return Finding("other work", True, threads.told(others, cores) or quiet)


def _processor() -> Finding:
    cores = threads.processors()
    flags = _cpu_flags()
    if flags is None:
        fast = "whether it is fast in bf16 is unknown on this system"
    else:
        known = {"avx512f": "AVX-512", "avx512_bf16": "AVX-512 bf16", "amx_bf16": "AMX bf16"}
        has = [text for flag, text in known.items() if flag in flags]
        fast = ", ".join(has) if has else "no AVX-512 and no bf16 instructions"
    return Finding("processor", True, f"{platform.machine()}, {cores} cores to use, {fast}")


def _cpu_flags() -> frozenset[str] | None:
    """Return the instruction-set flags that Linux reports; None elsewhere."""
    file = Path("/proc/cpuinfo")
    if not file.is_file():
        return None
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith(("flags", "Features")):
            return frozenset(line.partition(":")[2].split())
    return None


def _gpus() -> Finding:
    torch = importlib.import_module("torch")
    if not torch.cuda.is_available():
        spare = torch.version.cuda is not None and not torch.version.hip
        size = "; PyTorch's CPU build would do, and is several GB smaller" if spare else ""
        return Finding("gpus", True, f"none; work is done on the processor{size}")
    found = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        found.append(f"{properties.name} ({properties.total_memory / GIB:.0f} GiB)")
    return Finding("gpus", True, ", ".join(found))


def _memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")  # a container's own limit, where it has one
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        total = min(total, int(text))
    enough = total >= 2 * GIB
    advice = "" if enough else "; at least 2 GiB are needed"
    return Finding("memory", enough, f"{total / GIB:.1f} GiB{advice}")


def _folder(cache: Path) -> list[Finding]:
    """Look at the cache: whether it can be written, what is free, whether files can be linked."""
    where = cache.expanduser().resolve()
    try:
        where.mkdir(parents=True, exist_ok=True)
        with scratch_folder("doctor", where) as folder:
            first = folder / "a"
            first.write_bytes(b"x")
            links = _can_link(first, folder / "b")
    except OSError as error:
        advice = f"{where} cannot be written ({error.strerror}); choose another with --cache"
        return [Finding("cache", False, advice)]
    free = shutil.disk_usage(where).free
    enough = free >= GIB
    advice = "" if enough else "; at least 1 GiB is needed"
    linking = "yes" if links else "no; a poisoned set will be a full copy of its base"
    return [
        Finding("cache", True, str(where)),
        Finding("disk", enough, f"{free / GIB:.1f} GiB free{advice}"),
        Finding("hard links", True, linking),
    ]


def _can_link(first: Path, second: Path) -> bool:
    try:
        os.link(first, second)
    except OSError:
        return False
    return True
