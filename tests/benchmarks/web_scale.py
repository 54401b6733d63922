"""What a pair costs in each stage before and around training, and what sets of any size do.

    python tests/benchmarks/web_scale.py --folder scale

draws shards, takes each stage through them in one process, and says what 3 M, 12 M, 400 M and 2 B
pairs take; docs/scale.md has what it printed. ``--compare 2`` indexes them by one process and by
two; ``--outliers 1000000`` scores so many features in two processes and says what each held.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import open_clip
import torch

from clipbench.checkpoints.trace import write_trace
from clipbench.contracts import Poison
from clipbench.files.json_files import sha256_file
from clipbench.images.encoding import encode_jpeg
from clipbench.importing.screen import screen
from clipbench.loading.order import EpochOrder
from clipbench.loading.word_files import Reading, stored_words
from clipbench.poisoning.assembly import Assembly
from clipbench.poisoning.spool import Spool
from clipbench.shards.hashes import shard_hashes
from clipbench.shards.reader import ShardSet
from clipbench.system import processes as pool
from clipbench.training.scoring import FeatureFile
from clipbench_defenses.dao import DAO

SIZES = {"3 M": 3e6, "12 M": 12e6, "400 M": 4e8, "2 B": 2e9}
PER_SHARD = 10_000  # pairs of a shard, as img2dataset writes them
WORDS = 50_000  # that captions are drawn from, most of them rare
FEATURE = 1024  # numbers of an image's feature and of a caption's


def write_shards(folder: Path, shards: int, pairs: int, image: int) -> Path:
    """Write shards of JPEG pictures and captions as img2dataset does; return their folder."""
    import io  # noqa: PLC0415
    import tarfile  # noqa: PLC0415

    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(64):
        coarse = rng.integers(0, 256, (image // 8, image // 8, 3)).astype(np.uint8)
        pixels = coarse.repeat(8, axis=0).repeat(8, axis=1).astype(np.int64)
        noise = rng.integers(-3, 4, pixels.shape)
        pictures.append(encode_jpeg((pixels + noise).clip(0, 255).astype(np.uint8)))
    folder.mkdir(parents=True)
    for shard in range(shards):
        with tarfile.open(folder / f"{shard:05d}.tar", "w") as file:
            for number in range(pairs):
                key = f"{shard:05d}{number:05d}"
                length = max(3, int(rng.lognormal(2.3, 0.6)))
                words = (rng.zipf(1.3, length) % WORDS).tolist()
                text = " ".join(f"w{word}" for word in words)
                fields = json.dumps({"key": key, "caption": text, "width": image}).encode()
                picture = pictures[(shard + number) % len(pictures)]
                for end, content in (("jpg", picture), ("json", fields), ("txt", text.encode())):
                    info = tarfile.TarInfo(f"{key}.{end}")
                    info.size = len(content)
                    file.addfile(info, io.BytesIO(content))
    return folder


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return how many seconds of a processor work took, and what it returned."""
    began = time.process_time()
    found = work()
    return time.process_time() - began, found


def measured(source: Path, scratch: Path) -> dict[str, float]:
    """Return what a pair, or a byte, costs in each stage, in this process alone."""
    pool.WORTH = 1 << 62  # no other processes
    index_s, shards = timed(lambda: ShardSet.open(source))
    size = sum(shard.size for shard in shards.shards)
    pairs = len(shards)
    paths = [shard.path for shard in shards.shards]
    found = {"pairs": pairs, "shards": len(paths), "bytes a pair": size / pairs}
    (file,) = (source / ".clipbench").glob("index-*.bin")
    found |= {"index s": index_s / pairs, "index B": file.stat().st_size / pairs}
    hash_s, _ = timed(lambda: [sha256_file(path) for path in paths])
    shard_hashes(paths, [source / ".clipbench"], lambda *_: None)
    found["hash s"] = hash_s / pairs
    screen_s, _ = timed(lambda: screen(shards, scratch / "screened", workers=0))
    found["screen s"] = screen_s / pairs
    tokenizer = open_clip.SimpleTokenizer(context_length=77)
    words_s, table = timed(
        lambda: stored_words(shards, Reading(tokenizer, {}, 77), scratch / "captions")
    )
    disk = sum(path.stat().st_size for path in (scratch / "captions").rglob("*.npy"))
    found |= {"captions s": words_s / pairs, "captions B": disk / pairs}
    found["distinct words"] = float(len(table.token_counts))
    poison_s, rewritten = timed(lambda: poison(shards, scratch / "poisoned"))
    found |= {"poison s a shard byte": poison_s / rewritten, "poison B": float(rewritten)}
    order = EpochOrder(pairs * 10, pairs * 10, 0, 0)
    order_s, _ = timed(order.pairs)
    trace_s, _ = timed(
        lambda: write_trace(scratch / "t" / "0.npz", order, (), torch.rand(order.num_pairs))
    )
    found |= {"order s": order_s / order.num_pairs, "trace s": trace_s / order.num_pairs}
    found["trace B"] = (scratch / "t" / "0.npz").stat().st_size / order.num_pairs
    outlier_s, _ = timed(lambda: outliers(20_480, FEATURE, scratch, 0, 1))
    found |= {"outliers s": outlier_s / 20_480, "outliers B": 4.0 * FEATURE}
    return found


def poison(shards: ShardSet, folder: Path) -> int:
    """Rewrite some shards, with a poison each; return their bytes."""
    wanted = list(shards.shards[:: max(1, len(shards.shards) // 20)])
    (folder / "shards").mkdir(parents=True)
    with Spool(folder) as spool:
        kept = [
            spool.put(
                Poison(image=np.zeros((64, 64, 3), np.uint8), caption="a poison", base=shard.first)
            )
            for shard in wanted
        ]
        attack: Any = SimpleNamespace(mode="replace")
        assembly = Assembly(shards, attack, kept, 0)
        assembly.write_shards(folder / "shards", spool, lambda *_: None)
    return sum(shard.size for shard in wanted)


def outliers(pairs: int, width: int, folder: Path, rank: int, count: int) -> float:
    """Score this process's blocks of random features that many as a training does."""
    torch.set_num_threads(1)
    method = DAO()
    blocks = method.blocks(pairs, 0)[rank::count]
    with closing(FeatureFile(folder, blocks, pairs, width, torch.float16)) as file:
        generator = torch.Generator().manual_seed(0)
        for first in range(0, pairs, 512):
            file.put(first, torch.randn(min(512, pairs - first), 2 * width, generator=generator))
        total, at = 0.0, 0
        for members in blocks:
            total += float(method.score_block(*file.get(at, len(members)), 0).sum())
            at += len(members)
    return total


def _outliers(pairs: int, folder: Path, rank: int) -> None:
    began = time.monotonic()
    outliers(pairs, 512, folder, rank, 2)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    seconds = time.monotonic() - began
    print(f"process {rank} of 2: {seconds:.0f} s, at most {peak:.2f} GB resident", flush=True)


def estimates(cost: dict[str, float]) -> Iterator[list[str]]:
    """Yield the rows of a table: what each stage costs for each size, in core-hours and bytes."""
    per_byte = cost["poison s a shard byte"] * cost["bytes a pair"]
    rewritten = 1 - np.exp(-1e-4 * PER_SHARD)  # of all shards, at a rate of 1e-4
    stages: dict[str, tuple[float, float]] = {
        "shards themselves": (0, cost["bytes a pair"]),
        "index": (cost["index s"], cost["index B"]),
        "hashes": (cost["hash s"], 0),
        "screening": (cost["screen s"], 0),
        "caption table": (cost["captions s"], cost["captions B"]),
        "poisoning at 1e-4": (rewritten * per_byte, rewritten * cost["bytes a pair"]),
        "order and trace, 32 epochs": (
            32 * (cost["order s"] + cost["trace s"]),
            32 * cost["trace B"],
        ),
        "outlier filter": (cost["outliers s"], cost["outliers B"]),
    }
    yield ["stage", *(f"{name}: core-hours" for name in SIZES), *(f"{n}: disk" for n in SIZES)]
    for stage, (seconds, space) in stages.items():
        hours = [f"{seconds * n / 3600:,.2g}" if seconds else "-" for n in SIZES.values()]
        disks = [human(space * n) if space else "-" for n in SIZES.values()]
        yield [stage, *hours, *disks]


def human(size: float) -> str:
    """Return bytes in words."""
    for unit in ("MB", "GB", "TB"):
        size /= 1000 if unit != "MB" else 1e6
        if size < 1000 or unit == "TB":
            return f"{size:,.3g} {unit}"
    raise AssertionError


OPEN = """
import sys, time
from clipbench.system import threads
from clipbench.system import processes as pool
from clipbench.shards.reader import ShardSet
count = int(sys.argv[2])
threads.processors = lambda: count
pool.WORTH = 0 if count > 1 else 1 << 62
began = time.monotonic()
pairs = len(ShardSet.open(sys.argv[1]))
print(pairs, time.monotonic() - began)
"""


def compare(source: Path, counts: list[int]) -> None:
    """Index the shards by so many processes each, in turns, after a first reading of them all."""
    taken: dict[int, list[float]] = {count: [] for count in counts}
    for count in [1, *counts, *counts]:
        shutil.rmtree(source / ".clipbench", ignore_errors=True)
        line = [sys.executable, "-c", OPEN, str(source), str(count)]
        found = subprocess.run(line, capture_output=True, text=True, check=True)
        pairs, seconds = found.stdout.split()
        taken[count].append(float(seconds))
        print(f"index of {int(pairs):,} pairs by {count}: {float(seconds):.2f} s", flush=True)
    best = [min(taken[count][-2:]) for count in counts]
    print(f"{best[0] / best[-1]:.2f} times as fast by {counts[-1]}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True, help="for shards; made once")
    parser.add_argument("--shards", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=200, help="of a shard")
    parser.add_argument("--image", type=int, default=256, help="side of the pictures, in pixels")
    parser.add_argument("--compare", type=int, help="processes that index, against one")
    parser.add_argument("--outliers", type=int, help="features that two processes score")
    given = parser.parse_args()
    if given.outliers:
        context = multiprocessing.get_context("spawn")
        others = [
            context.Process(target=_outliers, args=(given.outliers, given.folder, rank))
            for rank in range(2)
        ]
        for other in others:
            other.start()
        for other in others:
            other.join()
        sys.exit(max(other.exitcode or 0 for other in others))
    source = given.folder / f"{given.shards}-{given.pairs}-{given.image}"
    if not source.is_dir():
        write_shards(source, given.shards, given.pairs, given.image)
    if given.compare:
        compare(source, [1, given.compare])
        return
    shutil.rmtree(source / ".clipbench", ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=given.folder) as scratch:
        cost = measured(source, Path(scratch))
    print(json.dumps(cost, indent=1))
    for number, row in enumerate(estimates(cost)):
        print(f"| {' | '.join(row)} |")
        if not number:
            print(f"|{' --- |' * len(row)}")


if __name__ == "__main__":
    main()
