"""Training throughput of clipbench's `none` and of open_clip's training script on the same shards.

open_clip's script needs webdataset 0.2.86 or older, so it gets an environment of its own:

    python -m venv oc && oc/bin/pip install 'open_clip_torch[training]' --editable .
    python tests/benchmarks/training_throughput.py --open-clip-python oc/bin/python

Both train the same model on the same 20,000 pairs with the same batch size and precision, in turns;
the medians and their ratio are printed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from open_clip_script import open_clip_rate

from clipbench.configuration import config as configuration
from clipbench.parallel.group import Processes
from clipbench.system.progress import Reporter
from clipbench.training.session import train_on
from clipbench_datasets.shapes import Shapes


def main() -> None:
    """Run both in turns and print pairs/s and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--open-clip-python", required=True, help="python with webdataset<=0.2.86")
    parser.add_argument("--precision", default="bf16", choices=["bf16", "fp32"])
    parser.add_argument("--workers", type=int, default=1, help="open_clip's loader processes")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        shards = Shapes().prepare(cache)
        ours, theirs = [], []
        for number in range(options.rounds):
            ours.append(clipbench_rate(shards, cache, cache / f"ours{number}", options.precision))
            settings = configuration.resolve(
                data="shapes", defense="none", train={"precision": options.precision}
            ).train
            theirs.append(
                open_clip_rate(
                    options.open_clip_python,
                    shards,
                    20_000,
                    settings,
                    cache / "logs",
                    device="cpu",
                    workers=options.workers,
                )
            )
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


if __name__ == "__main__":
    main()
