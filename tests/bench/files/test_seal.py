"""What came with a folder of shards decides nothing about them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from shard_pairs import MakePairs, caption

from clipbench.errors import CorruptData
from clipbench.files import seal
from clipbench.files.json_files import sha256_file, write_summed
from clipbench.loading.decoded import DecodedImages
from clipbench.shards.hashes import content_of
from clipbench.shards.reader import ShardSet
from clipbench.shards.writer import write_set


def written(folder: Path, first: int = 0) -> ShardSet:
    """Return 20 pairs in two shards; `first` sets two sets of equal sizes apart."""
    make = MakePairs("png")
    return write_set(
        folder,
        20,
        lambda start, stop: make(start + first, stop + first),
        name="x",
        source={"first": first},
        pairs_per_shard=10,
        workers=0,
    )


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever seals from here on is somebody else than who sealed before."""
    monkeypatch.setattr(seal, "_key", lambda: b"another key")


def test_an_index_that_came_with_a_set_is_made_again(tmp_path: Path) -> None:
    """It could give each image its neighbor's caption, with times and sizes that are right."""
    clean = written(tmp_path / "set")
    file = next((tmp_path / "set" / ".clipbench").glob("index-*"))
    content, rows = file.read_bytes(), np.array(clean.index)
    forged = rows.copy()
    forged["caption_offset"] = np.roll(rows["caption_offset"], 1)
    forged["caption_size"] = np.roll(rows["caption_size"], 1)
    file.write_bytes(content.replace(rows.tobytes(), forged.tobytes()))
    assert file.read_bytes() != content
    found = ShardSet.open(tmp_path / "set")
    assert found.captions() == [caption(number) for number in range(20)]
    assert file.read_bytes() == content  # this user's own, as it was


@pytest.mark.usefixtures("stranger")
def test_the_index_of_another_user_stays_where_there_is_another_place(tmp_path: Path) -> None:
    """Two users of one folder do not make each other's index again in turns."""
    folder, cache = tmp_path / "set", tmp_path / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seal, "_key", lambda: b"the owner's key")
        written(folder)
    file = next((folder / ".clipbench").glob("index-*"))
    content = file.read_bytes()
    assert ShardSet.open(folder, cache).caption(3) == caption(3)
    assert file.read_bytes() == content
    told: list[str] = []
    ShardSet.open(folder, cache, lambda what, *_: told.append(what))
    assert told == []


def test_a_bit_that_turned_in_an_index_is_noticed(tmp_path: Path) -> None:
    """Wherever it lies, the captions are those of the shards."""
    written(tmp_path / "set")
    file = next((tmp_path / "set" / ".clipbench").glob("index-*"))
    content = file.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(content), 60).tolist():
        turned = bytearray(content)
        turned[place] ^= 1 << (place % 8)
        file.write_bytes(turned)
        again = ShardSet.open(tmp_path / "set")
        assert again.captions() == [caption(number) for number in range(20)]


def test_a_set_whose_manifest_claims_other_bytes_is_refused(tmp_path: Path) -> None:
    """A manifest that claims another set's hashes plants nothing under that set's name."""
    known = written(tmp_path / "known")
    written(tmp_path / "evil", first=100)
    manifest = tmp_path / "evil" / "manifest.json"
    claimed = json.loads(manifest.read_text())
    for mine, theirs in zip(claimed["shards"], known.manifest.shards, strict=True):  # type: ignore[union-attr]
        mine["sha256"] = theirs.sha256
    claimed["content_sha256"] = known.content_sha256()
    write_summed(manifest, claimed)
    shutil.rmtree(tmp_path / "evil" / ".clipbench")  # as it comes to somebody else
    found = ShardSet.open(tmp_path / "evil")
    with pytest.raises(CorruptData, match=r"not the one that .*manifest.json lists"):
        found.content_sha256()
    with pytest.raises(CorruptData, match=r"not the one that .*manifest.json lists"):
        DecodedImages.open(found, 8, tmp_path / "decoded", workers=0)
    assert not list((tmp_path / "decoded").iterdir())
    with pytest.raises(CorruptData, match=r"not the one that .*manifest.json lists"):
        content_of(tmp_path / "evil", tmp_path / "cache")


def test_hashes_that_came_with_a_set_are_computed_again(tmp_path: Path) -> None:
    """Size, time and number of the file may be right; the seal is not."""
    clean = written(tmp_path / "set")
    file = tmp_path / "set" / ".clipbench" / "hashes.json"
    content = json.loads(file.read_text())
    for entry in content["hashes"].values():
        entry[3] = "0" * 64
    file.write_text(json.dumps(content))
    found = ShardSet.open(tmp_path / "set").hashes()
    assert found == [sha256_file(shard.path) for shard in clean.shards]


def test_pictures_of_a_damaged_shard_are_not_kept_under_the_sound_ones_name(
    tmp_path: Path,
) -> None:
    """A bit that rots changes no time; what was decoded of it would outlive the repair."""
    clean = written(tmp_path / "set")
    path = clean.shards[1].path
    sound, status = path.read_bytes(), path.stat()
    path.write_bytes(sound[:-1] + b"\x01")  # in the zeros at the end, which no reader looks at
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(CorruptData, match=r"00001\.tar does not hold what it did"):
        DecodedImages.open(ShardSet.open(tmp_path / "set"), 8, tmp_path / "decoded", workers=0)
    path.write_bytes(sound)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    mended = DecodedImages.open(ShardSet.open(tmp_path / "set"), 8, tmp_path / "decoded", workers=0)
    assert len(mended) == 20


def test_the_key_is_the_users_own_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lies in the home folder, readable by its owner alone; without a home it is for once."""
    seal._key.cache_clear()
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    try:
        first = seal.seal([b"content"])
        (file,) = (tmp_path / ".cache" / "clipbench").iterdir()
        assert file.stat().st_mode & 0o077 == 0
        seal._key.cache_clear()
        assert seal.seal([b"con", b"tent"]) == first
        assert seal.is_sealed([b"content"], first)
        assert not seal.is_sealed([b"other content"], first)
        monkeypatch.setattr(Path, "home", lambda: file)  # a file, in which no folder can be made
        seal._key.cache_clear()
        assert seal.seal([b"content"]) != first
    finally:
        seal._key.cache_clear()
