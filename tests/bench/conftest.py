"""What the tests of several rooms share."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from filelock import FileLock
from processes import HELPERS, finish, start
from shard_pairs import MakePairs
from small_runs import Place

from clipbench.configuration.config import RunConfig
from clipbench.shards.reader import ShardSet
from clipbench.shards.writer import write_set
from clipbench.training.session import train_on

Found = list[dict[str, npt.NDArray[Any]]]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Use one thread for tensors that are too small to share; several only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def clean(tmp_path: Path) -> ShardSet:
    """Return 50 PNG pairs in five shards."""
    return write_set(
        tmp_path / "clean",
        50,
        MakePairs(),
        name="tiny",
        source={"made by": "tests"},
        pairs_per_shard=10,
        workers=0,
    )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return an empty place."""
    return Place(tmp_path)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Return a place whose clean set, poisoned sets and runs several tests share."""
    return Place(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return a list that gets the folder of every training that begins."""
    begun: list[Path] = []

    def noting(shards: Path, config: RunConfig, folder: Path, *rest: Any) -> Any:
        begun.append(folder)
        return train_on(shards, config, folder, *rest)

    monkeypatch.setattr("clipbench.pipeline.execute.train_on", noting)
    monkeypatch.setattr("clipbench.pipeline.train.train_on", noting)
    return begun


@pytest.fixture(scope="session")
def three(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Where three processes that train as one left what each of them found.

    Test processes that run side by side start them once: the others wait for the first.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "three"
    with FileLock(f"{folder}.lock"):
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            finish(start([str(HELPERS / "one_of_several.py"), str(folder)], 3), timeout_s=900)
            (folder / "done").touch()
    return folder


@pytest.fixture(scope="session")
def found(three: Path) -> Callable[[str], Found]:
    """What each process found in a check."""
    return lambda check: [dict(np.load(three / f"{check}.{rank}.npz")) for rank in range(3)]
