"""Hashes of files: read once a state, and of a folder what it holds and not where it lies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clipbench.errors import MissingData
from clipbench.files.contents import FileHashes, tree
from clipbench.files.json_files import sha256_file


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return a list that gets every file that is read."""
    found: list[Path] = []

    def noting(path: Path) -> str:
        found.append(path)
        return sha256_file(path)

    monkeypatch.setattr("clipbench.files.contents.sha256_file", noting)
    return found


def filled(folder: Path) -> Path:
    """Return a folder with files of long ago in it."""
    for name in ("a/1.jpg", "a/2.jpg", "b/1.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
        os.utime(folder / name, (1_600_000_000, 1_600_000_000))
    return folder


def test_a_file_is_read_once_for_each_of_its_states(tmp_path: Path, read: list[Path]) -> None:
    """Remembered over calls, and read again when its size or its time is another."""
    file = filled(tmp_path / "x") / "a" / "1.jpg"
    first = FileHashes(tmp_path / "cache").of_file(file)
    assert FileHashes(tmp_path / "cache").of_file(file) == first == sha256_file(file)
    assert read == [file]
    file.write_text("other")
    os.utime(file, (1_600_000_001, 1_600_000_001))
    assert FileHashes(tmp_path / "cache").of_file(file) != first
    assert read == [file, file]


def test_a_file_that_was_just_written_is_not_trusted(tmp_path: Path, read: list[Path]) -> None:
    """A clock may be too coarse to tell the next change from this one."""
    file = tmp_path / "new"
    file.write_text("one")
    for _ in range(2):
        FileHashes(tmp_path / "cache").of_file(file)
    assert len(read) == 2


def test_a_folder_is_known_by_names_and_contents(tmp_path: Path) -> None:
    """Wherever it lies; hidden files do not count, a renamed file does, a link is followed."""

    def content(folder: Path) -> str:
        return FileHashes(tmp_path / "cache").of_files(tree(folder), folder)

    first = content(filled(tmp_path / "one"))
    two = filled(tmp_path / "two")
    (two / ".DS_Store").write_text("x")
    (tmp_path / "linked").symlink_to(two)
    (two / "a" / "loop").symlink_to(two)
    assert first == content(two) == content(tmp_path / "linked")
    (two / "b" / "1.jpg").rename(two / "b" / "3.jpg")
    assert content(two) != first


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    """In one sentence."""
    with pytest.raises(MissingData, match=r"gone can't be read: No such file"):
        FileHashes(tmp_path).of_file(tmp_path / "gone")


def test_hashes_that_nobody_sealed_are_computed_again(tmp_path: Path, read: list[Path]) -> None:
    """A stranger may lay them into a cache, and a byte of them may change."""
    file, cache = filled(tmp_path / "x") / "a" / "1.jpg", tmp_path / "cache"
    found = FileHashes(cache).of_file(file)
    (memory,) = (cache / "hashes").iterdir()
    memory.write_text(memory.read_text().replace(found, "0" * 64))
    assert FileHashes(cache).of_file(file) == found
    assert read == [file, file]


def test_what_is_about_to_be_used_is_read_whatever_is_remembered(tmp_path: Path) -> None:
    """A bit that rots changes neither size nor time; what is found is then remembered."""
    file, cache = filled(tmp_path / "x") / "a" / "1.jpg", tmp_path / "cache"
    before = FileHashes(cache).of_file(file)
    status = file.stat()
    file.write_text("a/1.jpq")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert FileHashes(cache).of_file(file) == before
    now = FileHashes(cache, fresh=True).of_file(file)
    assert now == sha256_file(file) != before
    assert FileHashes(cache).of_file(file) == now
