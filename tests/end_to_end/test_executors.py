"""Shards read and poisoned by jobs of Slurm and by workers of Dask, of which one is killed.

submitit's local cluster stands for Slurm where there is none, see ``slurm/start.sh``; a Dask
cluster of two processes is started where `distributed` is installed.
"""

from __future__ import annotations

import io
import os
import signal
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from clipbench.executors.chosen import opened
from clipbench.executors.slurm import SlurmExecutor
from clipbench.images.encoding import encode_jpeg
from clipbench.shards.reader import ShardSet
from clipbench.system.processes import Elsewhere, spread_over

NUM_SHARDS, PER_SHARD = 6, 500


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return shards that another program wrote."""
    folder, image = tmp_path_factory.mktemp("shards"), encode_jpeg(np.zeros((8, 8, 3), np.uint8))
    for shard in range(NUM_SHARDS):
        with tarfile.open(folder / f"{shard:05d}.tar", "w") as file:
            for number in range(PER_SHARD):
                for end, content in (("jpg", image), ("txt", b"a caption")):
                    info = tarfile.TarInfo(f"{shard:05d}{number:05d}.{end}")
                    info.size = len(content)
                    file.addfile(info, io.BytesIO(content))
    return folder


def read(source: Path, folder: Path, place: Elsewhere | None) -> tuple[bytes, list[str]]:
    """Return the index that is made of shards, and their hashes."""
    folder.mkdir()
    for path in source.glob("*.tar"):
        os.link(path, folder / path.name)
    with spread_over(place):
        shards = ShardSet.open(folder)
        hashes = shards.hashes()
    (index,) = (folder / ".clipbench").glob("index-*.bin")
    return index.read_bytes(), hashes


@contextmanager
def killing(folder: Path, victim: Callable[[], int]) -> Iterator[None]:
    """Kill a process as soon as it has kept the index of a shard."""

    def kill() -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until and not [*folder.glob(".clipbench/*.parts/*.bin")]:
            time.sleep(0.001)
        os.kill(victim(), signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    yield
    thread.join()


def test_jobs_of_submitit_read_shards(source: Path, tmp_path: Path) -> None:
    """The index and the hashes are those of this process, to the byte."""
    alone = read(source, tmp_path / "one", None)
    with SlurmExecutor(tmp_path / "jobs", settings={}, cluster="local") as executor:
        assert read(source, tmp_path / "two", Elsewhere(executor, 2)) == alone


@pytest.mark.slow
def test_workers_of_dask_read_shards_though_one_is_killed(source: Path, tmp_path: Path) -> None:
    """Another takes over what it was at, and finds what it had kept."""
    distributed = pytest.importorskip("distributed")
    alone = read(source, tmp_path / "one", None)
    with (
        distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        executor: Executor = client.get_executor(pure=False)
        victim = next(iter(client.run(os.getpid).values()))
        with killing(tmp_path / "two", lambda: victim):
            assert read(source, tmp_path / "two", Elsewhere(executor, 4)) == alone


@pytest.mark.slow
def test_an_error_ends_a_dask_cluster_s_work(tmp_path: Path) -> None:
    """It is the error that ends the command, and what had not begun is cancelled."""
    distributed = pytest.importorskip("distributed")
    futures: list[Future[None]] = []

    def stopped(address: str) -> None:
        with opened(f"dask:{address}", tmp_path, settings={}) as executor:
            futures.extend(executor.submit(time.sleep, 0.5 + n / 1000) for n in range(40))
            raise KeyboardInterrupt

    with distributed.LocalCluster(1, threads_per_worker=1, dashboard_address=":0") as cluster:
        with pytest.raises(KeyboardInterrupt):
            stopped(cluster.scheduler_address)
        assert sum(future.cancelled() for future in futures) > 30
