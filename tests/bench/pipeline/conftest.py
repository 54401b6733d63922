"""Places for small runs, and a watch over trainings."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent / "helpers"))

from small_runs import Place

from clipbench.config import RunConfig
from clipbench.training.session import train_on


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """Use one thread for tensors that are too small to share; several only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return an empty place."""
    return Place(tmp_path)


@pytest.fixture(scope="package")
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
