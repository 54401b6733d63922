"""Training throughput of clipbench's `none` and of open_clip's training script on the same shards.

open_clip's script needs webdataset 0.2.86 or older, so it gets an environment of its own:

    python -m venv oc && oc/bin/pip install 'open_clip_torch[training]' --editable .
    python tests/benchmarks/training_throughput.py --open-clip-python oc/bin/python

Both train the same model on the same 20,000 pairs with the same batch size and precision, in turns;
the medians and their ratio are printed.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from clipbench import config as configuration
from clipbench.progress import Reporter
from clipbench.training.distributed import Processes
from clipbench.training.session import train_on
from clipbench_datasets.shapes import Shapes

OPEN_CLIP = """
import sys
from clipbench.models import open_clip
open_clip()
from open_clip_train.main import main
main(sys.argv[1:])
"""
RATE = re.compile(r"Batch \(t\): ([\d.]+), ([\d.]+)/s")


def main() -> None:
    """Run both in turns and print pairs/s and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--open-clip-python", required=True, help="python with webdataset<=0.2.86")
    parser.add_argument("--precision", default="bf16", choices=["bf16", "fp32"])
    parser.add_argument("--workers", default="1", help="open_clip's loader processes")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        shards = Shapes().prepare(cache)
        ours, theirs = [], []
        for number in range(options.rounds):
            ours.append(clipbench_rate(shards, cache, cache / f"ours{number}", options.precision))
            theirs.append(open_clip_rate(shards, cache, options))
            print(f"clipbench {ours[-1]:.0f} pairs/s, open_clip {theirs[-1]:.0f} pairs/s")
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(
        f"median: clipbench {statistics.median(ours):.0f} pairs/s,"
        f" open_clip {statistics.median(theirs):.0f} pairs/s, ratio {ratio:.2f}"
    )


def clipbench_rate(shards: Path, cache: Path, out: Path, precision: str) -> float:
    """Return pairs/s of two epochs of `none`."""
    settings = {"epochs": 2, "precision": precision}
    config = configuration.resolve(data="shapes", defense="none", train=settings)
    record = train_on(shards, config, out, cache, Processes(), Reporter(quiet=True))
    return record.samples_seen / record.seconds


def open_clip_rate(shards: Path, cache: Path, options: argparse.Namespace) -> float:
    """Return pairs/s of open_clip's script, the median of its own lines after the first epoch."""
    precision = {"bf16": "amp_bf16", "fp32": "fp32"}[options.precision]
    names = sorted(path.stem for path in shards.glob("*.tar"))
    settings = configuration.resolve(data="shapes", defense="none").train
    arguments = {
        "train-data": str(shards / f"{{{names[0]}..{names[-1]}}}.tar"),
        "train-num-samples": "20000",
        "dataset-type": "webdataset",
        "model": settings.model,
        "batch-size": str(settings.batch_size),
        "epochs": "2",
        "lr": str(settings.lr),
        "wd": str(settings.wd),
        "warmup": str(settings.warmup),
        "workers": options.workers,
        "precision": precision,
        "device": "cpu",
        "log-every-n-steps": "10",
        "logs": str(cache / "logs"),
    }
    flat = [part for name, value in arguments.items() for part in (f"--{name}", value)]
    command = [options.open_clip_python, "-c", OPEN_CLIP, *flat]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"open_clip's training failed:\n{done.stderr[-2000:]}")
    lines = [line for line in done.stderr.splitlines() if "Train Epoch: 1" in line]
    rates = [float(found[2]) for line in lines if (found := RATE.search(line))]
    return statistics.median(rates)


if __name__ == "__main__":
    main()
