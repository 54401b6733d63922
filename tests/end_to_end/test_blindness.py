"""Training sees pairs and nothing else: no ledger, and nothing that comes from one."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import SAFECLIP, Place, hash_of, numbers

from clipbench.models.weights import WEIGHTS_FILE
from clipbench.pipeline import execute

Grid = tuple[Place, list[dict[str, Any]]]
ResultOf = Callable[[str, str], dict[str, Any]]
RUN = ("--attack", "targeted:targets=2", "--poisons", "8", "--defense", SAFECLIP, "--epochs", "3")
TOUCHING = frozenset(
    {"open", "os.listdir", "os.scandir", "os.rename", "os.link", "shutil.copyfile"}
)


class Touched:
    """Paths that Python was asked for while watching; there can be one for a whole process."""

    def __init__(self) -> None:
        self._paths: list[str] | None = None
        sys.addaudithook(self._look)  # stays for good, and is idle when nobody watches

    def _look(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._paths is not None and event in TOUCHING:
            names = [name for name in arguments[:2] if isinstance(name, (str, bytes, Path))]
            self._paths += map(os.fsdecode, names)

    @contextmanager
    def watched(self) -> Iterator[list[str]]:
        """Collect paths in the list that is yielded."""
        self._paths = []
        try:
            yield self._paths
        finally:
            self._paths = None


@pytest.fixture(scope="session")
def touched() -> Touched:
    """Return the watch over this process."""
    return Touched()


def test_training_opens_no_ledger(
    place: Place,
    result_of: ResultOf,
    touched: Touched,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the ledger gone while it trains, a run trains as ever, and never asks for a ledger."""
    away = tmp_path_factory.mktemp("away") / "hidden"
    real, seen = execute.train_on, list[str]()

    def train_without_ledger(*args: Any) -> Any:
        ledger = place.only("cache/poisoned/*/ledger")
        shutil.move(ledger, away)
        with touched.watched() as paths:
            record = real(*args)
        seen.extend(paths)
        shutil.move(away, ledger)
        return record

    monkeypatch.setattr(execute, "train_on", train_without_ledger)
    (result,) = place.run(*RUN)
    assert numbers(result) == numbers(result_of("targeted", "safeclip"))
    poisoned = place.only("cache/poisoned/*")
    inside = [path.removeprefix(str(place.folder)) for path in seen]
    assert [path for path in seen if str(poisoned / "shards") in path]  # the watch does see
    assert [path for path in inside if "ledger" in path or str(away) in path] == []


def test_training_on_a_bare_copy_of_the_shards_gives_the_same_weights(
    grid: Grid, result_of: ResultOf, tmp_path: Path
) -> None:
    """Weights come from the shards alone: a copy elsewhere, with no ledger, gives the same bits."""
    reference = result_of("targeted", "safeclip")
    wanted = reference["attack"]["ledger_sha256"]  # there may be other poison in this cache
    books = grid[0].cache.glob("poisoned/*/ledger/ledger.json")
    book = next(file for file in books if hash_of(file) == wanted)
    shutil.copytree(book.parents[1] / "shards", tmp_path / "copy")
    bare = Place(tmp_path / "bare")
    done = bare.do("train", "--shards", tmp_path / "copy", *RUN[4:])
    assert done.status == 0, done.err
    trained = Path(done.out.strip())
    expected = grid[0].run_folder(reference) / "model" / WEIGHTS_FILE
    assert hash_of(trained) == hash_of(expected)
    assert not [*tmp_path.rglob("*ledger*")]
