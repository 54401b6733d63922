"""Ask what is known against the packages of requirements.lock; it warns, and never fails.

usage: python .ci/audit.py [SECONDS]
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parents[1] / "requirements.lock"
UNREACHED = "audit: the advisory database can't be reached from here; nothing was checked"


def answer(report: Mapping[str, Any] | None) -> list[str]:
    """Return what to print of a report of pip-audit, in lines; None: there is none."""
    packages: Sequence[Mapping[str, Any]] = (report or {}).get("dependencies", [])
    checked = [package for package in packages if "skip_reason" not in package]
    if not checked:
        return [UNREACHED]
    lines = [
        f"audit: WARNING {package['name']} {package['version']}: {known['id']},"
        f" mended in {', '.join(known['fix_versions']) or 'no version'}"
        for package in checked
        for known in package["vulns"]
    ]
    left = len(packages) - len(checked)
    more = f"; {left} could not be checked" if left else ""
    return [*lines, f"audit: {len(lines)} known advisories in {len(checked)} packages{more}"]


def ask(seconds: float) -> Mapping[str, Any] | None:
    """Return the report of pip-audit about the lock; None if it has none within `seconds`."""
    line = [sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps", "--timeout", "5"]
    line += ["--progress-spinner", "off", "--format", "json", "--requirement", str(LOCK)]
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=seconds, check=False)
        report: Mapping[str, Any] = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, OSError, ValueError):
        return None
    return report


if __name__ == "__main__":
    print("\n".join(answer(ask(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0))))
