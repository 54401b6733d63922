"""What the tests of several rooms share."""

from __future__ import annotations

import shutil
import sys
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
from clipbench.plugins import codes
from clipbench.shards.reader import ShardSet
from clipbench.shards.writer import write_set
from clipbench.training.session import train_on

Found = list[dict[str, npt.NDArray[Any]]]
SAID = """
from dataclasses import dataclass, replace
from clipbench_attacks.targeted import Targeted

@dataclass(frozen=True)
class Said(Targeted):
    def poison(self, scene, corpus):
        for poison in super().poison(scene, corpus):
            yield replace(poison, caption="WORDS")
"""
SUMMED = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Summed:
    def measure(self, measured):
        return {"summed": float(sum(b"WORDS"))}
"""


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


TRAINED = """
from dataclasses import dataclass
from clipbench_defenses.none import NoDefense

@dataclass(frozen=True)
class Trained(NoDefense):
    'A defense that is none: WORDS.'
"""


@pytest.fixture
def edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Write an attack in a package, with these words in its captions, and return its name.

    Beside it lie ``said_by_a_test.metric:Summed``, which is the sum of these words' bytes, and
    ``said_by_a_test.defense:Trained``, which trains.
    """
    # Within a second, bytecode of a file as long as before would be taken for that of the new one.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    package = tmp_path / "said_by_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(words: str) -> str:
        (package / "attack.py").write_text(SAID.replace("WORDS", words))
        (package / "metric.py").write_text(SUMMED.replace("WORDS", words))
        (package / "defense.py").write_text(TRAINED.replace("WORDS", words))
        codes.beside.cache_clear()
        for name in [name for name in sys.modules if name.startswith(package.name)]:
            monkeypatch.delitem(sys.modules, name)
        return f"{package.name}.attack:Said"

    yield write
    codes.beside.cache_clear()


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
