"""Poisoning a set copy-on-write, against rewriting it with webdataset's writer.

Compare the two rows of the group; ``CLIPBENCH_BENCHMARK_PAIRS=1000000`` makes it a million pairs.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest
import webdataset

from clipbench.contracts import Scene
from clipbench.poisoning.overlay import write_poisoned
from clipbench.shards.reader import ShardSet
from clipbench_attacks.targeted import Targeted
from clipbench_datasets.shapes import Shapes

PAIRS = int(os.environ.get("CLIPBENCH_BENCHMARK_PAIRS", "50000"))
PAIRS_PER_SHARD = 10_000


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """The clean set, in CLIPBENCH_BENCHMARK_CACHE if that is given, to be kept."""
    cache = os.environ.get("CLIPBENCH_BENCHMARK_CACHE")
    folder = Path(cache) if cache else tmp_path_factory.mktemp("cache")
    return ShardSet.open(Shapes(size=PAIRS).prepare(folder))


@pytest.mark.benchmark(group=f"poison one of {PAIRS:,} pairs")
def test_copy_on_write(benchmark: Any, clean: ShardSet) -> None:
    """Write the poisoned set with hard links to all shards but one."""
    data = Shapes(size=PAIRS)
    scene = Scene(data.evaluation(), data.targets, count=1, seed=0)
    numbers = itertools.count()

    def poison() -> None:
        out = clean.shards[0].path.parents[2] / f"poisoned-{os.getpid()}-{next(numbers)}"
        write_poisoned(
            clean, Targeted(), scene, out, attack_name="targeted", attack_parameters={}, dataset={}
        )

    benchmark.pedantic(poison, rounds=3)


@pytest.mark.benchmark(group=f"poison one of {PAIRS:,} pairs")
def test_rewrite_with_webdataset(benchmark: Any, clean: ShardSet, tmp_path: Path) -> None:
    """Write every pair again with webdataset's ShardWriter."""

    def rewrite() -> None:
        pattern = str(tmp_path / "%05d.tar")
        with webdataset.ShardWriter(pattern, maxcount=PAIRS_PER_SHARD, verbose=0) as sink:
            for index in range(len(clean)):
                sink.write(
                    {
                        "__key__": clean.key(index),
                        clean.extension(index): clean.image_bytes(index),
                        "txt": clean.caption(index),
                        "json": clean.metadata(index),
                    }
                )

    benchmark.pedantic(rewrite, rounds=1)
