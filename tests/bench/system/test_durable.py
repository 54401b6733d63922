"""Files are whole or not there, also after a power cut; what killed processes leave goes."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from clipbench.errors import ClipbenchError, MissingData
from clipbench.system import durable, owners
from clipbench.system.durable import (
    atomic_file,
    clear_leftovers,
    make_folder,
    make_once,
    publish,
    scratch_folder,
    unfinished,
)
from clipbench.system.owners import Owner, this_process


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the order in which paths are brought to the disk, get their name, or go."""
    seen: list[str] = []
    sync, rename, replace_, unlink = os.fsync, Path.rename, Path.replace, Path.unlink

    def fsync(handle: int) -> None:
        seen.append(f"sync {Path(f'/proc/self/fd/{handle}').readlink().name}")
        sync(handle)

    def named(path: Path, target: Path) -> Path:
        seen.append(f"name {target.name}")
        return rename(path, target)

    def replaced(path: Path, target: Path) -> Path:
        seen.append(f"name {target.name}")
        return replace_(path, target)

    def unlinked(path: Path, missing_ok: bool = False) -> None:
        seen.append(f"drop {path.name}")
        unlink(path, missing_ok)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", named)
    monkeypatch.setattr(Path, "replace", replaced)
    monkeypatch.setattr(Path, "unlink", unlinked)
    return seen


@pytest.fixture(scope="module")
def gone() -> Owner:
    """Return a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return replace(this_process(), pid=process.pid, born=1)


def left(folder: Path, owner: Owner, name: str = "x") -> Path:
    """Leave an unfinished file as a process would that was killed."""
    path = folder / f".{name}.{owner}-0.tmp"
    path.write_bytes(b"part")
    return path


def test_a_file_gets_its_name_between_its_bytes_and_its_folder(
    tmp_path: Path, synced: list[str]
) -> None:
    """First its bytes are on the disk, then it replaces what was there, then its folder is."""
    (tmp_path / "a").write_bytes(b"old")
    with atomic_file(tmp_path / "a") as file:
        file.write(b"new")
        assert (tmp_path / "a").read_bytes() == b"old"
    assert synced[0].startswith("sync .a.")
    assert synced[1:] == ["name a", f"sync {tmp_path.name}"]


def test_a_folder_gets_its_name_when_everything_in_it_is_on_the_disk(
    tmp_path: Path, synced: list[str]
) -> None:
    """Files and folders within it, then its name, then the folder above."""
    (tmp_path / "fresh" / "in").mkdir(parents=True)
    for name in ("fresh/one", "fresh/in/two"):
        (tmp_path / name).write_bytes(b"x")
    publish(tmp_path / "fresh", tmp_path / "final")
    assert set(synced[:-2]) == {"sync one", "sync two", "sync fresh", "sync in"}
    assert synced[-2:] == ["name final", f"sync {tmp_path.name}"]


def test_new_folders_are_on_the_disk(tmp_path: Path, synced: list[str]) -> None:
    """Each that is made is brought there with the one above it."""
    make_folder(tmp_path / "a" / "b")
    assert set(synced) == {f"sync {tmp_path.name}", "sync a"}
    make_folder(tmp_path / "a" / "b")
    assert len(synced) == 2


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A name that is too long is one line, not a traceback of looking for it."""
    with pytest.raises(MissingData, match="can't be written: File name too long"):
        make_folder(tmp_path / ("x" * 300) / "y")


def test_a_disk_that_does_not_take_the_bytes_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of fsync is one of the file, in a line that says what to do."""
    (tmp_path / "a").write_bytes(b"old")

    def fails(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fails)
    with (
        pytest.raises(ClipbenchError, match=r"a could not be brought to the disk \(Input/output"),
        atomic_file(tmp_path / "a") as file,
    ):
        file.write(b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_file_system_that_cannot_sync_is_written_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some answer EINVAL, and have nothing to bring anywhere."""

    def fails(_: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", fails)
    with atomic_file(tmp_path / "a") as file:
        file.write(b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_a_file_of_any_name_is_written_where_the_locale_has_no_utf_8(
    locale: str, tmp_path: Path
) -> None:
    """Its temporary name was read as UTF-8, and could not be written as ASCII."""
    code = (
        "import os, sys; from pathlib import Path\n"
        "from clipbench.system.durable import atomic_file\n"
        "assert sys.getfilesystemencoding() == 'ascii'\n"
        "with atomic_file(Path(os.fsdecode(sys.argv[1]))) as file: file.write(b'whole')"
    )
    path = tmp_path / ("日本 ü " * 20 + ".html")
    without = {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", code, path], check=True, env={**os.environ, **without})
    assert path.read_bytes() == b"whole"
    assert [*tmp_path.iterdir()] == [path]


def test_names_as_long_as_the_system_takes_are_written(tmp_path: Path) -> None:
    """An unfinished file's name is no longer than names may be."""
    path = tmp_path / ("ä" * 127)
    with atomic_file(path) as file:
        file.write(b"x")
    assert path.read_bytes() == b"x"


def test_what_dead_processes_left_goes_and_what_is_in_use_stays(
    tmp_path: Path, gone: Owner
) -> None:
    """A file, a folder; not those of this process, nor files of other programs."""
    dead = [left(tmp_path, gone), left(tmp_path, gone, "y")]
    folder = tmp_path / f".stage.{gone}-3.tmp"
    (folder / "in").mkdir(parents=True)
    mine = unfinished(tmp_path / "z")
    mine.write_bytes(b"part")
    foreign = tmp_path / ".other.tmp"
    foreign.write_bytes(b"of another program")
    clear_leftovers(tmp_path)
    assert not any(path.exists() for path in [*dead, folder])
    assert {*tmp_path.iterdir()} == {mine, foreign}


def test_a_number_that_another_process_has_now_does_not_protect(tmp_path: Path) -> None:
    """Numbers of processes come again; when one was started tells them apart."""
    path = left(tmp_path, replace(this_process(), born=1))
    clear_leftovers(tmp_path)
    assert not path.exists()


def test_a_moment_without_files_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else this process would not know those that it started for the rest of its life."""
    owners._read_boot.cache_clear()
    before = this_process()
    owners._read_boot.cache_clear()

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files", str(self))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", refuse)
        assert this_process().boot != before.boot
    assert this_process() == before


@pytest.mark.parametrize(("hours", "stays"), [(1, True), (25, False)])
def test_files_of_other_machines_go_by_their_age(
    tmp_path: Path, hours: int, *, stays: bool
) -> None:
    """Nobody here can see whether their process is at work; after a day it is not."""
    path = left(tmp_path, replace(this_process(), host="aaaaaa", pid=1))
    then = time.time() - hours * 3600
    os.utime(path, (then, then))
    clear_leftovers(tmp_path)
    assert path.exists() == stays


def test_what_was_left_before_this_machine_was_started_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No process of that time is at work; one of a machine of the same name may be."""
    owner = replace(this_process(), boot="aaaaaa")
    path = left(tmp_path, owner)
    monkeypatch.setattr(owners, "_booted", lambda: time.time() - 60)
    clear_leftovers(tmp_path)
    assert path.exists()
    monkeypatch.setattr(owners, "_booted", lambda: time.time() + 60)
    clear_leftovers(tmp_path)
    assert not path.exists()


def test_whoever_writes_into_a_folder_clears_it(
    tmp_path: Path, gone: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Boards, tables, pages, indexes: all go through one writer, which does it once."""
    monkeypatch.setattr(durable, "_swept", set())
    first = left(tmp_path, gone)
    with atomic_file(tmp_path / "a"):
        pass
    assert not first.exists()


@pytest.fixture
def system_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have scratch folders made here."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_a_scratch_folder_goes_in_the_end_and_those_of_the_dead_before(
    system_folder: Path, gone: Owner
) -> None:
    """A killed rehearsal leaves one, which the next scratch folder takes away."""
    dead = system_folder / f"clipbench-rehearsal-{gone}-abc"
    other = system_folder / "clipbench-of-somebody"
    (dead / "in").mkdir(parents=True)
    other.mkdir()
    with scratch_folder("check") as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {*system_folder.iterdir()} == {folder, other}
    assert [*system_folder.iterdir()] == [other]


@pytest.mark.usefixtures("system_folder")
def test_nothing_waits_for_the_disk_in_a_scratch_folder(synced: list[str]) -> None:
    """What is thrown away needs to survive nothing."""
    with scratch_folder("rehearsal") as folder:
        synced.clear()
        with atomic_file(folder / "a"):
            pass
        (folder / "fresh").mkdir()
        publish(folder / "fresh", folder / "final")
    assert not [text for text in synced if text.startswith("sync")]


@pytest.mark.parametrize("links", [True, False])
def test_one_of_two_makes_a_file_that_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, links: bool
) -> None:
    """The second finds the first's; also where the file system has no links."""
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(errno.EPERM, "")))
    path = tmp_path / "key"
    assert [make_once(path, b"first"), make_once(path, b"second")] == [True, False]
    assert path.read_bytes() == b"first"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [*tmp_path.iterdir()] == [path]
