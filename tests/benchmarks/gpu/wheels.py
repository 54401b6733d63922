"""Pack what a GPU machine without a network lacks, for several versions of Python.

    make gpu-wheels

It is taken to have torch, torchvision, numpy, pandas, pyarrow, scikit-learn, matplotlib, timm,
click and safetensors, with what they need. Versions are those of ``requirements.lock``, but for
webdataset: open_clip's training script needs one before 1.0. clipbench is run from its clone.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

LOCK = Path(__file__).parents[3] / "requirements.lock"
LACKING = ("braceexpand", "ftfy", "ijson", "open-clip-torch", "regex", "simplejpeg", "wcwidth")
WEBDATASET = "webdataset==0.2.86"
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_28_x86_64")
MOST = 40e6  # bytes of all files, which travel with a clone


def wanted(python: str) -> list[str]:
    """Return the lacking packages with the versions that the lock names for a Python."""
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    lines = [line.rstrip(" \\") for line in LOCK.read_text().splitlines()]
    locked = [Requirement(line) for line in lines if line[:1].isalnum()]
    found = [
        f"{item.name}{item.specifier}"
        for item in locked
        if item.name in LACKING and (item.marker is None or item.marker.evaluate(environment))
    ]
    if len(found) != len(LACKING):
        raise SystemExit(f"{LOCK} names {found} of {LACKING} for Python {python}.")
    return [*found, WEBDATASET]


def main() -> None:
    """Download the wheels, and refuse more than may travel."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pythons", nargs="+", default=PYTHONS)
    chosen = parser.parse_args()
    platforms = [part for name in PLATFORMS for part in ("--platform", name)]
    for python in chosen.pythons:
        line = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        line += ["--only-binary", ":all:", "--python-version", python, *platforms]
        subprocess.run([*line, "--dest", str(chosen.folder), *wanted(python)], check=True)
    size = sum(file.stat().st_size for file in chosen.folder.glob("*.whl"))
    count = len(list(chosen.folder.glob("*.whl")))
    print(f"{count} wheels of {size / 1e6:.1f} MB in {chosen.folder}")
    if size > MOST:
        raise SystemExit(f"That is more than {MOST / 1e6:.0f} MB.")


if __name__ == "__main__":
    main()
