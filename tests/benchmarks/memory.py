"""Memory of importing and poisoning large sets, and of opening their index.

    python tests/benchmarks/memory.py --pairs 1000000 --index-pairs 3000000 --folder DIR

Each command runs as a user would start it. Its memory is what it and all its processes hold for
themselves (`Pss_Anon` of the kernel: pages of files are not counted, for the kernel may drop them),
looked at ten times a second, the interpreter included. Linux only.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from photographs import photograph

from clipbench.images.encoding import encode_jpeg, encode_png
from clipbench.shards.shard_writer import Sample
from clipbench.shards.writer import write_set

PHOTOGRAPHS = 1_000  # files that the rows of the CSV name in turns
PAIRS_PER_SHARD = 10_000
CLIPBENCH = [sys.executable, "-m", "clipbench"]
OPEN = """
import sys, time
from clipbench.shards.reader import ShardSet
def anonymous():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss_Anon"))
before, start = anonymous(), time.perf_counter()
shards = ShardSet.open(sys.argv[1])
seconds = time.perf_counter() - start
shards.caption(len(shards) // 2), shards.find(shards.key(len(shards) - 1))
print(f"{len(shards):,} pairs: {seconds:.2f} s, {(anonymous() - before) / 1e3:.0f} MB")
"""


def main() -> None:
    """Print a line for each step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--index-pairs", type=int, default=30_000)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    folder: Path = given.folder
    folder.mkdir(parents=True, exist_ok=True)
    table = write_csv(folder / "loose", given.pairs)
    shards, cache = folder / "shards", ["--cache", str(folder / "cache")]
    data = f"shards:path={shards}"
    steps = {
        "import": ["data", "import", f"csv:path={table}", "--out", str(shards)],
        "poison one pair in a thousand": [
            *["poison", "--data", data, "--eval", "shapes", "--attack", "badnets"],
            *["--rate", "0.1%", "--out", str(folder / "poisoned"), *cache],
        ],
        "verify": ["verify", str(folder / "poisoned")],
    }
    for name, step in steps.items():
        start = time.perf_counter()
        most = peak([*CLIPBENCH, *step])
        seconds = time.perf_counter() - start
        print(f"{name}, {given.pairs:,} pairs: {most / 1e6:.0f} MB; {seconds:.0f} s", flush=True)
    large = folder / "large"
    write_set(
        large, given.index_pairs, smallest, name="large", source={}, pairs_per_shard=PAIRS_PER_SHARD
    )
    print("open the index:", flush=True)
    subprocess.run([sys.executable, "-c", OPEN, str(large)], check=True)


def write_csv(folder: Path, pairs: int) -> Path:
    """Write photographs of 64 pixels and a table that has each of them many times."""
    folder.mkdir(exist_ok=True)
    for number in range(PHOTOGRAPHS):
        (folder / f"{number}.jpg").write_bytes(encode_jpeg(photograph(number, 64, 64), 90, 2))
    table = folder / "pairs.tsv"
    with table.open("w") as out:
        out.write("filepath\ttitle\n")
        for row in range(pairs):
            out.write(f"{row % PHOTOGRAPHS}.jpg\ta photo of a red circle and of view {row}\n")
    return table


def smallest(start: int, stop: int) -> Iterator[Sample]:
    """Make the smallest pairs there are."""
    image = encode_png(np.zeros((1, 1, 3), np.uint8))
    for number in range(start, stop):
        yield Sample(image, "png", f"pair {number}", {})


def peak(command: Sequence[str]) -> int:
    """Run a command; return the most memory that it and its descendants held at once, in bytes."""
    most = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            most = max(most, sum(anonymous(pid) for pid in family(process.pid)))
            time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return most


def family(pid: int) -> Iterable[int]:
    """Return a process and its descendants."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:  # it has ended
            continue
        parents[int(path.parent.name)] = int(text.rpartition(")")[2].split()[1])
    found, wave = {pid}, {pid}
    while wave:
        wave = {child for child, parent in parents.items() if parent in wave} - found
        found |= wave
    return found


def anonymous(pid: int) -> int:
    """Return the anonymous memory of a process in bytes, pages it shares divided by the sharers."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss_Anon"))


if __name__ == "__main__":
    main()
