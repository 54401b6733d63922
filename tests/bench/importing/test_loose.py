"""Imports of single files are kept, and made anew where a picture changed; nobody removes one."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shard_pairs import caption, picture

from clipbench.contracts import no_progress
from clipbench.images.encoding import encode_jpeg
from clipbench.importing import staleness
from clipbench.importing.entries import Entry
from clipbench.importing.loose import LooseTraining
from clipbench.shards.reader import ShardSet

COUNT = 6
BROKEN = 3  # the file that holds no picture
MISSING = 5  # the file that is not there
SHORT = {"pairs_per_shard": 3, "workers": 0, "own": False, "progress": no_progress}


@dataclass(frozen=True)
class Files(LooseTraining):
    """Numbered files, of which one is no picture and one is missing."""

    folder: Path

    def entries(self) -> Iterator[Entry]:
        """Yield them all."""
        for n in range(COUNT):
            yield Entry(f"file {n}", str(self.folder / f"{n}.jpg"), caption(n))

    def identity(self) -> Mapping[str, Any]:
        """Return the count."""
        return {"count": COUNT}


@pytest.fixture
def source(tmp_path: Path) -> Files:
    """Return six files, four of which can be used."""
    folder = tmp_path / "files"
    folder.mkdir()
    for n in range(COUNT - 1):
        (folder / f"{n}.jpg").write_bytes(b"no picture" if n == BROKEN else jpeg(n))
    return Files(folder)


@pytest.fixture
def first(source: Files, tmp_path: Path) -> Path:
    """Return the first import."""
    return source.prepare(tmp_path / "cache")


def jpeg(number: int) -> bytes:
    """Return a picture."""
    return encode_jpeg(picture(number))


def inode(folder: Path) -> int:
    """Return the number of a set's shard, another one if it was written anew."""
    return (folder / "00000.tar").stat().st_ino


@pytest.mark.parametrize("number", [0, BROKEN])
@pytest.mark.parametrize("change", ["chmod", "touch", "copy"])
def test_a_file_that_holds_what_it_held_makes_no_other_set(
    change: str, number: int, source: Files, first: Path, tmp_path: Path
) -> None:
    """Other rights, another time, another place on the disk: no picture came, went or changed."""
    file, before = source.folder / f"{number}.jpg", inode(first)
    if change == "chmod":
        file.chmod(0o600)
    elif change == "touch":
        os.utime(file, (10**9, 10**9))
    else:
        shutil.copy(file, tmp_path / "copy")
        (tmp_path / "copy").replace(file)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert source.prepared(tmp_path / "cache") == source.prepare(tmp_path / "cache") == first
    assert inode(first) == before


def test_what_was_compared_is_not_compared_again(
    source: Files, first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once told to be the same, a file that was touched costs nothing any more."""
    os.utime(source.folder / "0.jpg", (10**9, 10**9))
    assert not staleness.is_stale(source, first, None)

    def compare(*_: object) -> bool:
        raise AssertionError

    monkeypatch.setattr(staleness, "_has_others", compare)
    assert not staleness.is_stale(source, first, None)


@pytest.mark.parametrize("number", [0, BROKEN, MISSING])
def test_a_picture_that_changed_or_came_is_imported_beside_and_told(
    number: int, source: Files, first: Path, tmp_path: Path
) -> None:
    """The set before stays to the byte, for trainings may be reading it."""
    before = {path.name: path.read_bytes() for path in first.iterdir() if path.is_file()}
    (source.folder / f"{number}.jpg").write_bytes(jpeg(50))
    assert source.prepared(tmp_path / "cache") is None
    with pytest.warns(UserWarning, match=f"{first} was imported from have changed.*{first}-2"):
        second = source.prepare(tmp_path / "cache")
    assert second != first
    assert {path.name: path.read_bytes() for path in first.iterdir() if path.is_file()} == before
    keys = [f"{n:09d}" for n in range(COUNT)]
    shards = ShardSet.open(second)
    there = [shards.key(pair) for pair in range(len(shards))]
    assert there == [keys[n] for n in range(COUNT) if n not in {BROKEN, MISSING} - {number}]
    assert shards.image_bytes(shards.find(keys[number])) == jpeg(50)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert source.prepared(tmp_path / "cache") == source.prepare(tmp_path / "cache") == second


def test_a_picture_that_is_gone_is_still_in_the_set(
    source: Files, first: Path, tmp_path: Path
) -> None:
    """The files may be cleared away after the import."""
    shutil.rmtree(source.folder)
    assert source.prepare(tmp_path / "cache") == first


def test_the_tenth_import_comes_after_the_ninth(source: Files, first: Path, tmp_path: Path) -> None:
    """Folders are numbered, not sorted by name."""
    for number in (2, 9, 10):
        shutil.copytree(first, first.with_name(f"{first.name}-{number}"))
    assert source.prepared(tmp_path / "cache") == first.with_name(f"{first.name}-10")


def test_many_files_of_another_time_are_imported_anew(
    source: Files, first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process would compare a million pictures for an hour; several import them."""
    monkeypatch.setattr(staleness, "_MOST_COMPARED", 3)
    for n in range(4):
        os.utime(source.folder / f"{n}.jpg", (10**9, 10**9))
    assert staleness.is_stale(source, first, None)


def test_a_later_shard_is_compared_with_its_own_pictures(
    source: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys number shards and pairs in them."""
    monkeypatch.setattr("clipbench.shards.writer.write_set.__kwdefaults__", SHORT)
    shards = ShardSet.open(source.prepare(tmp_path / "small"))
    assert len(shards.shards) == 2
    os.utime(source.folder / "4.jpg", (10**9, 10**9))
    folder = shards.shards[0].path.parent
    assert not staleness.is_stale(source, folder, None)
    (source.folder / "4.jpg").write_bytes(jpeg(51))
    assert staleness.is_stale(source, folder, None)
    assert np.array_equal(shards.image(shards.find("000010001")), ShardSet.open(folder).image(3))
