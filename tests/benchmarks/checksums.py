"""What the look at checksums costs: start-up and throughput of this checkout and of another.

    git worktree add ../before COMMIT
    python tests/benchmarks/checksums.py --before ../before

Both read the same bytes, each through hard links and caches of its own, in turns and in processes
of their own; medians are printed. A set of 20,000 pairs of `shapes` is trained on for an epoch, as
`train` does it. Of a set of a million synthetic pairs (`--pairs`) all is read that an epoch reads:
hashes, index, captions, and the decoded images of all pairs in shuffled batches, without the model,
which would take a hundred times as long and hide the rest. Processors' seconds stand beside those
that passed, for other work on the machine changes them less.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from clipbench.images.encoding import encode_jpeg
from clipbench.loading.decoded import DecodedImages
from clipbench.shards.reader import ShardSet
from clipbench.shards.writer import Sample, write_set
from clipbench_datasets.shapes import Shapes

BATCH = 256
PACKAGES = ("bench", "attacks", "defenses", "datasets")
READ = """
import json, sys, time
from pathlib import Path
import numpy as np
from clipbench.loading.decoded import DecodedImages
from clipbench.shards.reader import ShardSet

shards, cache = map(Path, sys.argv[1:3])
clock = lambda: np.array([time.perf_counter(), time.process_time()])
start = clock()
pairs = ShardSet.open(shards)
pairs.content_sha256()
images = DecodedImages.open(pairs, 32, cache / "decoded", workers=0)
opened = clock()
captions = pairs.captions()
read = clock()
order = np.random.default_rng(0).permutation(len(pairs))
for first in range(0, len(order), 256):
    images.gather(order[first : first + 256])
gathered = clock()
for first in range(0, len(order), 256):
    images.gather(order[first : first + 256])
again = clock()
parts = dict(zip(
    ["open, s", "captions, s", "images of the first epoch, s", "of the second, s"],
    [opened - start, read - opened, gathered - read, again - gathered],
))
print(json.dumps({name: value.tolist() for name, value in parts.items()}))
"""
TRAIN = """
import json, sys, time
from pathlib import Path
import torch
from clipbench.configuration import resolution as configuration
from clipbench.system.progress import Reporter
from clipbench.parallel.bench import Bench
from clipbench.training.session import train_on

shards, cache, out = map(Path, sys.argv[1:4])
torch.set_num_threads(1)
config = configuration.resolve(data="shapes", defense="none", train={"epochs": 1, "warmup": 10})
start, processor = time.perf_counter(), time.process_time()
record = train_on(shards, config, out, Bench(cache))
seconds, used = time.perf_counter() - start, time.process_time() - processor
print(json.dumps({
    "start, s": [seconds - record.seconds, used - record.cpu_seconds],
    "an epoch, s": [record.seconds, record.cpu_seconds],
}))
"""


def main() -> None:
    """Measure both and print a table a set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, required=True, help="another checkout")
    parser.add_argument("--work", type=Path, help="folder of sets, to measure again; they stay")
    parser.add_argument("--pairs", type=int, default=1_000_000, help="of the synthetic set")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["train", "read"])
    parser.add_argument("--make", action="store_true", help="make the sets and measure nothing")
    options = parser.parse_args()
    roots = {"before": options.before.absolute(), "after": Path(__file__).parents[2]}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(options.work or folder)
        if options.only != "read":
            found = made(Shapes().prepare(work / "shapes"), work / "20000")
            print(f"\n`shapes`, {len(ShardSet.open(found['after'])):,} pairs\n")
            if not options.make:
                compare(TRAIN, found, roots, options.rounds)
        if options.only != "train":
            found = made(synthetic(work / "synthetic", options.pairs), work / "synthetic-copies")
            print(f"\nsynthetic, {options.pairs:,} pairs\n")
            if not options.make:
                compare(READ, found, roots, options.rounds)


def synthetic(folder: Path, count: int) -> Path:
    """Write a set of small JPEGs, a hundred different ones over and over."""
    images, _, captions = Shapes(size=100, image_size=32, test_size=100).arrays("train", 0, 100)
    files = [encode_jpeg(image) for image in images]

    def make(start: int, stop: int) -> Iterator[Sample]:
        for number in range(start, stop):
            kind = number % len(files)
            size = {"width": 32, "height": 32}
            yield Sample(files[kind], "jpg", f"{captions[kind]} {number}", size)

    source = {"format": "benchmark"}
    write_set(folder, count, make, name="benchmark", source=source, workers=0)
    return folder


def made(shards: Path, folder: Path) -> dict[str, Path]:
    """Give each checkout hard links of a set, and what it would have decoded of it."""
    found = {name: folder / name / "shards" for name in ("before", "after")}
    images = DecodedImages.open(ShardSet.open(shards), 32, folder / "after" / "decoded")
    pixels = images.image_size**2 * 3
    for name, place in found.items():
        place.mkdir(parents=True, exist_ok=True)
        for file in (path for path in shards.iterdir() if path.is_file()):
            if not (place / file.name).exists():
                os.link(file, place / file.name)
        if name == "before":  # the same without the checksums behind the pixels
            decoded = folder / name / "decoded"
            decoded.mkdir(exist_ok=True)
            for file in (folder / "after" / "decoded").glob("*.npy"):
                content = file.read_bytes()
                count = json.loads(content[10:128].decode().split("(")[1].split(",")[0])
                (decoded / file.name).write_bytes(content[: 128 + count * pixels])
    return found


def compare(code: str, sets: dict[str, Path], roots: dict[str, Path], rounds: int) -> None:
    """Run both in turns, once more than is counted, and print medians."""
    times: dict[str, dict[str, list[list[float]]]] = defaultdict(lambda: defaultdict(list))
    for number in range(rounds + 1):
        for name, shards in sets.items():
            with tempfile.TemporaryDirectory() as out:
                paths = [str(roots[name] / package) for package in PACKAGES]
                environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
                command = [sys.executable, "-B", "-c", code, shards, shards.parent, Path(out, "o")]
                done = subprocess.run(
                    command, capture_output=True, text=True, check=False, env=environment
                )
            if done.returncode:
                sys.exit(done.stderr[-2000:])
            for part, value in json.loads(done.stdout).items():
                if number:  # the first indexes, and reads the disk
                    times[part][name].append(value)
    print("| | before | after | before, CPU | after, CPU |\n| --- | --- | --- | --- | --- |")
    for part, by_name in times.items():
        cells = [
            f"{statistics.median(value[which] for value in by_name[name]):.2f}"
            for which in (0, 1)
            for name in ("before", "after")
        ]
        print(f"| {part} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
