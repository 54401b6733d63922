"""Shards indexed, hashed, screened and poisoned by several processes or an executor, resumably.

A pool of threads stands for machines of a cluster: it is an executor like theirs.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from shard_pairs import Stain, caption, picture, scene, write_members

from clipbench.errors import CorruptData, LostProcess
from clipbench.files import contents
from clipbench.images.encoding import encode_jpeg
from clipbench.importing import screen
from clipbench.poisoning import splice
from clipbench.poisoning.overlay import write_poisoned
from clipbench.shards import scan
from clipbench.shards.reader import ShardSet
from clipbench.system import processes as pool
from clipbench.system.processes import Elsewhere, spread_over

NUM_SHARDS = 6
PER_SHARD = 4


class Stop(BaseException):
    """Stands for a signal: nothing that is done with errors is done with it."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return shards that another program wrote long ago."""
    for shard in range(NUM_SHARDS):
        members = []
        for number in range(PER_SHARD * shard, PER_SHARD * (shard + 1)):
            key = f"{number:0{6 + shard}d}"  # of other widths, and so in no order
            members.append((f"{key}.jpg", encode_jpeg(picture(number))))
            members.append((f"{key}.txt", caption(number).encode()))
        if shard == 3:
            members.append(("alone.txt", b"without an image"))
        path = write_members(tmp_path / "set" / f"{shard:05d}.tar", members)
        os.utime(path, (1_600_000_000, 1_600_000_000))
    return tmp_path / "set"


@pytest.fixture
def threads() -> Iterator[Executor]:
    """Return an executor."""
    with ThreadPoolExecutor(2) as executor:
        yield executor


def opened(source: Path) -> ShardSet:
    return ShardSet.open(source, on_incomplete="skip")


def indexes(source: Path) -> dict[str, bytes]:
    """Return the index files beside shards; nothing else may lie there."""
    return {path.name: path.read_bytes() for path in (source / ".clipbench").iterdir()}


def stop_at(number: int, monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[Path]:
    """Stop at the n-th call of a function of a path; return the paths it is called with."""
    calls: list[Path] = []
    work: Callable[..., Any] = getattr(module, name)

    def stopping(path: Path, *arguments: Any) -> Any:
        calls.append(path)
        if len(calls) == number:
            raise Stop
        return work(path, *arguments)

    monkeypatch.setattr(module, name, stopping)
    return calls


def test_an_index_by_processes_or_an_executor_is_one_process_s_to_the_byte(
    source: Path, threads: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what is incomplete, and that keys are in no order."""
    alone = opened(source)
    wanted = indexes(source)
    shutil.rmtree(source / ".clipbench")
    with spread_over(Elsewhere(threads, 3)):
        assert opened(source).incomplete == alone.incomplete
    assert indexes(source) == wanted
    shutil.rmtree(source / ".clipbench")
    monkeypatch.setattr(pool, "WORTH", 0)
    monkeypatch.setattr("clipbench.system.threads.processors", lambda: 2)
    assert opened(source).captions() == alone.captions()
    assert indexes(source) == wanted


def test_an_index_goes_on_where_it_was_stopped(
    source: Path, threads: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shards that were walked are not walked again, unless they changed meanwhile."""
    calls = stop_at(4, monkeypatch, scan, "rows_of")
    with spread_over(Elsewhere(threads, 1)):
        with pytest.raises(Stop):
            opened(source)
        changed = sorted(source.glob("*.tar"))[1]
        os.utime(changed, (1_700_000_000, 1_700_000_000))
        calls.clear()
        monkeypatch.undo()
        calls = stop_at(100, monkeypatch, scan, "rows_of")
        assert len(opened(source)) == NUM_SHARDS * PER_SHARD
    assert [path.stem for path in calls] == ["00001", "00003", "00004", "00005"]
    assert len(indexes(source)) == 1, "what was kept of single shards is gone"


def test_a_key_that_comes_again_in_another_shard_is_found_by_an_executor(
    source: Path, threads: Executor
) -> None:
    """With the names of both shards."""
    shutil.copy(source / "00000.tar", source / "00009.tar")
    said = r"Key 000000 is in shard \S+00000.tar and again in \S+00009.tar"
    with spread_over(Elsewhere(threads, 2)), pytest.raises(CorruptData, match=said):
        opened(source)


@pytest.mark.parametrize("elsewhere", [True, False])
def test_hashes_go_on_where_they_were_stopped(
    source: Path, threads: Executor, monkeypatch: pytest.MonkeyPatch, *, elsewhere: bool
) -> None:
    """Each shard's is kept as soon as it is there."""
    shards = opened(source)
    place = Elsewhere(threads, 1) if elsewhere else None
    monkeypatch.setattr(contents, "_KEEP_EVERY_S", 0.0)
    stop_at(4, monkeypatch, contents, "sha256_file")
    with spread_over(place), pytest.raises(Stop):
        shards.hashes()
    monkeypatch.undo()
    calls = stop_at(100, monkeypatch, contents, "sha256_file")
    with spread_over(place):
        found = shards.hashes()
    assert [path.stem for path in calls] == ["00003", "00004", "00005"]
    calls.clear()
    assert opened(source).hashes() == found
    assert not calls
    assert not [*(source / ".clipbench").glob("*.parts")]


def test_screening_by_an_executor_keeps_each_shard(
    source: Path, threads: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that is stopped leaves the shards that it looked at."""
    shards = opened(source)
    work = screen.problem_of
    seen: list[int] = []

    def stopping(pairs: ShardSet, pair: int) -> tuple[str, str] | None:
        seen.append(pair)
        if pair == 2 * PER_SHARD:
            raise Stop
        return work(pairs, pair)

    monkeypatch.setattr(screen, "problem_of", stopping)
    with spread_over(Elsewhere(threads, 1)), pytest.raises(Stop):
        screen.screen(shards, tmp_path / "screened")
    monkeypatch.setattr(screen, "problem_of", lambda *pair: seen.append(pair[1]) or work(*pair))
    seen.clear()
    with spread_over(Elsewhere(threads, 1)):
        assert screen.screen(shards, tmp_path / "screened") == []
    assert seen == [*range(2 * PER_SHARD, NUM_SHARDS * PER_SHARD)]


class Unreliable(ThreadPoolExecutor):
    """An executor that loses its first tasks: some of the work is done, and nothing comes back."""

    def __init__(self, losses: int) -> None:
        super().__init__(1)
        self.losses = losses

    def submit(self, work: Any, /, *arguments: Any, **keywords: Any) -> Future[Any]:
        """Do half of the numbers and lose the result."""
        if not self.losses:
            return super().submit(work, *arguments, **keywords)
        self.losses -= 1
        given, numbers = arguments
        super().submit(work, given, numbers[: len(numbers) // 2]).result()
        future: Future[Any] = Future()
        future.set_exception(RuntimeError("the node is gone"))
        return future


def test_a_lost_task_begins_again_and_does_not_repeat_what_was_kept(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every shard is walked once, though the first task went with its machine."""
    calls = stop_at(100, monkeypatch, scan, "rows_of")
    with Unreliable(1) as executor, spread_over(Elsewhere(executor, 2)):
        assert len(opened(source)) == NUM_SHARDS * PER_SHARD
    assert sorted(path.stem for path in calls) == [f"{shard:05d}" for shard in range(NUM_SHARDS)]


def test_a_task_that_is_lost_again_and_again_is_told_of(source: Path) -> None:
    """With what the executor says, and with what is left to do."""
    said = "lost 3 times .RuntimeError: the node is gone.; run the same command again"
    with Unreliable(100) as executor, spread_over(Elsewhere(executor, 1)):  # noqa: SIM117
        with pytest.raises(LostProcess, match=said):
            opened(source)


def test_an_error_in_a_task_is_that_of_the_work(source: Path, threads: Executor) -> None:
    """It is no loss of the task, which is not tried again."""
    path = source / "00002.tar"
    path.write_bytes(path.read_bytes()[:700])
    with spread_over(Elsewhere(threads, 3)), pytest.raises(CorruptData, match=r"00002\.tar"):
        opened(source)


def poisoned(shards: ShardSet, out: Path, mode: Any, count: int = 5) -> dict[str, bytes]:
    """Poison a set; return all files but those that hold times."""
    settings: dict[str, Any] = {"attack_name": "stain", "attack_parameters": {}, "dataset": {}}
    write_poisoned(shards, Stain(mode=mode), scene(count), out, **settings)
    assert sorted(path.name for path in out.iterdir()) == ["ledger", "shards"]
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and ".clipbench" not in path.parts
    }


@pytest.mark.parametrize("mode", ["replace", "insert"])
def test_a_set_poisoned_by_an_executor_is_one_process_s_to_the_byte(
    clean: ShardSet, threads: Executor, tmp_path: Path, mode: str
) -> None:
    """Shards, manifest and ledger."""
    wanted = poisoned(clean, tmp_path / "alone", mode)
    with spread_over(Elsewhere(threads, 3)):
        assert poisoned(clean, tmp_path / "spread", mode) == wanted


def test_poisoning_goes_on_where_it_was_stopped(
    source: Path, threads: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shards that were written are kept as long as they are what was written, for these poisons."""
    (source / "00003.tar").unlink()
    shards = opened(source)
    wanted = poisoned(shards, tmp_path / "alone", "replace", 17)
    out = tmp_path / "out"
    calls = stop_at(4, monkeypatch, splice, "rewrite")
    with spread_over(Elsewhere(threads, 1)):
        with pytest.raises(Stop):
            poisoned(shards, out, "replace", 17)
        touched = tmp_path / "out.partial" / "shards" / calls[1].name
        touched.write_bytes(touched.read_bytes()[:-1] + b"x")
        monkeypatch.undo()
        calls = stop_at(100, monkeypatch, splice, "rewrite")
        assert poisoned(shards, out, "replace", 17) == wanted
    assert [path.stem for path in calls] == ["00001", "00004", "00005"]


def test_what_was_written_for_other_poisons_is_written_again(
    source: Path, threads: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it lies where theirs would."""
    (source / "00003.tar").unlink()
    shards = opened(source)
    wanted = poisoned(shards, tmp_path / "alone", "replace", 17)
    stop_at(4, monkeypatch, splice, "rewrite")
    with spread_over(Elsewhere(threads, 1)):
        with pytest.raises(Stop):
            poisoned(shards, tmp_path / "out", "replace", 18)
        monkeypatch.undo()
        assert poisoned(shards, tmp_path / "out", "replace", 17) == wanted


def test_what_was_written_with_captions_elsewhere_is_written_again(
    threads: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same shards, poisoned in their JSON, are others than poisoned in their texts."""
    for shard in range(3):
        members = []
        for number in range(PER_SHARD * shard, PER_SHARD * (shard + 1)):
            members.append((f"{number:09d}.jpg", encode_jpeg(picture(number))))
            members.append((f"{number:09d}.txt", caption(number).encode()))
            told = json.dumps({"long": f"a longer caption {number}"})
            members.append((f"{number:09d}.json", told.encode()))
        write_members(tmp_path / "set" / f"{shard:05d}.tar", members)
    texts = ShardSet.open(tmp_path / "set")
    fields = ShardSet.open(tmp_path / "set", caption_field="long")
    wanted = poisoned(fields, tmp_path / "alone", "replace", 9)
    stop_at(3, monkeypatch, splice, "rewrite")
    with spread_over(Elsewhere(threads, 1)):
        with pytest.raises(Stop):
            poisoned(texts, tmp_path / "out", "replace", 9)
        monkeypatch.undo()
        assert poisoned(fields, tmp_path / "out", "replace", 9) == wanted
