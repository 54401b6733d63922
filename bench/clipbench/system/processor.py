"""What processor this is: its name for records, and what tells two of one name apart."""

from __future__ import annotations

import hashlib
import platform
import sys
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


def processor(cpuinfo: Path = _CPUINFO) -> str:
    """Return the processor's name and what else tells how fast it is and how it rounds.

    A cloud's machines of one name may be of several generations, with other vector instructions;
    these are what torch computes with, none if nothing has imported torch so far.
    """
    told = _told(cpuinfo)
    model = told.get("model name") or platform.processor() or platform.machine() or "unknown"
    words = {"family": "cpu family", "model": "model"}
    generation = " ".join(f"{word} {told[key]}" for word, key in words.items() if key in told)
    torch = sys.modules.get("torch")
    vectors = "" if torch is None else torch.backends.cpu.get_cpu_capability()
    return ", ".join(part for part in (model, generation, vectors) if part)


def instructions(cpuinfo: Path = _CPUINFO) -> str:
    """Return a hash of the instructions that the processor says it has; empty: it says nothing."""
    told = _told(cpuinfo)
    found = sorted((told.get("flags") or told.get("Features") or "").split())
    return hashlib.sha256(" ".join(found).encode()).hexdigest() if found else ""


def _told(cpuinfo: Path) -> dict[str, str]:
    """Return what Linux tells of the first processor; nothing elsewhere."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    told: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        told.setdefault(name.strip(), value.strip())
    return told
