"""Pairs that lie in files become shards: the same ones, however often and wherever stopped."""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from shard_pairs import caption, picture, write_members

from clipbench.errors import BadSetting, ClipbenchError, CorruptData
from clipbench.images.encoding import encode_jpeg
from clipbench.importing.pairs import Entry, import_set
from clipbench.importing.usable import open_usable
from clipbench.shards import skipped, writer
from clipbench.shards.reader import ShardSet
from clipbench.shards.writer import write_set
from clipbench.verification.verify import verify

PER_SHARD = 10


@dataclass(frozen=True)
class Files:
    """Pairs of numbered files; every seventh is not there, every eleventh has no caption."""

    folder: Path
    count: int = 45

    def entries(self) -> Iterator[Entry]:
        """Yield them all."""
        for n in range(self.count):
            text = " " if n % 11 == 10 else caption(n)
            yield Entry(f"file {n}", str(self.folder / f"{n}.jpg"), text)

    def identity(self) -> Mapping[str, Any]:
        """Return the count."""
        return {"count": self.count}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """Return 45 pairs for five shards."""
    folder = tmp_path / "files"
    folder.mkdir()
    for n in range(45):
        if n % 7 != 6:
            (folder / f"{n}.jpg").write_bytes(encode_jpeg(picture(n)))

    def small(*args: Any, **options: Any) -> ShardSet:
        return write_set(*args, **{**options, "pairs_per_shard": PER_SHARD})

    monkeypatch.setattr("clipbench.importing.pairs.write_set", small)
    return Files(folder)


def contents(folder: Path) -> dict[str, str]:
    """Return the hash of every file of a set; the index holds file times and is left out."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.is_file()
    }


def test_what_cannot_be_used_is_counted_named_and_leaves_its_key_free(
    files: Files, tmp_path: Path
) -> None:
    """No pair's key depends on another pair, and nothing is lost without a line."""
    shards = import_set(files, tmp_path / "out", name="files", workers=0)
    missing = {n for n in range(45) if n % 7 == 6}
    silent = {n for n in range(45) if n % 11 == 10} - missing
    keys = [f"{n // PER_SHARD:05d}{n % PER_SHARD:04d}" for n in range(45)]
    usable = [n for n in range(45) if n not in missing | silent]
    assert [shards.key(pair) for pair in range(len(shards))] == [keys[n] for n in usable]
    assert shards.captions() == [caption(n) for n in usable]
    lines = [
        json.loads(line) for line in (tmp_path / "out" / skipped.NAME).read_text().splitlines()
    ]
    assert {line["key"] for line in lines} == {keys[n] for n in missing | silent}
    assert {line["name"] for line in lines} == {f"file {n}" for n in missing | silent}
    stats = skipped.read_stats(tmp_path / "out")
    assert stats is not None
    assert (stats.count, stats.successes) == (45, len(usable))
    assert stats.left_out == {"caption empty": len(silent), "image missing": len(missing)}
    assert verify(tmp_path / "out").passed


def test_the_number_of_workers_changes_nothing(files: Files, tmp_path: Path) -> None:
    """One process and two give the same bytes, descriptions and lists included."""
    import_set(files, tmp_path / "one", name="files", workers=0)
    import_set(files, tmp_path / "two", name="files", workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def _killed(files: Files, out: Path, shard: int) -> None:
    """Import in a process that kills itself when it has written a shard."""
    original = writer._write_shard

    def write(plan: Any, number: int) -> int:
        original(plan, number)
        if number == shard:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    writer._write_shard = write
    import_set(files, out, name="files", workers=0)


def test_an_import_that_was_killed_goes_on_to_the_same_bytes(files: Files, tmp_path: Path) -> None:
    """After a kill the same call ends with the files of a call that was not killed."""
    import_set(files, tmp_path / "whole", name="files", workers=0)
    process = multiprocessing.get_context("fork").Process(
        target=_killed, args=(files, tmp_path / "out", 2)
    )
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    done = tmp_path / "out.partial" / "shards" / "00001.tar"
    before = done.stat().st_mtime_ns
    import_set(files, tmp_path / "out", name="files", workers=0)
    assert (tmp_path / "out" / "00001.tar").stat().st_mtime_ns == before
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"files", "out", "whole"}


def test_fail_stops_at_a_pair_and_skip_goes_on_from_there(files: Files, tmp_path: Path) -> None:
    """The error names the pair and what to do; what was done is kept; a whole set fails, too."""
    out = tmp_path / "out"
    with pytest.raises(
        CorruptData, match=r"file 6 can't be used, image missing: .*--on-error skip"
    ):
        import_set(files, out, name="files", on_error="fail", workers=0)
    assert not out.exists()
    assert len(import_set(files, out, name="files", on_error="skip", workers=0)) == 35
    with pytest.raises(CorruptData, match=r"Of 45 pairs 10 left out \(.*the first is file 6"):
        import_set(files, out, name="files", on_error="fail", workers=0)


def test_a_finished_set_is_opened_and_another_one_refused(files: Files, tmp_path: Path) -> None:
    """The same source reads nothing again; another source does not touch the folder."""
    out = tmp_path / "out"
    import_set(files, out, name="files", workers=0)
    before = contents(out)
    for path in files.folder.iterdir():
        path.unlink()
    assert len(import_set(files, out, name="files", workers=0)) == 35
    with pytest.raises(BadSetting, match="holds another set; choose another folder"):
        import_set(Files(files.folder, 44), out, name="files", workers=0)
    with pytest.raises(BadSetting, match="holds another set; choose another folder"):
        import_set(files, out, name="files", image_size=8, workers=0)
    assert contents(out) == before


def test_shards_without_a_usable_pair_are_not_there(files: Files, tmp_path: Path) -> None:
    """Ten pairs in a row that can't be used leave no empty tar; if none can, that is an error."""
    for n in range(10, 20):
        (files.folder / f"{n}.jpg").write_bytes(b"no image")
    shards = import_set(files, tmp_path / "out", name="files", workers=0)
    assert [shard.path.name for shard in shards.shards] == [
        "00000.tar",
        "00002.tar",
        "00003.tar",
        "00004.tar",
    ]
    assert verify(tmp_path / "out").passed
    assert ShardSet.open(tmp_path / "out").captions() == shards.captions()
    for path in files.folder.iterdir():
        path.write_bytes(b"")
    with pytest.raises(CorruptData, match="files has no usable pair: 45 left out"):
        import_set(files, tmp_path / "none", name="files", workers=0)


INVISIBLE = ("\u200b\u2060", "\u3164", "\u2800 ", "\u0301", "\u202e\u202c")


@dataclass(frozen=True)
class Captions:
    """One picture under some captions."""

    image: Path
    captions: tuple[str, ...]

    def entries(self) -> Iterator[Entry]:
        """Yield a pair for each caption."""
        for text in self.captions:
            yield Entry(f"caption {text!a}", str(self.image), text)

    def identity(self) -> Mapping[str, Any]:
        """Return the captions."""
        return {"captions": list(self.captions)}


def test_captions_of_which_nothing_is_seen_are_left_out_by_import_and_by_screening(
    tmp_path: Path,
) -> None:
    """What is invisible is the same for pairs from files and for shards of another program."""
    (tmp_path / "one.jpg").write_bytes(encode_jpeg(picture(0)))
    texts = (*INVISIBLE, "a dog\u200b")
    shards = import_set(
        Captions(tmp_path / "one.jpg", texts), tmp_path / "out", name="x", workers=0
    )
    assert shards.captions() == ["a dog\u200b"]
    members = []
    for number, text in enumerate(texts):
        members.append((f"{number:09d}.jpg", encode_jpeg(picture(number))))
        members.append((f"{number:09d}.txt", text.encode()))
    path = write_members(tmp_path / "set" / "00000.tar", members)
    usable = open_usable(path, tmp_path / "cache", on_error="skip", workers=0)
    assert usable.left_out == {"caption empty": len(INVISIBLE)}
    assert usable.shards.captions() == ["a dog\u200b"]


def test_a_file_that_cannot_be_read_for_a_moment_is_not_left_out(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that does not answer is no word on the file: the import stops, and goes on later."""
    really, broken = os.open, files.folder / "3.jpg"

    def fails(path: Any, *args: Any, **options: Any) -> int:
        if path == broken:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return really(path, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fails)
        with pytest.raises(
            ClipbenchError, match=r"3\.jpg can't be read now \(Input/output error\)"
        ):
            import_set(files, tmp_path / "out", name="files", workers=0)
    assert not (tmp_path / "out").exists()
    assert len(import_set(files, tmp_path / "out", name="files", workers=0)) == 35
