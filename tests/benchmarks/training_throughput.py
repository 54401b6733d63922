"""Training throughput of clipbench's `none` and of open_clip's training script on the same shards.

open_clip's script needs webdataset 0.2.86 or older, so it gets an environment of its own:

    python -m venv oc && oc/bin/pip install 'open_clip_torch[training]' --editable .
    python tests/benchmarks/training_throughput.py --open-clip-python oc/bin/python

Both train the same model on the same 20,000 pairs with the same batch size and precision, in turns;
the medians and their ratio are printed. Then steps are timed, with towers as they are and compiled,
in turns, and held against the fastest product of two matrices that this machine was seen to do.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent / "gpu"))

from open_clip_script import open_clip_rate
from speed import Timed

from clipbench.configuration import resolution as configuration
from clipbench.contracts import Phase
from clipbench.parallel.bench import Bench
from clipbench.training.session import train_on
from clipbench_datasets.shapes import Shapes

STEPS = 40  # that are timed in a round


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
            print(
                f"clipbench {ours[-1]:.0f} pairs/s, open_clip {theirs[-1]:.0f} pairs/s", flush=True
            )
        steps_in_turns(shards, cache, options.precision, options.rounds)
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(
        f"median: clipbench {statistics.median(ours):.0f} pairs/s,"
        f" open_clip {statistics.median(theirs):.0f} pairs/s, ratio {ratio:.2f}"
    )


def steps_in_turns(shards: Path, cache: Path, precision: str, rounds: int) -> None:
    """Print pairs/s of steps and their share of the machine's peak, compiled and not, in turns."""
    best = max(products(precision) for _ in range(rounds))
    print(f"product of two matrices: {best / 1e9:.0f} GFLOP/s")
    timed: dict[bool, Timed] = {}
    found: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    for compiled in found:
        settings = {"precision": precision, "compile": compiled}
        config = configuration.resolve(data="shapes", defense="none", train=settings)
        started = time.perf_counter()
        timed[compiled] = Timed(shards, config, cache, torch.device("cpu"))
        timed[compiled].phase(first_phase(timed[compiled]), 1, best)
        print(f"compiled {compiled}: first steps after {time.perf_counter() - started:.0f} s")
    for _ in range(rounds):
        for compiled, run in timed.items():
            found[compiled].append(run.phase(first_phase(run), STEPS, best))
    for compiled, all_rounds in found.items():
        rate, share = (
            statistics.median(each[name] for each in all_rounds)
            for name in ("pairs_per_second", "share_of_peak")
        )
        print(f"compiled {compiled}: {rate:.0f} pairs/s, {share:.1%} of the product's rate")


def first_phase(timed: Timed) -> Phase:
    """Return the phase that `none` has."""
    return next(iter(timed.work.examples.values()))


def products(precision: str, side: int = 2048) -> float:
    """Return floating-point operations per second of a product of square matrices."""
    kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    one, other = (torch.randn(side, side).to(kind) for _ in range(2))
    one @ other
    started = time.perf_counter()
    for _ in range(5):
        one @ other
    return 5 * 2 * side**3 / (time.perf_counter() - started)


def clipbench_rate(shards: Path, cache: Path, out: Path, precision: str) -> float:
    """Return pairs/s of two epochs of `none`."""
    settings = {"epochs": 2, "precision": precision}
    config = configuration.resolve(data="shapes", defense="none", train=settings)
    record = train_on(shards, config, out, Bench(cache))
    return record.samples_seen / record.seconds


if __name__ == "__main__":
    main()
