"""How fast captions are augmented: this checkout, another, and one caption after the other.

    git worktree add ../before 12cc204
    python tests/benchmarks/text_views.py --before ../before

Captions have as many words as crawled ones (log-normal, 20 in the mean, up to 256), and a batch of
4,096 gets two views; once a caption of 3,000 words is among them. "One after the other" is what a
data loader does that calls open_clip's tokenizer for each caption; it augments nothing. Seconds are
those of one thread's processor; medians are printed, and what each of several processes takes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

PACKAGES = ("bench", "attacks", "defenses", "datasets")
BATCH = 4096
MEASURE = f"""
import json, sys, time
import numpy as np
import open_clip
from clipbench.loading.text import CaptionTable
try:
    from clipbench.rng import RowStreams
except ImportError:
    from clipbench.rng import generator
    RowStreams = None

BATCH, rounds = {BATCH}, int(sys.argv[1])
rng = np.random.default_rng(0)
words = [f"w{{number}}" for number in range(5000)]
lengths = np.clip(rng.lognormal(2.7, 0.75, BATCH).astype(int), 3, 256)
captions = [" ".join(words[word] for word in rng.integers(5000, size=n)) for n in lengths]
endless = [" ".join(words[word] for word in rng.integers(5000, size=3000)), *captions[1:]]
tokenizer = open_clip.SimpleTokenizer(context_length=77)

def views(table, rows):
    for view in range(2):
        if RowStreams is None:  # each process augmented the whole batch
            table.augmented(np.arange(BATCH), 0.1, generator(0, "views", view))
        else:
            table.augmented(rows, 0.1, RowStreams.named(0, "views", view, keys=rows))

def seconds(work, *given):
    taken = []
    for _ in range(rounds):
        before = time.thread_time()
        work(*given)
        taken.append(time.thread_time() - before)
    return taken

table = CaptionTable(captions, tokenizer, {{}}, 77)
found = {{f"one of {{n}}": seconds(views, table, np.arange(BATCH // n)) for n in (1, 2, 4, 8)}}
table = CaptionTable(endless, tokenizer, {{}}, 77)
found["with 3,000 words"] = seconds(views, table, np.arange(BATCH))
found["one after the other"] = seconds(lambda: [tokenizer(caption) for caption in captions * 2])
print(json.dumps(found))
"""


def measured(checkout: Path, rounds: int) -> dict[str, float]:
    """Return medians of processor seconds for two views of a batch, by what was done."""
    path = os.pathsep.join(str(checkout.resolve() / part) for part in PACKAGES)
    line = [sys.executable, "-c", MEASURE, str(rounds)]
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=True)
    return {what: statistics.median(taken) for what, taken in json.loads(done.stdout).items()}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, help="another checkout, measured once")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    tables = {"this checkout": measured(Path(__file__).parents[2], args.rounds)}
    if args.before:
        tables["before"] = measured(args.before, 1)
    print(f"{'':22}" + "".join(f"{name:>32}" for name in tables))
    for what in tables["this checkout"]:
        cells = [
            f"{t[what] * 1e3:,.0f} ms, {BATCH / t[what]:,.0f} pairs/s" for t in tables.values()
        ]
        print(f"{what:22}" + "".join(f"{cell:>32}" for cell in cells))


if __name__ == "__main__":
    main()
