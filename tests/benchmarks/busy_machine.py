"""Throughput of training beside other work, by how OpenMP's threads wait.

    python tests/benchmarks/busy_machine.py

Trains `none` on a few pairs of `shapes`, alone and beside processes that each keep one processor
busy. Every way of waiting has a process of its own, since OpenMP reads its variables once; they
take turns, and medians are printed. Numbers must not depend on how threads wait: the script ends
with status 1 if weights differ.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PREFIXES = ("OMP_", "GOMP_", "KMP_", "CLIPBENCH_")
PASSIVE = {"OMP_WAIT_POLICY": "passive"}


@dataclass
class Way:
    """A way of waiting, and what was measured of it.

    Args:
        name: for the table.
        variables: of the environment.
        threads: to compute with.
        rates: pairs/s, by the number of neighbors.
        processor: processor seconds of one training, by the number of neighbors.
    """

    name: str
    variables: Mapping[str, str]
    threads: int
    rates: dict[int, list[float]] = field(default_factory=dict)
    processor: dict[int, list[float]] = field(default_factory=dict)


def ways(threads: int, spins: Sequence[int], library: str | None) -> list[Way]:
    """Return what is compared; with a library, LLVM's or Intel's OpenMP in the place of GNU's."""
    if library is not None:
        loaded = {"LD_PRELOAD": library}
        waits = {"default": {}, "0 ms": {"KMP_BLOCKTIME": "0"}, "1 ms": {"KMP_BLOCKTIME": "1"}}
        named = {f"{Path(library).name}, {name}": more for name, more in waits.items()}
        return [Way(name, {**loaded, **more}, threads) for name, more in named.items()]
    found = [
        Way("OpenMP's default", {}, threads),
        Way("passive", PASSIVE, threads),
        *(Way(f"{count:,} spins", {"GOMP_SPINCOUNT": str(count)}, threads) for count in spins),
    ]
    return [*found, Way("one thread", {}, 1)]


def main() -> None:
    """Measure all ways in turns and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--neighbors", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--spins", type=int, nargs="*", default=[2_000, 5_000, 10_000, 20_000])
    parser.add_argument("--pairs", type=int, default=1_500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--library", help="libiomp5.so or libomp.so, to be measured instead")
    parser.add_argument("--child", type=int, metavar="THREADS", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        serve(options.child, options.pairs)
        return
    compared = ways(options.threads, options.spins, options.library)
    weights = set()
    with ExitStack() as stack:
        children = [stack.enter_context(child(way, options.pairs)) for way in compared]
        for _ in range(options.rounds):
            for neighbors in options.neighbors:
                for way, process in zip(compared, children, strict=True):
                    told = measured(process, neighbors)
                    way.rates.setdefault(neighbors, []).append(told["rate"])
                    way.processor.setdefault(neighbors, []).append(told["cpu_seconds"])
                    if way.threads == options.threads:
                        weights.add(told["weights"])
                    print(f"{way.name}, {neighbors}: {told['rate']:.0f}", file=sys.stderr)
    print_table(compared, options.neighbors)
    if len(weights) > 1:
        sys.exit(f"weights differ: {sorted(weights)}")


def print_table(compared: Sequence[Way], neighbors: Sequence[int]) -> None:
    """Print pairs/s and processor seconds, as Markdown."""
    beside = ["alone" if not count else f"beside {count}" for count in neighbors]
    columns = [f"{name}, {what}" for name in beside for what in ("pairs/s", "CPU s")]
    print(f"| threads wait | {' | '.join(columns)} |")
    print(f"| --- |{' --- |' * len(columns)}")
    for way in compared:
        cells = []
        for count in neighbors:
            cells.append(f"{statistics.median(way.rates[count]):,.0f}")
            cells.append(f"{statistics.median(way.processor[count]):.1f}")
        print(f"| {way.name} | {' | '.join(cells)} |")


@contextmanager
def child(way: Way, pairs: int) -> Iterator[subprocess.Popen[str]]:
    """Give a process that trains when it is told to, in the environment of a way of waiting."""
    kept = {key: text for key, text in os.environ.items() if not key.startswith(PREFIXES)}
    line = [sys.executable, __file__, "--child", str(way.threads), "--pairs", str(pairs)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen(line, env={**kept, **way.variables}, **pipes)
    try:
        assert process.stdout is not None
        process.stdout.readline()  # it is ready
        yield process
    finally:
        process.kill()
        process.wait()


def measured(process: subprocess.Popen[str], neighbors: int) -> dict[str, Any]:
    """Return what a child tells of one training beside so many busy processes."""
    assert process.stdin is not None
    assert process.stdout is not None
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(neighbors)]
    try:
        time.sleep(0.5)
        process.stdin.write("train\n")
        process.stdin.flush()
        told: dict[str, Any] = json.loads(process.stdout.readline())
    finally:
        for other in busy:
            other.kill()
            other.wait()
    return told


def serve(threads: int, pairs: int) -> None:
    """Train once for each line on standard input, and print how fast."""
    import torch  # noqa: PLC0415 - after the environment is as it should be

    from clipbench.configuration import resolution as configuration  # noqa: PLC0415
    from clipbench.models.weights import WEIGHTS_FILE  # noqa: PLC0415
    from clipbench.parallel.bench import Bench  # noqa: PLC0415
    from clipbench.training.session import train_on  # noqa: PLC0415
    from clipbench_datasets.shapes import Shapes  # noqa: PLC0415

    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = Shapes(size=pairs)
        shards = source.prepare(folder)
        data = {"name": "shapes", "size": pairs}
        config = configuration.resolve(
            data=data, train={"epochs": 2, "precision": "fp32", "warmup": 1}
        )
        for number, _ in enumerate(itertools.chain([""], sys.stdin)):
            out = folder / f"run{number}"
            record = train_on(shards, config, out, Bench(folder))
            weights = hashlib.sha256((out / "model" / WEIGHTS_FILE).read_bytes()).hexdigest()
            told = {
                "rate": record.samples_seen / record.seconds,
                "cpu_seconds": record.cpu_seconds,
                "weights": weights,
            }
            print(json.dumps(told) if number else "ready", flush=True)


if __name__ == "__main__":
    main()
