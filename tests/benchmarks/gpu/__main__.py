"""What one GPU makes of the bench, in eight minutes and without a network.

    make gpu

or, with what such a machine lacks unpacked elsewhere, ``python tests/benchmarks/gpu``. Findings go
to a JSON file after each part: correctness, speed, science. The last line says what did not pass;
the exit status is 1 then. ``docs/gpu.md`` tells more.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it sums have no fixed order
sys.path.insert(0, str(Path(__file__).parent))

import correctness
import science
import speed
import torch
from findings import SIDE_OF_REPOSITORY, Findings, Sizes

SMALL = Sizes(
    pairs=96,
    batch=48,
    defenses=("safeclip",),
    repeated=("safeclip",),
    batches=(64,),
    steps=2,
    photographs=32,
    towers=(("shapes-64", 8),),
    million=256,
    targets=4,
    precision="fp32",
)
LATER, SCIENCE = 0.62, 0.32  # of the time, what correctness and what speed leave to later parts


def main(arguments: list[str] | None = None) -> int:
    """Do all parts in order; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", help="cuda, or cpu for a rehearsal")
    parser.add_argument("--seconds", type=float, default=470.0, help="in all")
    parser.add_argument(
        "--small", action="store_true", help="a rehearsal with little of everything"
    )
    parser.add_argument("--out", type=Path, default=SIDE_OF_REPOSITORY / "results" / "gpu")
    parser.add_argument(
        "--open-clip-python",
        default=sys.executable,
        help="python with open_clip's training and webdataset 0.2.86; '' leaves that out",
    )
    chosen = parser.parse_args(arguments)
    device = torch.device("cuda:0" if chosen.device == "cuda" else chosen.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("There is no GPU here; --device cpu --small rehearses.", file=sys.stderr)
        return 2
    sizes = SMALL if chosen.small else Sizes()
    findings = Findings(chosen.out / "findings.json", chosen.seconds, device)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        made = science.Preparation(folder / "science", sizes)
        try:
            findings.reserved = LATER
            correctness.check(findings, correctness.Bench(folder / "short", sizes, device))
            findings.reserved = SCIENCE
            speed.check(findings, folder / "speed", sizes, device, chosen.open_clip_python)
            findings.reserved = 0.0
            science.check(findings, folder / "science", chosen.out, sizes, chosen.device, made)
        finally:
            made.stop()
    failures = findings.failures()
    print("\n".join(["did not pass:", *failures]) if failures else "all passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
